"""What an operator is shown of a window: requests, reuse, tokens, money, failures and times."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.series import (
    BOUNDS,
    COST_SAVED,
    COST_USED,
    DURATION,
    FAILURES,
    FIRST_CHUNK,
    FIRST_CHUNK_SUM,
    REQUESTS,
    TOKENS_SAVED,
    TOKENS_USED,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.series import Series

Amounts: TypeAlias = defaultdict[str, float]

REUSED: Final = ("hit", "stale", "collapsed")
# Of tokens by type, those that the others are parts of.
WHOLE_TYPES: Final = ("input", "output")

_EDGES: Final = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


def find_quantile(buckets: Mapping[str, float], share: float) -> float | None:
    """The time in seconds below which `share` of the samples lie, None without any: interpolated within its bucket, as
    if the samples were spread evenly there. What is beyond the last bound counts as lying on it.
    """
    place, below = share * sum(buckets.values()), 0.0
    for number, edge in enumerate(_EDGES):
        count = buckets.get(edge, 0.0)
        if count > 0 and below + count >= place:
            end: float = BOUNDS[min(number, len(BOUNDS) - 1)]
            begin: float = BOUNDS[number - 1] if number else 0.0
            return begin + (end - begin) * (place - below) / count
        below += count
    return None


@dataclass(slots=True)
class Times:
    """A histogram of times in seconds, each bucket by its upper bound and counted by itself."""

    buckets: Amounts = field(default_factory=partial(defaultdict, float))
    total: float = 0.0

    def merge(self, other: Times) -> Times:
        """Both together."""
        merged = Times(self.buckets.copy(), self.total + other.total)
        for edge, count in other.buckets.items():
            merged.buckets[edge] += count
        return merged

    def document(self) -> dict[str, object]:
        """The shape of docs/admin.md."""
        count = sum(self.buckets.values())
        quantiles = {f"p{percent}": find_quantile(self.buckets, percent / 100) for percent in (50, 95)}
        return {"count": round(count), "mean": self.total / count if count else None, **quantiles}


@dataclass(slots=True)
class Figures:
    """Adds up series, each by what it counted."""

    caches: Amounts = field(default_factory=partial(defaultdict, float))
    statuses: Amounts = field(default_factory=partial(defaultdict, float))
    errors: Amounts = field(default_factory=partial(defaultdict, float))
    tokens: Amounts = field(default_factory=partial(defaultdict, float))
    sums: Amounts = field(default_factory=partial(defaultdict, float))
    reused: Times = field(default_factory=Times)
    forwarded: Times = field(default_factory=Times)
    first_chunk: Times = field(default_factory=Times)

    def add(self, series: Series, amount: float) -> None:
        """Counts `amount` of a series."""
        name, (_, *labels) = series.name, series.labels
        if name == REQUESTS:
            self.caches[labels[0]] += amount
            self.statuses[labels[1]] += amount
        elif name == FAILURES:
            self.errors[labels[0]] += amount
        elif name == TOKENS_USED:
            self.tokens[labels[0]] += amount
        elif name in (TOKENS_SAVED, COST_USED, COST_SAVED):
            self.sums[name] += amount
        elif name in (DURATION, FIRST_CHUNK):
            self._find_times(name, labels[0]).buckets[labels[1]] += amount
        else:
            self._find_times(name, labels[0]).total += amount

    @property
    def requests(self) -> float:
        """All of them."""
        return sum(self.caches.values())

    def document(self) -> dict[str, object]:
        """The shape of docs/admin.md."""
        return self._tell_requests() | self._tell_cost() | self._tell_times()

    def _tell_requests(self) -> dict[str, object]:
        reused, failures = sum(self.caches[each] for each in REUSED), sum(self.errors.values())
        cacheable = self.requests - self.caches["bypass"]
        return {
            "requests": round(self.requests),
            "hits": round(self.caches["hit"]),
            "stale": round(self.caches["stale"]),
            "collapsed": round(self.caches["collapsed"]),
            "misses": round(self.caches["miss"]),
            "bypassed": round(self.caches["bypass"]),
            "hit_ratio": reused / cacheable if cacheable > 0 else None,
            "statuses": _round_all(self.statuses),
            "failures": round(failures),
            "errors": _round_all(self.errors),
            "error_ratio": failures / self.requests if self.requests else None,
        }

    def _tell_cost(self) -> dict[str, object]:
        return {
            "tokens": round(sum(self.tokens[each] for each in WHOLE_TYPES)),
            "tokens_by_type": _round_all(self.tokens),
            "tokens_saved": round(self.sums[TOKENS_SAVED]),
            "cost": float(self.sums[COST_USED]),
            "cost_saved": float(self.sums[COST_SAVED]),
        }

    def _tell_times(self) -> dict[str, object]:
        return {
            "duration": self.reused.merge(self.forwarded).document(),
            "duration_reused": self.reused.document(),
            "duration_forwarded": self.forwarded.document(),
            "first_chunk": self.first_chunk.document(),
        }

    def _find_times(self, name: str, cache: str) -> Times:
        if name in (FIRST_CHUNK, FIRST_CHUNK_SUM):
            return self.first_chunk
        return self.reused if cache in REUSED else self.forwarded


def _round_all(counts: Mapping[str, float]) -> dict[str, int]:
    return {name: round(count) for name, count in sorted(counts.items()) if count}
