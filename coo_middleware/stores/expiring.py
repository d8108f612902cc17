"""Values that expire, in bounded memory, of which the garbage collector has nothing to see."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import islice
from math import frexp
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

K = TypeVar("K")
V = TypeVar("V")

# A lifetime is cut to whole steps of a power of two: it has 2^10 of them at least, and none is shorter than 2^-64 s.
_STEPS: Final = 11
_LEAST: Final = -64
# With each value that comes, so many leave that have expired: more than come, few enough that nobody waits.
_LEAVING: Final = 16
# So many keys are looked out at a time for leaving next.
_NEXT: Final = 256


class Expiring(Generic[K, V]):
    """Values by key, each until its time is over. Beyond `max_size` or `max_count` those leave that have expired, then
    the ones least recently used; a value that alone is larger is not kept. `measure` says what a key and a value take.
    `now` and `ends` are in seconds by one clock; a value leaves early by less than a thousandth of its lifetime.

    The collector does not track a dict of atoms, so its pauses stay as they are however many bytes lie in here.
    """

    __slots__ = ("_ends", "_lots", "_max_count", "_max_size", "_measure", "_moments", "_next", "size")

    def __init__(self, max_size: int, max_count: int, measure: Callable[[K, V], int]) -> None:
        self._max_size: Final = max_size
        self._max_count: Final = max_count
        self._measure: Final = measure
        self.size = 0
        # The least recently used comes first.
        self._ends: Final[dict[K, float]] = {}
        # By the moment at which they expire; the moments are a heap.
        self._lots: Final[dict[float, dict[K, V]]] = {}
        self._moments: Final[list[float]] = []
        # The least recently used of all, which comes last here: whoever took the first of _ends again and again would
        # walk over the gaps of all that left before.
        self._next: dict[K, None] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def get(self, key: K, now: float) -> tuple[V, float] | None:
        """The value, and when it expires; None when there is none, or its time is over."""
        ends = self._ends.get(key)
        if ends is None or ends <= now:
            return None
        del self._ends[key]
        self._ends[key] = ends
        if self._next:
            self._next.pop(key, None)
        return self._lots[ends][key], ends

    def put(self, key: K, value: V, now: float, ends: float) -> None:
        """Keeps `value` in place of the one before, which leaves in any case."""
        self.drop(key)
        self._sweep(now, _LEAVING)
        size = self._measure(key, value)
        # A comparison with NaN is false.
        if size > self._max_size or not ends > now:
            return
        ends -= ends % 2.0 ** max(frexp(ends - now)[1] - _STEPS, _LEAST)
        self._lot(ends)[key] = value
        self._ends[key] = ends
        self.size += size
        while self.size > self._max_size or len(self._ends) > self._max_count:
            self._make_room(now)

    def drop(self, key: K) -> None:
        """Forgets the value, if there is one."""
        ends = self._ends.get(key)
        if ends is not None:
            self._forget(key, self._lots[ends].pop(key))

    def items(self, now: float) -> Iterator[tuple[K, V]]:
        """What has not expired, the least recently used first."""
        return ((key, self._lots[ends][key]) for key, ends in self._ends.items() if ends > now)

    def _lot(self, ends: float) -> dict[K, V]:
        lot = self._lots.get(ends)
        if lot is None:
            lot = self._lots[ends] = {}
            heappush(self._moments, ends)
        return lot

    def _forget(self, key: K, value: V) -> None:
        del self._ends[key]
        self._next.pop(key, None)
        self.size -= self._measure(key, value)

    def _sweep(self, now: float, most: int) -> None:
        for _ in range(most):
            if not self._moments or self._moments[0] > now:
                return
            lot = self._lots[self._moments[0]]
            if lot:
                self._forget(*lot.popitem())
            else:
                del self._lots[heappop(self._moments)]

    def _make_room(self, now: float) -> None:
        if self._moments[0] <= now:
            self._sweep(now, 1)
            return
        if not self._next:
            self._next = dict.fromkeys(reversed([*islice(self._ends, _NEXT)]))
        self.drop(self._next.popitem()[0])
