"""OpenAI's decisions: answers to questions about an input (https://platform.openai.com/docs/api-reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import items_of, reports_error, text_of
from coo_middleware.formats.embeddings import EmbeddingsReader
from coo_middleware.formats.errors import openai_error
from coo_middleware.formats.responses import merge_usage, normalize_response, usage_of_items

if TYPE_CHECKING:
    from coo_middleware.core.document import Document


def read_decision(document: Document) -> Outcome:
    """Judges a whole JSON answer. A question that the model refused is one of its answers and a finish reason."""
    answers = items_of(document.get("answers"))
    refused = any(answer.get("type") == "refusal" for answer in answers)
    counts: dict[str, int] = {}
    merge_usage(counts, document.get("usage"))
    return Outcome(
        whole=bool(answers),
        usage=usage_of_items(counts),
        finish_reasons=("refusal",) if refused else (),
        error=reports_error(document),
        sound=bool(answers) and all(text_of(answer, "type") for answer in answers),
        model=text_of(document, "model"),
    )


def bypass_decision(_: Document) -> str:
    """Always "": a decision depends on nothing but its request."""
    return ""


DECISIONS: Final = Format(
    name="decisions",
    provider="openai",
    operation="chat",
    endpoints=(Endpoint("/v1/decisions", stream=False),),
    left_out=frozenset({"safety_identifier", "prompt_cache_key", "prompt_cache_options"}),
    ordered=frozenset({"questions"}),
    bypass=bypass_decision,
    normalize=normalize_response,
    read_body=read_decision,
    read_stream=EmbeddingsReader,
    error_body=openai_error,
)
