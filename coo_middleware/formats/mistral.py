"""What Mistral adds to OpenAI's formats (https://docs.mistral.ai/api): fill-in-the-middle, agents, OCR.

Mistral tells the usage of a stream unasked and refuses members that it does not know, so it is never asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import items_of, reports_error, text_of
from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.completions import COMPLETIONS
from coo_middleware.formats.embeddings import EmbeddingsReader
from coo_middleware.formats.errors import mistral_error

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.normalize import Preset

_PROVIDER: Final = "mistral_ai"

FIM: Final = replace(
    COMPLETIONS,
    name="fim",
    provider=_PROVIDER,
    endpoints=(Endpoint("/fim/completions"),),
    left_out=frozenset(),
    error_body=mistral_error,
    ask=None,
    strip=None,
)

# The agent's name stands for a model: what is configured behind it may change, as it may behind a model's alias.
AGENTS: Final = replace(
    CHAT,
    name="agents",
    provider=_PROVIDER,
    endpoints=(Endpoint("/agents/completions"),),
    left_out=frozenset(),
    error_body=mistral_error,
    ask=None,
    strip=None,
    names_model=False,
)


def read_ocr(document: Document) -> Outcome:
    """Judges a whole JSON answer. It is paid by the page, so there are no tokens to tell."""
    pages = items_of(document.get("pages"))
    return Outcome(
        whole=bool(pages),
        usage=None,
        finish_reasons=(),
        error=reports_error(document),
        sound=any(text_of(page, "markdown") for page in pages),
        model=text_of(document, "model"),
    )


def bypass_ocr(document: Document) -> str:
    """The reason why this request must reach the provider, or "": a file that was uploaded lies behind an id."""
    source = document.get("document")
    return "file" if isinstance(source, dict) and source.get("file_id") is not None else ""


def normalize_ocr(document: Document, _: Preset) -> Document:
    """The document as it is: there is no prose in it."""
    return document


OCR: Final = Format(
    name="ocr",
    provider=_PROVIDER,
    operation="ocr",
    endpoints=(Endpoint("/v1/ocr", stream=False),),
    left_out=frozenset(),
    ordered=frozenset({"bbox_annotation_format", "document_annotation_format"}),
    bypass=bypass_ocr,
    normalize=normalize_ocr,
    read_body=read_ocr,
    read_stream=EmbeddingsReader,
    error_body=mistral_error,
)
