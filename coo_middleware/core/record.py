"""One record per request, and what it adds to the counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from coo_middleware.core.outcome import Usage

if TYPE_CHECKING:
    from coo_middleware.core.exchange import Answer

CacheStatus: TypeAlias = Literal["hit", "miss", "bypass"]
ErrorType: TypeAlias = Literal["", "exception", "status", "in_stream", "cut", "client_disconnect"]

REQ: Final = "req"
INPUT_TOKENS: Final = "input_tokens"
OUTPUT_TOKENS: Final = "output_tokens"
TOKENS: Final = "tokens"
ERRORS: Final = "errors"
LATENCY: Final = "latency"
CACHE_HITS: Final = "cache_hits"
TOKENS_SAVED: Final = "tokens_saved"


@dataclass(frozen=True, slots=True)
class Record:
    """What one request was. `status` is 0 when no answer began, `duration` in seconds, `usage` None when unknown.

    `stored` is "" when the answer was stored, else why it was not.
    """

    provider: str
    key_id: str
    operation: str
    model: str
    status: int
    cache_status: CacheStatus
    usage: Usage | None
    duration: float
    error_type: ErrorType
    stored: str


def classify_error(answer: Answer, *, raised: bool, disconnected: bool) -> ErrorType:
    """Whose fault the end of an exchange is: the provider's, or a client's that left."""
    if raised:
        return "client_disconnect" if disconnected else "exception"
    if answer.status >= 400:
        return "status"
    if answer.outcome.error:
        return "in_stream"
    # A stream without its format's end was cut, however politely the body was closed.
    if not answer.ended or (answer.stream and not answer.strange and not answer.outcome.whole):
        return "client_disconnect" if disconnected else "cut"
    return ""


def count_record(record: Record) -> list[tuple[str, float]]:
    """The increments of one record. A hit costs the provider nothing, so it moves none of its counters."""
    tokens = (record.usage.input_tokens, record.usage.output_tokens) if record.usage else (0, 0)
    if record.cache_status == "hit":
        return [(CACHE_HITS, 1.0), *_nonzero([(TOKENS_SAVED, float(sum(tokens)))])]
    failed = record.error_type not in ("", "client_disconnect")
    counts = [(INPUT_TOKENS, float(tokens[0])), (OUTPUT_TOKENS, float(tokens[1])), (TOKENS, float(sum(tokens)))]
    return [(REQ, 1.0), (LATENCY, record.duration * 1000), *_nonzero([*counts, (ERRORS, float(failed))])]


def _nonzero(counts: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(metric, amount) for metric, amount in counts if amount]
