"""Counters with labels: what exporters, the usage API and the dashboard read.

Beside the metrics of the storage guide a provider's key has series. A series is a metric whose name is the series' own
and its labels, joined by colons, each percent-encoded where it has to be: `requests:gpt-5-mini:hit:2xx`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.record import CacheStatus, Record

REQUESTS: Final = "requests"
TOKENS_USED: Final = "tokens_used"
TOKENS_SAVED: Final = "tokens_not_used"
COST_USED: Final = "cost_used"
COST_SAVED: Final = "cost_not_used"
FAILURES: Final = "failures"
DURATION: Final = "duration"
DURATION_SUM: Final = "duration_sum"
FIRST_CHUNK: Final = "first_chunk"
FIRST_CHUNK_SUM: Final = "first_chunk_sum"

# The labels of each series, in their order.
LABELS: Final[dict[str, tuple[str, ...]]] = {
    REQUESTS: ("model", "cache", "status_class"),
    TOKENS_USED: ("model", "type"),
    TOKENS_SAVED: ("model",),
    COST_USED: ("model",),
    COST_SAVED: ("model",),
    FAILURES: ("model", "error_type"),
    DURATION: ("model", "cache", "le"),
    DURATION_SUM: ("model", "cache"),
    FIRST_CHUNK: ("model", "cache", "le"),
    FIRST_CHUNK_SUM: ("model", "cache"),
}
# In seconds: those of the GenAI conventions of OpenTelemetry, and three below them for hits.
BOUNDS: Final = (0.001, 0.0025, 0.005, *(0.01 * 2**power for power in range(14)))

_BOUNDS: Final = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
_REUSED: Final[frozenset[CacheStatus]] = frozenset({"hit", "stale", "collapsed"})


@dataclass(frozen=True, slots=True)
class Series:
    """One counter with labels; `labels` are those of LABELS, in their order."""

    name: str
    labels: tuple[str, ...]


@lru_cache(4096)
def write_series(name: str, *labels: str) -> str:
    """The metric under which a series is counted."""
    return ":".join((name, *(quote(label, safe=" !#$&'()*+,/;=?@[]") for label in labels)))


def read_series(metric: str) -> Series | None:
    """The series that a metric is, None for a metric of the guide and for what is neither."""
    name, *labels = metric.split(":")
    if len(labels) != len(LABELS.get(name, ())) or name not in LABELS:
        return None
    return Series(name, tuple(map(unquote, labels)))


def find_bound(seconds: float) -> str:
    """The upper bound of the bucket that a duration falls into; each bucket is counted by itself."""
    return _BOUNDS[bisect_left(BOUNDS, seconds)]


def classify_status(status: int) -> str:
    """`2xx` and its like; `none` where no answer began."""
    return f"{status // 100}xx" if 100 <= status <= 599 else "none"


def count_series(record: Record, total: Record | None = None, number: int = 1) -> list[tuple[str, float]]:
    """The increments of one record, the model's name as it is to be counted; or of so many that are like it, whose
    times, usage and costs are summed up in `total`.
    """
    model, cache, total = record.model or "none", record.cache_status, total or record
    counts = [(write_series(REQUESTS, model, cache, classify_status(record.status)), float(number))]
    if record.error_type:
        counts.append((write_series(FAILURES, model, record.error_type), float(number)))
    counts += _count_times(record, total, number)
    if cache in _REUSED:
        saved = total.usage.tokens if total.usage else None
        return [*counts, *count_savings(model, saved, total.cost)]
    if not record.asked:
        return counts
    used = [(write_series(TOKENS_USED, model, kind), float(amount)) for kind, amount in _kinds(total.usage) if amount]
    return [*counts, *used, *_nonzero((COST_USED, model, total.cost))]


def count_savings(model: str, tokens: int | None, cost: float | None) -> list[tuple[str, float]]:
    """The increments of what was not used, of which there is no record of its own."""
    return _nonzero((TOKENS_SAVED, model or "none", tokens), (COST_SAVED, model or "none", cost))


def _count_times(record: Record, total: Record, number: int) -> list[tuple[str, float]]:
    labels, counts = (record.model or "none", record.cache_status), list[tuple[str, float]]()
    durations = (DURATION, DURATION_SUM, record.duration, total.duration)
    first_chunks = (FIRST_CHUNK, FIRST_CHUNK_SUM, record.first_chunk, total.first_chunk)
    for name, sum_name, seconds, summed in (durations, first_chunks):
        if seconds is not None and summed is not None:
            counts.append((write_series(name, *labels, find_bound(seconds)), float(number)))
            counts.append((write_series(sum_name, *labels), summed))
    return counts


def _kinds(usage: Usage | None) -> list[tuple[str, int | None]]:
    if usage is None:
        return []
    return [
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache_read", usage.cache_read_tokens),
        ("cache_write", usage.cache_write_tokens),
        ("reasoning", usage.reasoning_tokens),
        ("input_audio", usage.input_audio_tokens),
        ("output_audio", usage.output_audio_tokens),
        ("estimated", usage.tokens if usage.estimated else None),
    ]


def _nonzero(*counts: tuple[str, str, float | None]) -> list[tuple[str, float]]:
    return [(write_series(name, model), float(amount)) for name, model, amount in counts if amount]
