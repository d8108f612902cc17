"""What was used in truth, on its way to the store: kept until the store has it."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Final

from coo_middleware.timer import Timer

if TYPE_CHECKING:
    from coo_middleware.core.limits import Settlement
    from coo_middleware.recorder import Recorder
    from coo_middleware.stores import RuntimeStore

# A store must be done with a batch within its deadline.
_MOST_IN_BATCH: Final = 256
_MOST_UNSENT: Final = 10_000
_RETRY_SECONDS: Final = 0.25


class Settlements:
    """Sends settlements to `store` at once, and all that gather meanwhile in the next batch. One whose fate is unknown
    is sent again, since a store settles a ticket once; beyond 10,000 the oldest is dropped and counted as
    `settlements_dropped`: its lease gives back what it had reserved.
    """

    def __init__(self, store: RuntimeStore, recorder: Recorder) -> None:
        self._store: Final = store
        self._recorder: Final = recorder
        self._timer: Final = Timer(self.send, recorder.spawn)
        self._unsent: Final[dict[str, Settlement]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sending = asyncio.Lock()

    def add(self, settlement: Settlement) -> None:
        """Adds a settlement to the next batch."""
        self._unsent[settlement.ticket] = settlement
        if len(self._unsent) > _MOST_UNSENT:
            del self._unsent[next(iter(self._unsent))]
            self._recorder.counts["settlements_dropped"] += 1
        # A batch under way takes it along.
        if not self._adopt().locked():
            self._timer.set(0.0)

    def names(self) -> set[str]:
        """The limits that the store does not know the truth of yet."""
        return {take.name for settlement in self._unsent.values() for take in settlement.takes}

    async def send(self) -> bool:
        """Sends what has gathered; whether it could. If not, it is sent again a little later."""
        async with self._adopt():
            self._timer.stop()
            try:
                while self._unsent:
                    batch = list(islice(self._unsent.values(), _MOST_IN_BATCH))
                    if not await self._settle(batch):
                        return False
                    for settlement in batch:
                        self._unsent.pop(settlement.ticket, None)
            finally:
                if self._unsent:
                    self._timer.set(_RETRY_SECONDS)
        return True

    def stop(self) -> None:
        """Sends nothing more until something is added."""
        self._timer.stop()

    async def _settle(self, batch: list[Settlement]) -> bool:
        """Whether the store is done with a batch: one that it will never take is, and is reported."""
        try:
            await self._store.settle(batch)
        except Exception as error:
            self._recorder.report("store_errors", error)
            return isinstance(error, ValueError)
        return True

    def _adopt(self) -> asyncio.Lock:
        """The running loop's lock: what an earlier loop had under way is sent again."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._sending = loop, asyncio.Lock()
        return self._sending
