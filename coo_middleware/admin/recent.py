"""Answers that are a second old at most: however many look, the store is asked once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

T = TypeVar("T")

FRESH_SECONDS: Final = 1.0
_MOST_KEPT: Final = 64


@dataclass(slots=True)
class _Slot(Generic[T]):
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: T | None = None
    ends: float = float("-inf")


class Recent(Generic[T]):
    """Remembers the last answers by name. `clock` gives monotonic seconds."""

    __slots__ = ("_clock", "_slots")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock: Final = clock
        self._slots: Final[OrderedDict[Hashable, _Slot[T]]] = OrderedDict()

    async def get(self, name: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to `name`, from `ask` where none is fresh; nothing is kept of one that failed."""
        slot = self._slots.setdefault(name, _Slot())
        self._slots.move_to_end(name)
        if len(self._slots) > _MOST_KEPT:
            self._slots.popitem(last=False)
        async with slot.lock:
            if slot.answer is None or self._clock() >= slot.ends:
                slot.answer = await ask()
                slot.ends = self._clock() + FRESH_SECONDS
            return slot.answer
