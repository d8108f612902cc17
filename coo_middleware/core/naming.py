"""Which provider and which model a request is for: what the operator says, what the model's name says, what the path
says, in this order.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.routes import RoutePolicy

# OpenTelemetry's `gen_ai.provider.name`, or the vendor's own name where it has none, with what gateways and SDKs put
# before a model. Names under which vendors publish weights (mistralai, deepseek-ai, meta-llama) are not among them.
_PROVIDERS: Final[dict[str, tuple[str, ...]]] = {
    "openai": (),
    "anthropic": (),
    "azure.ai.openai": ("azure", "azure_openai"),
    "azure.ai.inference": ("azure_ai",),
    "aws.bedrock": ("bedrock", "bedrock_converse"),
    "gcp.gemini": ("gemini", "google", "google_genai", "google-gla"),
    "gcp.vertex_ai": ("vertex", "vertex_ai", "vertexai", "google_vertexai", "google-vertex"),
    "mistral_ai": ("mistral",),
    "cohere": ("cohere_chat",),
    "deepseek": (),
    "groq": (),
    "x_ai": ("xai", "x-ai"),
    "perplexity": (),
    "moonshot_ai": ("moonshot",),
    "ibm.watsonx.ai": ("watsonx",),
    "together": ("together_ai",),
    "openrouter": (),
    "fireworks": ("fireworks_ai",),
    "cerebras": (),
    "huggingface": ("hf",),
    "ollama": ("ollama_chat",),
    "vllm": ("hosted_vllm",),
}
_KNOWN: Final = {alias: name for name, aliases in _PROVIDERS.items() for alias in (name, *aliases)}
_PREFIX: Final = re.compile(r"([\w.-]+)([:/])(.+)", re.DOTALL)
# What stands behind the colon of a model in Ollama's library: `mistral:7b`.
_TAG: Final = re.compile(r"latest|instruct|text|v?\d.*", re.DOTALL)


class Naming:
    """Names by the rules of one policy."""

    __slots__ = ("_rules",)

    def __init__(self, routes: Sequence[RoutePolicy] = ()) -> None:
        self._rules: Final = tuple(
            (re.compile(translate(rule.path)), re.compile(translate(rule.model)), rule.provider)
            for rule in routes
            if rule.provider
        )

    def name(self, provider: str, path: str, model: str) -> tuple[str, str]:
        """The provider and the model of a request on `path`, which speaks `provider`'s format; `model` as it came."""
        for paths, models, named in self._rules:
            if paths.match(path) and models.match(model):
                return named, model
        return _split(model) or (provider, model)


def _split(model: str) -> tuple[str, str] | None:
    """Provider and model in `provider:model` and `provider/model`, None where no known provider leads."""
    # Most models have no provider before them, and looking for a text is much faster than matching a pattern.
    parts = _PREFIX.fullmatch(model) if "/" in model or ":" in model else None
    provider = _KNOWN.get(parts[1].lower()) if parts else None
    if parts is None or provider is None or (parts[2] == ":" and _TAG.fullmatch(parts[3])):
        return None
    return provider, parts[3]
