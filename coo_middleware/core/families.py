"""The metrics that Prometheus sees, by its own rules for names, units and labels
(https://prometheus.io/docs/practices/naming/), and which series of ours each is made of.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from coo_middleware.core.series import (
    BOUNDS,
    COST_SAVED,
    COST_USED,
    DURATION,
    DURATION_SUM,
    FAILURES,
    FIRST_CHUNK,
    FIRST_CHUNK_SUM,
    REQUESTS,
    TOKENS_SAVED,
    TOKENS_USED,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.series import Series

# What this process has counted itself, and what all have, as the store has it: a query never meets both.
PROCESS_PREFIX: Final = "coo_"
FLEET_PREFIX: Final = "coo_fleet_"
OTHER: Final = "other"
BUILD_INFO: Final = "coo_build_info"

_WHOLE: Final = ("provider", "key", "model")
_TIMED: Final = ("provider", "model", "cache")
_SUM: Final = len(BOUNDS) + 1
# No label has a longer value.
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; `name` lacks the prefix. Of a histogram the last cell is the sum, and those before it are buckets,
    each counted by itself, the last of which has no bound.
    """

    name: str
    labels: tuple[str, ...]
    help: str
    is_histogram: bool = False

    @property
    def size(self) -> int:
        """How many cells one label set has."""
        return _SUM + 1 if self.is_histogram else 1

    @property
    def cost(self) -> int:
        """How many series Prometheus makes of one label set: each bucket is one, as are sum and count."""
        return _SUM + 2 if self.is_histogram else 1

    def fold(self, values: tuple[str, ...], *names: str) -> tuple[str, ...]:
        """The label values with `other` for the labels of these names."""
        pairs = zip(self.labels, values, strict=True)
        return tuple(OTHER if label in names else value for label, value in pairs)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an increment goes: a label set of a family, and which cell of it."""

    family: Family
    values: tuple[str, ...]
    cell: int = 0


REQUESTS_TOTAL: Final = Family("requests_total", (*_WHOLE, "cache", "status_class"), "Requests, by how they ended.")
TOKENS_TOTAL: Final = Family("tokens_total", (*_WHOLE, "type"), "Tokens that providers were asked for.")
TOKEN_PARTS_TOTAL: Final = Family("token_parts_total", (*_WHOLE, "part"), "Tokens among them that are of a kind.")
TOKENS_SAVED_TOTAL: Final = Family("tokens_saved_total", _WHOLE, "Tokens that reused and shared answers had cost.")
COST_TOTAL: Final = Family("cost_dollars_total", _WHOLE, "What calls of providers cost, where prices are known.")
COST_SAVED_TOTAL: Final = Family("cost_saved_dollars_total", _WHOLE, "What reused and shared answers had cost.")
FAILURES_TOTAL: Final = Family("failures_total", (*_WHOLE, "error_type"), "Requests that failed, by their cause.")
LIMITED_TOTAL: Final = Family("limited_total", _WHOLE, "Requests that limits refused.")
REQUEST_DURATION: Final = Family(
    "request_duration_seconds", _TIMED, "Time until a request was answered whole.", is_histogram=True
)
FIRST_CHUNK_TIME: Final = Family(
    "first_chunk_seconds", _TIMED, "Time until the first content of an answer was sent.", is_histogram=True
)

SHARED_FAMILIES: Final = (
    REQUESTS_TOTAL,
    TOKENS_TOTAL,
    TOKEN_PARTS_TOTAL,
    TOKENS_SAVED_TOTAL,
    COST_TOTAL,
    COST_SAVED_TOTAL,
    FAILURES_TOTAL,
    LIMITED_TOTAL,
    REQUEST_DURATION,
    FIRST_CHUNK_TIME,
)

CHUNK_GAP: Final = Family(
    "chunk_gap_seconds", ("provider", "model"), "Time between the chunks of a stream, on average.", is_histogram=True
)
OVERHEAD: Final = Family(
    "overhead_seconds", ("cache",), "Time that the middleware took before it answered or forwarded.", is_histogram=True
)
STORE_TIME: Final = Family(
    "store_seconds", ("cache",), "Time that a request waited for the store before that.", is_histogram=True
)
EVENTS_TOTAL: Final = Family("events_total", ("event",), "What else has happened, faults among it.")

# These are counted by a process alone, for no store is told of them.
OWN_FAMILIES: Final = (CHUNK_GAP, OVERHEAD, STORE_TIME, EVENTS_TOTAL)

_COUNTERS: Final = {
    REQUESTS: REQUESTS_TOTAL,
    TOKENS_USED: TOKENS_TOTAL,
    TOKENS_SAVED: TOKENS_SAVED_TOTAL,
    COST_USED: COST_TOTAL,
    COST_SAVED: COST_SAVED_TOTAL,
    FAILURES: FAILURES_TOTAL,
}
_BUCKETS: Final = {DURATION: REQUEST_DURATION, FIRST_CHUNK: FIRST_CHUNK_TIME}
_SUMS: Final = {DURATION_SUM: REQUEST_DURATION, FIRST_CHUNK_SUM: FIRST_CHUNK_TIME}
# The two that add up to all tokens; the other types are parts of these.
_TYPES: Final = ("input", "output")


def find_place(provider: str, key: str, model: str, series: Series) -> Place | None:
    """Where the increments of a series go that is counted for these; None where its bucket has no bound that is a
    number.
    """
    rest = [value if is_sound(value) else OTHER for value in series.labels[1:]]
    if series.name in _BUCKETS:
        cell = find_bucket(rest.pop())
        return None if cell is None else Place(_BUCKETS[series.name], (provider, model, *rest), cell)
    if series.name in _SUMS:
        return Place(_SUMS[series.name], (provider, model, *rest), _SUM)
    family = _COUNTERS[series.name]
    if family is TOKENS_TOTAL and rest[0] not in _TYPES:
        family = TOKEN_PARTS_TOTAL
    if family is FAILURES_TOTAL and rest[0] == "limited":
        family, rest = LIMITED_TOTAL, []
    return Place(family, (provider, key, model, *rest))


def is_sound(value: str) -> bool:
    """Whether a value can stand in a label, in any tool that shows it."""
    return len(value) <= _LONGEST and value.isprintable()


def find_bucket(bound: str) -> int | None:
    """The cell for a bucket up to `bound`; one that another version counted goes to the next bound of ours."""
    try:
        return bisect_left(BOUNDS, float(bound))
    except ValueError:
        return None


def put_time(cells: list[float], seconds: float) -> None:
    """Counts a time in a histogram's cells."""
    cells[bisect_left(BOUNDS, seconds)] += 1
    cells[_SUM] += seconds


def add_up(cells: Sequence[float]) -> tuple[list[float], float]:
    """A histogram's buckets, each with all below it as Prometheus has them, and the sum."""
    return [*accumulate(cells[:_SUM])], cells[_SUM]
