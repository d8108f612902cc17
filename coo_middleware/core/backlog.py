"""Increments that wait for the store: merged by counter and by the bucket that a window will count them in.

So its size follows the number of counters and the length of an outage, never the traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from coo_middleware.core.window import LEVELS

CounterName: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Amount:
    """`delta` is the sum of `samples` increments of the counter `name`, made at `time` (seconds since 1970)."""

    name: CounterName
    time: float
    delta: float
    samples: int


class Backlog:
    """Gathers amounts. Beyond `limit` of them, old ones merge: to minutes, to hours, at last to one for each counter.
    None is ever dropped.
    """

    __slots__ = ("_limit", "_sums")

    def __init__(self, limit: int) -> None:
        self._limit: Final = limit
        self._sums: dict[tuple[CounterName, int], tuple[float, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, name: CounterName, delta: float, now: float, samples: int = 1) -> None:
        """Adds `delta`, made at `now`."""
        self._add(name, int(now), delta, samples)
        if len(self._sums) > self._limit:
            self._merge(now)

    def take(self) -> list[Amount]:
        """All that has gathered; afterwards the backlog is empty."""
        sums, self._sums = self._sums, {}
        return [Amount(name, float(second), delta, samples) for (name, second), (delta, samples) in sums.items()]

    def _add(self, name: CounterName, second: int, delta: float, samples: int) -> None:
        total, count = self._sums.get((name, second), (0.0, 0))
        self._sums[name, second] = (total + delta, count + samples)

    def _merge(self, now: float) -> None:
        amounts = self.take()
        for amount in amounts:
            self._add(amount.name, _coarse(int(amount.time), now), amount.delta, amount.samples)
        if len(self._sums) > self._limit:
            oldest = int(min(amount.time for amount in amounts))
            for amount in self.take():
                self._add(amount.name, oldest, amount.delta, amount.samples)


def _coarse(second: int, now: float) -> int:
    """The beginning of the bucket that a window reaching back to `second` counts it in."""
    for level in LEVELS:
        if now - second <= level.longest:
            return second - second % level.size
    return second - second % LEVELS[-1].size
