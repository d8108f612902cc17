"""OpenAI's completions of a raw prompt (https://platform.openai.com/docs/api-reference/completions)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompts
from coo_middleware.formats.choices import ChoicesReader, read_choices
from coo_middleware.formats.errors import openai_error
from coo_middleware.formats.stream_options import ask_usage, strip_usage

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.normalize import Preset

_PROMPTS: Final = ("prompt", "suffix")


def normalize_completion(document: Document, preset: Preset) -> Document:
    """The document with its prompt and its suffix normalized; their outer white space counts."""
    if preset == "strict":
        return document
    return {**document, **{name: normalize_prompts(document[name], preset) for name in _PROMPTS if name in document}}


def bypass_completion(_: Document) -> str:
    """Always "": a completion depends on nothing but its request."""
    return ""


COMPLETIONS: Final = Format(
    name="completions",
    provider="openai",
    operation="text_completion",
    endpoints=(
        Endpoint("/completions"),
        Endpoint("/openai/deployments/{model}/completions", provider="azure.ai.openai"),
    ),
    left_out=frozenset({"user"}),
    ordered=frozenset({"response_format", "guided_json", "structured_outputs"}),
    bypass=bypass_completion,
    normalize=normalize_completion,
    read_body=read_choices,
    read_stream=ChoicesReader,
    error_body=openai_error,
    ask=ask_usage,
    strip=strip_usage,
)
