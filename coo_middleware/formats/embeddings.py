"""OpenAI's embeddings (https://platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompts
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats.answer import items_of, merge_counts, reports_error, text_of
from coo_middleware.formats.errors import openai_error
from coo_middleware.formats.portions import Listing, are_texts_or_tokens, make_portions, normalize_only_input

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.framing import Event
    from coo_middleware.core.normalize import Preset


def read_embeddings(document: Document) -> Outcome:
    """Judges a whole JSON answer. An embedding is a list of numbers or, asked for in base64, a text."""
    items = items_of(document.get("data"))
    counts: dict[str, int] = {}
    merge_counts(counts, document.get("usage"))
    prompt = counts.get("prompt_tokens", counts.get("total_tokens"))
    return Outcome(
        whole=bool(items),
        usage=None if prompt is None else Usage(prompt, 0),
        finish_reasons=(),
        error=reports_error(document),
        sound=bool(items) and all(item.get("embedding") for item in items),
        model=text_of(document, "model"),
    )


# Beside OpenAI's own those of Mistral, Voyage, Jina, NVIDIA, vLLM and OpenRouter that speak of each input alone.
_KNOWN: Final = frozenset({"model", "encoding_format", "dimensions", "user", "metadata", "output_dimension"}) | {
    *("output_dtype", "input_type", "truncation", "task", "normalized", "embedding_type", "truncate"),
    *("truncate_prompt_tokens", "add_special_tokens", "priority", "provider"),
}
_PORTIONS: Final = make_portions(
    Listing(("input",), _KNOWN, are_texts_or_tokens, items=("data",), told=("usage",), indexed=True)
)


class EmbeddingsReader:
    """Embeddings are never streamed, so a stream of them is never whole."""

    __slots__ = ()

    def feed(self, event: Event) -> None:
        """Takes the next event and learns nothing from it."""

    def outcome(self) -> Outcome:
        """Nothing is ever known."""
        return UNREADABLE


def normalize_embeddings(document: Document, preset: Preset) -> Document:
    """The document with its inputs normalized: their outer white space counts, and a list of one is that one."""
    if preset == "strict" or "input" not in document:
        return document
    return {**document, "input": normalize_only_input(normalize_prompts(document["input"], preset))}


def bypass_embeddings(_: Document) -> str:
    """Always "": an embedding depends on nothing but its request."""
    return ""


EMBEDDINGS: Final = Format(
    name="embeddings",
    provider="openai",
    operation="embeddings",
    endpoints=(
        Endpoint("/embeddings"),
        Endpoint("/openai/deployments/{model}/embeddings", provider="azure.ai.openai"),
        Endpoint("/models/embeddings", provider="azure.ai.inference"),
        Endpoint("/v1beta/openai/embeddings", provider="gcp.gemini"),
    ),
    left_out=frozenset({"user"}),
    ordered=frozenset(),
    bypass=bypass_embeddings,
    normalize=normalize_embeddings,
    read_body=read_embeddings,
    read_stream=EmbeddingsReader,
    error_body=openai_error,
    portions=_PORTIONS,
)
