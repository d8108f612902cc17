"""One record per request, and what it adds to the counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from coo_middleware.core.outcome import Usage
from coo_middleware.core.trial import Trial, count_trial

if TYPE_CHECKING:
    from coo_middleware.core.exchange import Answer

CacheStatus: TypeAlias = Literal["hit", "stale", "collapsed", "miss", "bypass"]
ErrorType: TypeAlias = Literal["", "exception", "status", "in_stream", "cut", "client_disconnect", "limited"]

REQ: Final = "req"
INPUT_TOKENS: Final = "input_tokens"
OUTPUT_TOKENS: Final = "output_tokens"
TOKENS: Final = "tokens"
CACHE_READ_TOKENS: Final = "cache_read_tokens"
CACHE_WRITE_TOKENS: Final = "cache_write_tokens"
REASONING_TOKENS: Final = "reasoning_tokens"
INPUT_AUDIO_TOKENS: Final = "input_audio_tokens"
OUTPUT_AUDIO_TOKENS: Final = "output_audio_tokens"
ESTIMATED_TOKENS: Final = "estimated_tokens"
ERRORS: Final = "errors"
LATENCY: Final = "latency"
CACHE_HITS: Final = "cache_hits"
STALE_HITS: Final = "stale_hits"
COLLAPSED: Final = "collapsed"
TOKENS_SAVED: Final = "tokens_saved"
COST: Final = "cost"
COST_SAVED: Final = "cost_saved"
LIMITED: Final = "limited"

# What was answered without asking the provider once more.
_SAVED: Final = {"hit": CACHE_HITS, "stale": STALE_HITS, "collapsed": COLLAPSED}
_UNKNOWN: Final = Usage(None, None)


@dataclass(frozen=True, slots=True)
class Record:
    """What one request was. `cache_status` "stale" is a hit past its lifetime, "collapsed" a request that shared
    another one's call: `usage` is then what that call cost. `status` is 0 when no answer began, `duration` in
    seconds, `usage` None when unknown.

    `stored` is "" when the answer was stored, else why it was not. `trial` is there where policy.cache.mode kept a
    stored response from answering. `cost` is what `usage` cost in US dollars, None when unknown. `asked` is False
    where this request itself asked no provider: it was "limited", or the handler reported each of its attempts, which
    have records of their own.

    In seconds: `first_chunk` until the first content of the answer was sent on, `chunk_gap` between its chunks on
    average, None where there was no second one; `store_time` that it waited for the store before it was answered or
    forwarded, `overhead` that we took ourselves until then.
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
    trial: Trial | None = None
    cost: float | None = None
    asked: bool = True
    first_chunk: float | None = None
    chunk_gap: float | None = None
    overhead: float = 0.0
    store_time: float = 0.0


def classify_error(answer: Answer, *, raised: bool, disconnected: bool) -> ErrorType:
    """Whose fault the end of an exchange is: the provider's, or a client's that left."""
    if raised:
        return "client_disconnect" if disconnected else "exception"
    if answer.status >= 400:
        return "status"
    if answer.outcome.error:
        return "in_stream"
    # A stream without its format's end was cut, however politely the body was closed.
    if not answer.ended or (answer.form == "stream" and not answer.strange and not answer.outcome.whole):
        return "client_disconnect" if disconnected else "cut"
    return ""


def count_record(record: Record, number: int = 1) -> list[tuple[str, float]]:
    """The increments of one record, or of so many of one kind whose duration, usage and cost it sums up. A hit, stale
    or not, and a request that shared another one's call cost the provider nothing, so they move none of its counters;
    nor does a request that limits refused.
    """
    if record.error_type == "limited":
        return [(LIMITED, float(number))]
    usage, cost = record.usage or _UNKNOWN, record.cost
    saved = _SAVED.get(record.cache_status)
    if saved is not None:
        return [(saved, float(number)), *_nonzero((TOKENS_SAVED, usage.tokens), (COST_SAVED, cost))]
    told = count_trial(record.trial, record.usage, cost, number) if record.trial else []
    return [*(_count_call(record, usage, number) if record.asked else ()), *told]


def _count_call(record: Record, usage: Usage, number: int) -> list[tuple[str, float]]:
    failed = record.error_type not in ("", "client_disconnect")
    counts = _nonzero(*_count_usage(usage), (COST, record.cost), (ERRORS, failed * number))
    return [(REQ, float(number)), (LATENCY, record.duration * 1000), *counts]


def _count_usage(usage: Usage) -> list[tuple[str, int | None]]:
    return [
        (INPUT_TOKENS, usage.input_tokens),
        (OUTPUT_TOKENS, usage.output_tokens),
        (TOKENS, usage.tokens),
        (CACHE_READ_TOKENS, usage.cache_read_tokens),
        (CACHE_WRITE_TOKENS, usage.cache_write_tokens),
        (REASONING_TOKENS, usage.reasoning_tokens),
        (INPUT_AUDIO_TOKENS, usage.input_audio_tokens),
        (OUTPUT_AUDIO_TOKENS, usage.output_audio_tokens),
        (ESTIMATED_TOKENS, usage.tokens if usage.estimated else 0),
    ]


def _nonzero(*counts: tuple[str, float | None]) -> list[tuple[str, float]]:
    return [(metric, float(amount)) for metric, amount in counts if amount]
