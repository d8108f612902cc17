"""What one process knows of a store's purges, never more than a second old while the store answers and requests come.

Nothing runs while no request comes. The first look-up after a pause waits for the store, as long as its deadline lets
it; under traffic the next copy is fetched before the last one is too old, and nobody waits. A store that does not
answer makes no response unusable: what this process keeps itself still answers, and the purge that it missed, if there
was one, counts as soon as the store is back.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Final

from coo_middleware.core.labels import Purges
from coo_middleware.stores import RuntimeStore, StoreAwayError
from coo_middleware.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.entry import Entry
    from coo_middleware.core.labels import Names

logger = logging.getLogger("coo_middleware")

LONGEST_SECONDS: Final = 1.0
_NEXT_SECONDS: Final = 0.5


class PurgeView:
    """The purges of `store`, as far as they are known here. `names` are those of a key in the store; `clock` never goes
    back.
    """

    __slots__ = (
        "_clock",
        "_ends",
        "_is_instant",
        "_is_told",
        "_memory",
        "_names",
        "_next",
        "_store",
        "_task",
        "purges",
    )

    def __init__(self, store: RuntimeStore, names: Names, clock: Callable[[], float] = monotonic) -> None:
        self._store: Final = store
        self._names: Final = names
        self._clock: Final = clock
        # Without a round trip the store is asked each time, unless it reads its purges from a response.
        self._is_instant: Final = store.in_process and type(store).get_purges is not RuntimeStore.get_purges
        # And one that keeps them at hand need not be asked.
        self._memory: Final = _find_memory(store)
        self._task: asyncio.Task[None] | None = None
        # When another copy is fetched, and when this one is too old.
        self._next = self._ends = float("-inf")
        self._is_told = False
        self.purges = Purges()

    def is_recent(self) -> bool:
        """Whether `purges` is young enough to be used without `refresh`."""
        if self._memory is not None:
            self.purges = self._memory.purges
            return True
        return not self._is_instant and self._clock() < self._next

    async def refresh(self) -> None:
        """Returns when `purges` is not too old, or the store did not answer."""
        if self.is_recent():
            return
        if self._is_instant:
            await self._fetch()
            return
        task = self._start()
        if self._clock() >= self._ends:
            # Not awaited itself: a request that is cancelled must not cancel what others wait for.
            await asyncio.wait([task])

    async def allows(self, entry: Entry) -> bool:
        """Whether `entry`, which was just found, may be reused. One that knows a later generation than this process
        does comes from a process that knows more, and so the store is asked once more.
        """
        if entry.generation > self.purges.generation:
            await asyncio.wait([self._start()])
        return not self.is_purged(entry)

    def is_purged(self, entry: Entry) -> bool:
        """Whether `entry` must not be reused, as far as is known."""
        return self.purges.is_purged(entry, self._names)

    def _start(self) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._fetch())
        return self._task

    async def _fetch(self) -> None:
        asked = self._clock()
        try:
            self.purges = self.purges.merge(await self._store.get_purges(self.purges.generation))
        except Exception as error:
            self._next = self._ends = self._clock() + _NEXT_SECONDS
            self._report(error)
        else:
            # What the store said was true when it was asked at the earliest.
            self._next, self._ends, self._is_told = asked + _NEXT_SECONDS, asked + LONGEST_SECONDS, False

    def _report(self, error: Exception) -> None:
        if not self._is_told and not isinstance(error, StoreAwayError):
            self._is_told = True
            logger.error("purges cannot be read, and count when they can be: %s", type(error).__name__)


def _find_memory(store: RuntimeStore) -> MemoryStore | None:
    if isinstance(store, MemoryStore) and store.in_process and type(store).get_purges is MemoryStore.get_purges:
        return store
    return None
