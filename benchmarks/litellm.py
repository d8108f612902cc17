"""The proxy of LiteLLM, which has an environment of its own: a whole gateway, so a contender over sockets only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from benchmarks.contenders import Contender
from benchmarks.prompts import make_answer
from benchmarks.running import TTL_SECONDS

if TYPE_CHECKING:
    from benchmarks.handler import Upstream
    from benchmarks.places import Place


def write_settings(folder: Path) -> Path:
    """Its settings as a file: a model that answers by itself, and its cache in memory."""
    text = json.loads(make_answer())["choices"][0]["message"]["content"]
    model = {"model": "openai/gpt-5-mini", "api_key": "none", "mock_response": text}
    settings = {
        "model_list": [{"model_name": "gpt-5-mini", "litellm_params": model}],
        "litellm_settings": {"cache": True, "cache_params": {"type": "local", "ttl": TTL_SECONDS}, "telemetry": False},
        # The key that the load generator sends; without one it does not start.
        "general_settings": {"master_key": "sk-benchmark"},
    }
    path = folder / "litellm.yaml"
    # JSON is YAML.
    path.write_text(json.dumps(settings))
    return path


def _refuse(_upstream: Upstream, _place: Place) -> NoReturn:
    raise ValueError("LiteLLM's proxy runs over sockets only")


_PROGRAM: Final = Path(__file__).parent / ".venv" / "litellm" / "bin" / "litellm"
LITELLM: Final = Contender("LiteLLM proxy", _refuse, frozenset({"memory"}), program=str(_PROGRAM))
