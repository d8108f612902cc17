"""The counters of a MemoryStore."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coo_middleware.core.window import Windows, divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.window import Span


@dataclass(frozen=True, slots=True)
class Sums:
    """What a counter remembers of one of its quantities, its windows as `Windows.snapshot` gives them. A sum has one
    quantity, a mean has two: the amounts, then how many samples they were.
    """

    value: float
    expires: float
    total: float
    windows: dict[int, tuple[int, array[float]]]


class Sum:
    """The usage, the windows and the total of a counter that is a sum, whose usage lives `ttl` seconds."""

    __slots__ = ("_expires", "_ttl", "_value", "_windows", "total")

    def __init__(self, now: float, ttl: float) -> None:
        self._value = self.total = 0.0
        self._expires = now
        self._ttl: Final = ttl
        self._windows: Final = Windows(now)

    def value(self, now: float) -> float:
        return self._value if now < self._expires else 0.0

    def last(self, window_seconds: float, now: float) -> float:
        return self._windows.last(window_seconds, now)

    def spread(self, span: Span) -> list[float]:
        return self._windows.spread(span)

    def set(self, value: float, begin: float) -> None:
        self._value, self._expires = value, begin + self._ttl

    def add(self, amount: float, _samples: int, now: float, age: float) -> None:
        if age < self._ttl:
            if now < self._expires:
                self._value += amount
            else:
                self.set(amount, now)
        self.total += amount
        self._windows.add(amount, now, age)

    def snapshot(self) -> tuple[Sums, ...]:
        return (Sums(self._value, self._expires, self.total, self._windows.snapshot()),)

    def restore(self, sums: Sequence[Sums]) -> None:
        (only,) = sums
        self._value, self._expires, self.total = only.value, only.expires, only.total
        self._windows.restore(only.windows)


class Mean:
    """The same of one that is the mean of its samples."""

    __slots__ = ("_amounts", "_samples")

    def __init__(self, now: float, ttl: float) -> None:
        self._amounts: Final = Sum(now, ttl)
        self._samples: Final = Sum(now, ttl)

    @property
    def total(self) -> float:
        return _ratio(self._amounts.total, self._samples.total)

    def value(self, now: float) -> float:
        return _ratio(self._amounts.value(now), self._samples.value(now))

    def last(self, window_seconds: float, now: float) -> float:
        return _ratio(self._amounts.last(window_seconds, now), self._samples.last(window_seconds, now))

    def spread(self, span: Span) -> list[float]:
        return divide(self._amounts.spread(span), self._samples.spread(span))

    def set(self, value: float, begin: float) -> None:
        self._amounts.set(value, begin)
        self._samples.set(1, begin)

    def add(self, amount: float, samples: int, now: float, age: float) -> None:
        self._amounts.add(amount, 1, now, age)
        self._samples.add(samples, 1, now, age)

    def snapshot(self) -> tuple[Sums, ...]:
        return self._amounts.snapshot() + self._samples.snapshot()

    def restore(self, sums: Sequence[Sums]) -> None:
        amounts, samples = sums
        self._amounts.restore([amounts])
        self._samples.restore([samples])


def _ratio(amount: float, samples: float) -> float:
    return amount / samples if samples else 0.0
