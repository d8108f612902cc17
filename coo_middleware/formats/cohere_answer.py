"""What Cohere's answers have in common, also with those of the vendors that follow it
(https://docs.cohere.com/reference/chat and https://docs.cohere.com/reference/rerank).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.outcome import Usage
from coo_middleware.formats.answer import items_of, merge_counts, merge_part, reports_error, text_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.document import Document, Json

# Finish reasons by which Cohere tells that it failed.
FAILED: Final = frozenset({"ERROR", "TIMEOUT"})

# Billed are fewer tokens than are processed, and of some answers only the billed ones are told.
_INPUTS: Final = ("tokens.input_tokens", "billed_units.input_tokens")
_OUTPUTS: Final = ("tokens.output_tokens", "billed_units.output_tokens")
_TOTALS: Final = ("prompt_tokens", "total_tokens", "billed_units.total_tokens")
_PARTS: Final = ("billed_units.text_tokens", "billed_units.image_tokens")


def merge_units(counts: dict[str, int], told: Json) -> None:
    """Adds what a `meta` or a `usage` tells, its `tokens` and its `billed_units` each behind their name and a dot."""
    merge_counts(counts, told)
    merge_part(counts, told, "tokens")
    merge_part(counts, told, "billed_units")


def usage_of_units(counts: Mapping[str, int]) -> Usage | None:
    """Usage of a generation. Search units and classifications are no tokens."""
    return usage_of(_first(counts, _INPUTS), _first(counts, _OUTPUTS), cache_read=counts.get("cached_tokens"))


def usage_of_input(document: Document) -> Usage | None:
    """Usage of an answer that scores or embeds what was read: a vendor's total is its input."""
    counts: dict[str, int] = {}
    for told in (document, document.get("usage"), document.get("meta")):
        merge_units(counts, told)
    parts = [counts[name] for name in _PARTS if name in counts]
    inputs = _first(counts, (*_INPUTS, *_TOTALS))
    inputs = sum(parts) if inputs is None and parts else inputs
    return None if inputs is None else Usage(inputs, _first(counts, _OUTPUTS) or 0)


def tells_failure(document: Document, *, given: bool) -> bool:
    """Whether a body or a frame is an error: Cohere's has a `message` and nothing that was asked for."""
    return reports_error(document) or (not given and text_of(document, "message") != "")


def bypass_cohere(document: Document) -> str:
    """The reason why this request must reach the provider, or "": a conversation or a preset that is kept there, a
    document that is named and not told, a connector that searches.
    """
    kept = any(document.get(name) not in (None, "") for name in ("conversation_id", "preset"))
    if kept or any(item.keys() <= {"id"} for item in items_of(document.get("documents"))):
        return "stateful"
    served = any(tool.get("type") not in (None, "function") for tool in items_of(document.get("tools")))
    return "server-tool" if served or document.get("connectors") not in (None, []) else ""


def _first(counts: Mapping[str, int], names: tuple[str, ...]) -> int | None:
    return next((counts[name] for name in names if name in counts), None)
