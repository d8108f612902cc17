"""Ollama's own embeddings (https://docs.ollama.com/api/embed); `/api/embeddings` is the older of the two and tells
neither a model nor usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompts
from coo_middleware.core.outcome import Outcome, tokens
from coo_middleware.formats.answer import reports_error, text_of, usage_of
from coo_middleware.formats.embeddings import EmbeddingsReader
from coo_middleware.formats.errors import ollama_error
from coo_middleware.formats.ollama import LEFT_OUT
from coo_middleware.formats.portions import Listing, are_texts, make_portions, normalize_only_input

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.normalize import Preset

# Of `/api/embed` and of `/api/embeddings`.
_INPUTS: Final = ("input", "prompt")
_KNOWN: Final = frozenset({"model", "truncate", "options", "keep_alive", "dimensions"})
_PORTIONS: Final = make_portions(
    Listing(("input",), _KNOWN, are_texts, items=("embeddings",), told=("prompt_eval_count",))
)


def read_ollama_embeddings(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    vectors = _vectors(document)
    return Outcome(
        whole=bool(vectors),
        usage=usage_of(tokens(document.get("prompt_eval_count")), None),
        finish_reasons=(),
        error=reports_error(document),
        sound=bool(vectors) and all(isinstance(vector, list) and vector for vector in vectors),
        model=text_of(document, "model"),
    )


def _vectors(document: Document) -> list[Json]:
    many = document.get("embeddings")
    if isinstance(many, list):
        return many
    return [document["embedding"]] if "embedding" in document else []


def bypass_ollama_embeddings(document: Document) -> str:
    """The reason why this request must reach the provider, or "": without an input it loads or unloads the model."""
    return "" if any(document.get(name) for name in _INPUTS) else "model-load"


def normalize_ollama_embeddings(document: Document, preset: Preset) -> Document:
    """The document with its inputs normalized: their outer white space counts, and a list of one is that one."""
    if preset == "strict":
        return document
    normalized = {name: normalize_prompts(document[name], preset) for name in _INPUTS if name in document}
    return {**document, **{name: normalize_only_input(value) for name, value in normalized.items()}}


OLLAMA_EMBEDDINGS: Final = Format(
    name="ollama-embeddings",
    provider="ollama",
    operation="embeddings",
    endpoints=(Endpoint("/api/embed", stream=False), Endpoint("/api/embeddings", stream=False)),
    left_out=LEFT_OUT,
    ordered=frozenset(),
    bypass=bypass_ollama_embeddings,
    normalize=normalize_ollama_embeddings,
    read_body=read_ollama_embeddings,
    read_stream=EmbeddingsReader,
    error_body=ollama_error,
    portions=_PORTIONS,
)
