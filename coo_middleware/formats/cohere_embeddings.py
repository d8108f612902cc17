"""Cohere's embeddings (https://docs.cohere.com/reference/embed and https://docs.cohere.com/v1/reference/embed)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_content, normalize_prompts
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.cohere_answer import bypass_cohere, tells_failure, usage_of_input
from coo_middleware.formats.embeddings import EmbeddingsReader
from coo_middleware.formats.errors import cohere_error
from coo_middleware.formats.portions import Listing, are_texts, make_portions

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.normalize import Preset

_TEXT_TYPES: Final = frozenset({"text"})
# `truncate` and `max_tokens` cut each text by itself. An image's tokens have nothing to do with its length.
_KNOWN: Final = frozenset({"model", "input_type", "embedding_types", "truncate", "max_tokens", "output_dimension"}) | {
    "priority"
}


def _are_prose(document: Document, items: list[Json]) -> bool:
    """Whether the inputs are texts, or content in which there is nothing but text."""
    if "texts" in document:
        return are_texts(document, items)
    contents = [
        item.get("content") if isinstance(item, dict) and item.keys() == {"content"} else None for item in items
    ]
    return all(isinstance(content, list) and all(map(_is_text, content)) for content in contents)


def _is_text(part: Json) -> bool:
    return isinstance(part, dict) and part.keys() == {"type", "text"} and part["type"] == "text"


_PORTIONS: Final = make_portions(
    Listing(("texts", "inputs"), _KNOWN, _are_prose, items=("embeddings", "texts"), told=("meta", "usage"))
)


def read_cohere_embeddings(document: Document) -> Outcome:
    """Judges a whole JSON answer: a list of embeddings or, where types of numbers were asked for, one for each."""
    embeddings = document.get("embeddings")
    types = list(embeddings.values()) if isinstance(embeddings, dict) else [embeddings]
    lists = [vectors for vectors in types if vectors is not None]
    given = any(lists)
    return Outcome(
        whole=given,
        usage=usage_of_input(document),
        finish_reasons=(),
        error=tells_failure(document, given=given),
        sound=given and all(map(_are_vectors, lists)),
        model="",
    )


def _are_vectors(vectors: Json) -> bool:
    return isinstance(vectors, list) and bool(vectors) and all(vectors)


def normalize_cohere_embeddings(document: Document, preset: Preset) -> Document:
    """The document with its texts normalized; their outer white space counts."""
    if preset == "strict":
        return document
    normalized = dict(document)
    if "texts" in document:
        normalized["texts"] = normalize_prompts(document["texts"], preset)
    inputs = document.get("inputs")
    if isinstance(inputs, list):
        normalized["inputs"] = [_normalize_input(item, preset) for item in inputs]
    return normalized


def _normalize_input(item: Json, preset: Preset) -> Json:
    if not isinstance(item, dict) or "content" not in item:
        return item
    return {**item, "content": normalize_content(item["content"], preset, _TEXT_TYPES, trim=False)}


COHERE_EMBEDDINGS: Final = Format(
    name="cohere-embeddings",
    provider="cohere",
    operation="embeddings",
    endpoints=(Endpoint("/v1/embed", stream=False), Endpoint("/v2/embed", stream=False)),
    left_out=frozenset({"priority"}),
    ordered=frozenset(),
    bypass=bypass_cohere,
    normalize=normalize_cohere_embeddings,
    read_body=read_cohere_embeddings,
    read_stream=EmbeddingsReader,
    error_body=cohere_error,
    portions=_PORTIONS,
    names_model=False,
)
