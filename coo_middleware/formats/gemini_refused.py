"""What Google serves beside generations and is never answered from the cache: token counts, jobs and kept contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import reports_error
from coo_middleware.formats.embeddings import EmbeddingsReader
from coo_middleware.formats.errors import google_error
from coo_middleware.formats.gemini import VERTEX

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.normalize import Preset

_PLACES: Final = (
    ("/models/{model}:", ""),
    ("/tunedModels/{model}:", ""),
    ("/publishers/*/models/{model}:", VERTEX),
    ("/endpoints/{model}:", VERTEX),
)


def read_nothing(document: Document) -> Outcome:
    """Judges a whole JSON answer: it may fail. A count of tokens that nobody generates from is no usage."""
    return Outcome(False, usage=None, finish_reasons=(), error=reports_error(document), sound=False, model="")


def normalize_nothing(document: Document, _: Preset) -> Document:
    """The document as it is: it has no cache key."""
    return document


def _refuse(area: str, reason: str, *endpoints: Endpoint) -> Format:
    return Format(
        name="gemini-" + area,
        provider="gcp.gemini",
        operation=area,
        endpoints=endpoints,
        left_out=frozenset(),
        ordered=frozenset(),
        bypass=lambda _: reason,
        normalize=normalize_nothing,
        read_body=read_nothing,
        read_stream=EmbeddingsReader,
        error_body=google_error,
        names_model=False,
    )


def _verbs(reason: str, *verbs: str) -> list[Endpoint]:
    return [
        Endpoint(place + verb, stream=False, provider=provider, bypass=reason)
        for verb in verbs
        for place, provider in _PLACES
    ]


GEMINI_REFUSED: Final = (
    _refuse("count_tokens", "count", *_verbs("count", "countTokens", "computeTokens")),
    _refuse("batches", "batch", *_verbs("batch", "batchGenerateContent", "asyncBatchEmbedContent")),
    _refuse(
        "cached_contents",
        "stateful",
        Endpoint("/cachedContents", bypass="stateful"),
        Endpoint("/locations/*/cachedContents", provider=VERTEX, bypass="stateful"),
    ),
)
