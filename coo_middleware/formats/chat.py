"""OpenAI's chat completions and their dialects (https://platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_messages
from coo_middleware.formats.answer import items_of
from coo_middleware.formats.chat_shapes import CHAT_RENDERING
from coo_middleware.formats.choices import ChoicesReader, read_choices
from coo_middleware.formats.errors import openai_error
from coo_middleware.formats.stream_options import ask_usage, strip_usage

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.normalize import Preset

# Bookkeeping and the steering of the provider's own prompt cache; none of it reaches the model or comes back.
LEFT_OUT: Final = frozenset(
    {"user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
)
ORDERED: Final = frozenset({"tools", "functions", "response_format", "guided_json", "structured_outputs"})

# OpenAI, xAI, OpenRouter, Groq and Azure, in this order: the answer depends on what the web or an index says today.
_SEARCHES: Final = ("web_search_options", "search_parameters", "plugins", "search_settings", "data_sources")
_CLIENT_TOOLS: Final = (None, "function", "custom")
_TEXT_TYPES: Final = frozenset({"text"})


def bypass_chat(document: Document) -> str:
    """The reason why this request must reach the provider, or ""."""
    if document.get("store") not in (None, False):
        return "stored-completion"
    searches = any(document.get(name) not in (None, []) for name in _SEARCHES)
    served = any(tool.get("type") not in _CLIENT_TOOLS for tool in items_of(document.get("tools")))
    return "server-tool" if searches or served else ""


def normalize_chat(document: Document, preset: Preset) -> Document:
    """The document with the texts of its messages normalized."""
    if preset == "strict" or "messages" not in document:
        return document
    return {**document, "messages": normalize_messages(document["messages"], preset, _TEXT_TYPES)}


CHAT: Final = Format(
    name="chat",
    provider="openai",
    operation="chat",
    endpoints=(
        Endpoint("/chat/completions"),
        Endpoint("/openai/deployments/{model}/chat/completions", provider="azure.ai.openai"),
        Endpoint("/models/chat/completions", provider="azure.ai.inference"),
        Endpoint("/v1beta/openai/chat/completions", provider="gcp.gemini"),
        Endpoint("/endpoints/openapi/chat/completions", provider="gcp.vertex_ai"),
    ),
    left_out=LEFT_OUT,
    ordered=ORDERED,
    bypass=bypass_chat,
    normalize=normalize_chat,
    read_body=read_choices,
    read_stream=ChoicesReader,
    error_body=openai_error,
    ask=ask_usage,
    strip=strip_usage,
    telling=frozenset({"mistral_ai", "deepseek", "groq", "openrouter"}),
    rendering=CHAT_RENDERING,
)
