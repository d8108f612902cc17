"""Cohere's classify and summarize, version 1 (https://docs.cohere.com/v1/reference/classify and /summarize)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompts
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import items_of, text_of
from coo_middleware.formats.cohere_answer import (
    bypass_cohere,
    merge_units,
    tells_failure,
    usage_of_input,
    usage_of_units,
)
from coo_middleware.formats.embeddings import EmbeddingsReader
from coo_middleware.formats.errors import cohere_error

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.normalize import Preset

_TEXTS: Final = ("inputs", "text")


def read_classify(document: Document) -> Outcome:
    """Judges a whole JSON answer, whose usage is most often classifications and no tokens."""
    items = items_of(document.get("classifications"))
    given = bool(items)
    sound = given and all(item.get("prediction") or item.get("predictions") for item in items)
    error = tells_failure(document, given=given)
    return Outcome(given, usage_of_input(document), (), error=error, sound=sound, model="")


def read_summarize(document: Document) -> Outcome:
    """Judges a whole JSON answer; it tells no finish reason."""
    given = text_of(document, "summary") != ""
    counts: dict[str, int] = {}
    merge_units(counts, document.get("meta"))
    error = tells_failure(document, given=given)
    return Outcome(given, usage_of_units(counts), (), error=error, sound=given, model="")


def normalize_task(document: Document, preset: Preset) -> Document:
    """The document with the texts that it is about normalized; their outer white space counts."""
    if preset == "strict":
        return document
    return {**document, **{name: normalize_prompts(document[name], preset) for name in _TEXTS if name in document}}


COHERE_CLASSIFY: Final = Format(
    name="cohere-classify",
    provider="cohere",
    operation="classify",
    endpoints=(Endpoint("/v1/classify", stream=False),),
    left_out=frozenset(),
    ordered=frozenset(),
    bypass=bypass_cohere,
    normalize=normalize_task,
    read_body=read_classify,
    read_stream=EmbeddingsReader,
    error_body=cohere_error,
    names_model=False,
)
COHERE_SUMMARIZE: Final = replace(
    COHERE_CLASSIFY,
    name="cohere-summarize",
    operation="text_completion",
    endpoints=(Endpoint("/v1/summarize", stream=False),),
    read_body=read_summarize,
)
