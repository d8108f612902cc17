"""The most output tokens that a request allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.outcome import tokens

if TYPE_CHECKING:
    from coo_middleware.core.document import Document

_BOUNDS: Final = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_tokens_to_sample"),
    *("max_gen_len", "maxTokens", "maxOutputTokens", "maxTokenCount", "num_predict"),
)
_TIMES: Final = ("n", "best_of", "num_generations", "numResults", "candidateCount", "candidate_count")
# Where some formats keep them: Gemini, Bedrock, Ollama, Text Generation Inference, Titan.
_HOLDERS: Final = (
    *("generationConfig", "generation_config", "inferenceConfig", "options", "parameters", "textGenerationConfig"),
)


def find_ceiling(document: Document) -> int | None:
    """How many tokens its answers may have, all together; None where it does not say. Of several bounds the highest
    counts: which of them a provider goes by is not known.
    """
    held = [value for name in _HOLDERS if isinstance(value := document.get(name), dict)]
    bounds, times = _read([document, *held], _BOUNDS), _read([document, *held], _TIMES)
    prompts = document.get("prompt")
    many = sum(isinstance(each, str | list) for each in prompts) if isinstance(prompts, list) else 1
    return max(bounds) * max(times, default=1) * max(many, 1) if bounds else None


def _read(places: list[Document], names: tuple[str, ...]) -> list[int]:
    found = (tokens(place[name]) for place in places for name in names if name in place)
    return [count for count in found if count is not None]
