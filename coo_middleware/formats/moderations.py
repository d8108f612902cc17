"""OpenAI's moderations (https://platform.openai.com/docs/api-reference/moderations) and Mistral's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import items_of, reports_error, text_of
from coo_middleware.formats.cohere_answer import usage_of_input
from coo_middleware.formats.embeddings import EmbeddingsReader, bypass_embeddings, normalize_embeddings
from coo_middleware.formats.errors import openai_error

if TYPE_CHECKING:
    from coo_middleware.core.document import Document


def read_moderations(document: Document) -> Outcome:
    """Judges a whole JSON answer. OpenAI tells no usage of it."""
    results = items_of(document.get("results"))
    return Outcome(
        whole=bool(results),
        usage=usage_of_input(document),
        finish_reasons=(),
        error=reports_error(document),
        sound=bool(results) and all(isinstance(result.get("categories"), dict) for result in results),
        model=text_of(document, "model"),
    )


MODERATIONS: Final = Format(
    name="moderations",
    provider="openai",
    operation="moderation",
    endpoints=(Endpoint("/moderations", stream=False),),
    left_out=frozenset(),
    ordered=frozenset(),
    bypass=bypass_embeddings,
    normalize=normalize_embeddings,
    read_body=read_moderations,
    read_stream=EmbeddingsReader,
    error_body=openai_error,
    names_model=False,
)
