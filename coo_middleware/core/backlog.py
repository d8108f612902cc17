"""Increments that wait for the store: merged by counter and by the bucket that a window will count them in.

So its size follows the number of counters and the length of an outage, never the traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from coo_middleware.core.window import LEVELS

CounterName: TypeAlias = tuple[str, str, str]

# Halved that often, even the longest level has room for less than a second.
_MOST_HALVINGS: Final = 22


@dataclass(frozen=True, slots=True)
class Amount:
    """`delta` is the sum of `samples` increments of the counter `name`, the last of them made at `time`, in seconds
    since 1970.
    """

    name: CounterName
    time: float
    delta: float
    samples: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What `writer` sends under `sequence`, always the same under the same number."""

    writer: str
    sequence: int
    amounts: tuple[Amount, ...]


class Backlog:
    """Gathers amounts, about `limit` of them: beyond that old ones merge, none is ever dropped.

    First those merge that every window counts in one bucket anyway. Where that is not enough, seconds become minutes,
    minutes hours, and the oldest one sum for each counter, sooner than a window would like: it then counts amounts as
    newer than they are, by a bucket of the coarser level, and so a limit is never overshot.
    """

    __slots__ = ("_bound", "_halvings", "_limit", "_sums")

    def __init__(self, limit: int) -> None:
        self._limit: Final = limit
        self._bound = limit
        self._halvings = 0
        self._sums: dict[tuple[CounterName, int], tuple[float, int, float]] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, name: CounterName, delta: float, now: float, samples: int = 1) -> None:
        """Adds `delta`, the sum of `samples` increments, made at `now`."""
        self._add(name, int(now), delta, samples, now)
        if len(self._sums) > self._bound:
            self._merge(now)

    def take(self, most: int | None = None) -> list[Amount]:
        """All amounts, or `most` of them, the first to come; they leave the backlog."""
        keys = list(islice(self._sums, most))
        sums = [(name, *self._sums.pop((name, bucket))) for name, bucket in keys]
        if not self._sums:
            self._bound, self._halvings = self._limit, 0
        return [Amount(name, time, delta, samples) for name, delta, samples, time in sums]

    def _add(self, name: CounterName, bucket: int, delta: float, samples: int, time: float) -> None:
        # The latest time stands for all: a bucket's begin would fall into the one before on a clock that is behind.
        place = (name, bucket)
        total, count, latest = self._sums.get(place, (0.0, 0, time))
        self._sums[place] = (total + delta, count + samples, max(latest, time))

    def _merge(self, now: float) -> None:
        room = self._limit * 3 // 4
        # Two of each counter are few enough: to halve on would cost time, and accuracy for little.
        enough = max(room, 2 * len({name for name, _ in self._sums}))
        self._regroup(now)
        while len(self._sums) > enough and self._halvings < _MOST_HALVINGS:
            self._halvings += 1
            self._regroup(now)
        # With more counters than there is room for, each addition would merge again.
        self._bound = self._limit if len(self._sums) <= room else max(self._limit, 2 * len(self._sums))

    def _regroup(self, now: float) -> None:
        sums, self._sums = self._sums, {}
        for (name, _), (delta, samples, time) in sums.items():
            self._add(name, self._bucket(time, now), delta, samples, time)

    def _bucket(self, time: float, now: float) -> int:
        """The begin of the bucket in which the windows that reach back to `time` count it, 0 when none does."""
        age = abs(now - time) * 2**self._halvings
        for level in LEVELS:
            if age < level.longest + level.size:  # the oldest bucket counts whole
                return int(time // level.size) * level.size
        return 0
