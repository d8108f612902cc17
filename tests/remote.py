"""A store in memory that behaves like one far away: it can fail, be busy, hang, and lose its answers."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from coo_middleware.config import MetricsPolicy
from coo_middleware.core.limits import Take
from coo_middleware.outbox import Outbox
from coo_middleware.recorder import Recorder
from coo_middleware.stores import RuntimeStore, StoreError
from coo_middleware.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.limits import Admission, Settlement, Takes
    from coo_middleware.testing import Clock

TICKS = 2


class Remote(MemoryStore):
    """Raises `fault` where there is one; takes a few turns of the loop before and after it does what it is asked, and
    where it `loses_replies` fails only then.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.fault: Exception | None = None
        self.loses_replies = False
        self.gate: asyncio.Event | None = None
        self.calls: list[str] = []
        self.settled: list[Settlement] = []
        self.batches: list[int] = []
        self.renewed = asyncio.Event()

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        await self.arrive("reserve")
        admission = await super().reserve(ticket, choices, lease_seconds)
        await self.leave()
        return admission

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self.arrive("settle")
        self.batches.append(len(settlements))
        self.settled += settlements
        await super().settle(settlements)
        await self.leave()

    async def renew(self, settlements: Sequence[Settlement], lease_seconds: float) -> None:
        await self.arrive("renew")
        await super().renew(settlements, lease_seconds)
        self.renewed.set()
        await self.leave()

    async def arrive(self, name: str) -> None:
        self.calls.append(name)
        for _ in range(TICKS):
            await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault

    async def leave(self) -> None:
        for _ in range(TICKS):
            await asyncio.sleep(0)
        if self.loses_replies:
            raise StoreError("the reply was lost")


def make_recorder(store: RuntimeStore) -> Recorder:
    """A recorder of its own."""
    return Recorder(Outbox(store), MetricsPolicy(flush_seconds=60.0))


async def used(store: RuntimeStore, *takes: Take) -> list[float]:
    """What of these limits is used in the store at present."""
    probes = tuple(Take(take.name, take.limit, take.window_seconds, 0.0) for take in takes)
    # Not by the way that takes time and may fail.
    ask = partial(MemoryStore.reserve, store) if isinstance(store, Remote) else store.reserve
    admission = await ask("probe", (probes,), 0.001)
    assert admission is not None
    return [level.used for level in admission.levels[0]]
