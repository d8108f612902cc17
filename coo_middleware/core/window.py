"""Usage windows: which buckets answer for the last so many seconds. Bucket `n` of `size` seconds holds what was added
at any time `t` with `floor(t / size) == n`, the time in seconds since the epoch.

The oldest bucket counts whole, so that a limit is never overshot: an answer holds every increment of the window and
at most one bucket's worth of older ones.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Level:
    """Buckets of `size` seconds answer windows of up to `longest` seconds, a whole number of buckets."""

    size: int
    longest: int

    @property
    def kept(self) -> int:
        """How many buckets the longest window needs: its own, and the oldest one counted whole."""
        return self.longest // self.size + 1

    def bucket(self, now: float) -> int:
        """The number of the bucket that holds `now`."""
        return int(now // self.size)


LEVELS: Final = (Level(1, 120), Level(60, 7_200), Level(3_600, 35 * 86_400))
LONGEST_WINDOW: Final = LEVELS[-1].longest


def level_of(window_seconds: float) -> Level:
    """The finest level that answers the window. Raises ValueError for a window that is not within 1 s and 35 d."""
    if window_seconds >= 1:
        for level in LEVELS:
            if window_seconds <= level.longest:
                return level
    raise ValueError("window_seconds must be at least 1 and at most 3024000, which is 35 days")


def bucket_span(window_seconds: float, now: float) -> tuple[int, int]:
    """(size, oldest): the window is the sum of the buckets of `size` seconds from number `oldest` on. Buckets ahead
    of `now`, as another machine's clock may make, count too. Raises ValueError like `level_of`.
    """
    level = level_of(window_seconds)
    return level.size, level.bucket(now - window_seconds)


@dataclass(frozen=True, slots=True)
class Span:
    """The buckets of `size` seconds that a window takes in: the numbers from `oldest` to `newest`, which counts what
    lies ahead of it as well, so that their sum is the window's.
    """

    size: int
    oldest: int
    newest: int

    @property
    def count(self) -> int:
        """How many they are."""
        return self.newest - self.oldest + 1

    @property
    def begins(self) -> float:
        """When the oldest begins, in seconds since the epoch."""
        return float(self.oldest * self.size)

    def spread(self, buckets: Iterable[tuple[int, float]]) -> list[float]:
        """The amount of each bucket, the oldest first, by the number and the amount of any buckets."""
        amounts = [0.0] * self.count
        for number, amount in buckets:
            if number >= self.oldest:
                amounts[min(number, self.newest) - self.oldest] += amount
        return amounts


def span_of(window_seconds: float, now: float) -> Span:
    """The buckets that a window takes in. Raises ValueError like `level_of`."""
    size, oldest = bucket_span(window_seconds, now)
    return Span(size, oldest, int(now // size))


def divide(amounts: Sequence[float], samples: Sequence[float]) -> list[float]:
    """The mean of each bucket, 0 where there is no sample."""
    return [amount / each if each else 0.0 for amount, each in zip(amounts, samples, strict=True)]


class Windows:
    """The windows of one counter, in at most 10 KiB however much is added."""

    __slots__ = ("_rings",)

    def __init__(self, now: float) -> None:
        self._rings: Final = {level.size: _Ring(level.bucket(now), level.kept) for level in LEVELS}

    def add(self, amount: float, now: float, age: float = 0.0) -> None:
        """Counts `amount` `age` seconds before `now`, or before the latest time seen when the clock went back."""
        for size, ring in self._rings.items():
            bucket = int(now // size)
            ring.add(amount, bucket, bucket - int((now - age) // size) if age else 0)

    def last(self, window_seconds: float, now: float) -> float:
        """The sum of the last `window_seconds`. Raises ValueError like `level_of`."""
        size, oldest = bucket_span(window_seconds, now)
        return self._rings[size].since(oldest)

    def spread(self, span: Span) -> list[float]:
        """The amount of each bucket."""
        return self._rings[span.size].spread(span)

    def snapshot(self) -> dict[int, tuple[int, array[float]]]:
        """For each size of bucket the number of the newest one, and copies of the amounts that end with it."""
        return {size: ring.snapshot() for size, ring in self._rings.items()}

    def restore(self, rings: Mapping[int, tuple[int, array[float]]]) -> None:
        """Takes what `snapshot` gave in the place of what there is."""
        for size, (newest, amounts) in rings.items():
            self._rings[size].restore(newest, amounts)


class _Ring:
    # An array takes a quarter of a list's memory, and the garbage collector does not look at it.
    __slots__ = ("_amounts", "_kept", "_newest")

    def __init__(self, newest: int, kept: int) -> None:
        self._newest = newest
        self._kept: Final = kept
        self._amounts = array("d", [0.0])

    def add(self, amount: float, bucket: int, back: int) -> None:
        if bucket > self._newest:
            self._turn(bucket - self._newest)
        if back >= len(self._amounts):
            self._reach(min(back + 1, self._kept))
        if back < self._kept:
            self._amounts[-1 - back] += amount

    def since(self, oldest: int) -> float:
        length = self._newest - oldest + 1
        return sum(self._amounts[-length:]) if length > 0 else 0.0

    def spread(self, span: Span) -> list[float]:
        # Slices: a thousand counters must not hold up the event loop that serves requests.
        first = self._newest + 1 - len(self._amounts)
        before = min(max(0, first - span.oldest), span.count)
        amounts = [0.0] * before + self._amounts[max(0, span.oldest - first) :].tolist()
        ahead = sum(amounts[span.count :])
        amounts = amounts[: span.count] + [0.0] * (span.count - len(amounts))
        amounts[-1] += ahead
        return amounts

    def snapshot(self) -> tuple[int, array[float]]:
        return self._newest, self._amounts[:]

    def restore(self, newest: int, amounts: array[float]) -> None:
        self._newest, self._amounts = newest, amounts[-self._kept :]

    def _reach(self, buckets: int) -> None:
        self._amounts[:0] = array("d", [0.0]) * (buckets - len(self._amounts))

    def _turn(self, buckets: int) -> None:
        self._newest += buckets
        self._amounts.extend(repeat(0.0, min(buckets, self._kept)))
        del self._amounts[: -self._kept]
