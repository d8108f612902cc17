"""Increments on their way to the store: kept until it has them, sent in batches that it applies once."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from time import time
from typing import TYPE_CHECKING, Final

from coo_middleware.core.backlog import Amount, Backlog
from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores import Increment
from coo_middleware.stores.journal import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.backlog import CounterName
    from coo_middleware.stores import RuntimeStore
    from coo_middleware.stores.journal import Journal

_MOST_AMOUNTS: Final = 100_000
_MOST_BATCHES: Final = 64


class Outbox:
    """What `writer` sends to `store`.

    A batch that failed is sent again as it was, under its own number, before anything newer, so that the store can
    tell whether it has it. With a `journal` each batch is on disk before it is sent, however long the store is away.
    """

    def __init__(
        self, store: RuntimeStore, writer: str, journal: Journal | None = None, now: Callable[[], float] = time
    ) -> None:
        self._store: Final = store
        self._writer: Final = writer
        self._journal: Final = journal
        self._now: Final = now
        self._backlog: Final = Backlog(_MOST_AMOUNTS)
        self._queue: Final[deque[Batch]] = deque()
        self._sequence = 0

    def __bool__(self) -> bool:
        return bool(self._queue or self._backlog)

    def add(self, name: CounterName, delta: float) -> None:
        """Adds an increment, made now."""
        self._backlog.add(name, delta, self._now())

    async def open(self) -> None:
        """Takes over what processes that are gone have left in the journal. Raises StoreError."""
        if self._journal is not None:
            self._queue.extend(await asyncio.to_thread(self._journal.open))

    async def close(self) -> None:
        """Lets go of the journal."""
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)

    async def send(self) -> None:
        """Returns when the store has all. Raises what the store or the journal raised; nothing is lost by it."""
        await self._pack()
        while self._queue:
            batch = self._queue[0]
            await self._store.apply(batch.writer, batch.sequence, self._increments(batch))
            self._queue.popleft()
            if self._journal is not None:
                await asyncio.to_thread(self._journal.forget, batch)
            await self._pack()

    async def _pack(self) -> None:
        # What is not on disk merges best in the backlog, so only a journal makes a second batch wait.
        if not self._backlog or (self._queue and self._journal is None):
            return
        batch = self._number(self._backlog.take())
        self._queue.append(batch)
        if self._journal is not None:
            await asyncio.to_thread(self._journal.append, batch)
            if len(self._queue) > _MOST_BATCHES:
                await self._merge(self._journal)

    async def _merge(self, journal: Journal) -> None:
        """Makes one batch of ours that were never sent; the first, and another's, may be with the store already."""
        unsent = [batch for batch in islice(self._queue, 1, None) if batch.writer == self._writer]
        merging = Backlog(_MOST_AMOUNTS)
        for batch in unsent:
            for amount in batch.amounts:
                merging.add(amount.name, amount.delta, amount.time, amount.samples)
        merged = self._number(merging.take())
        await asyncio.to_thread(journal.append, merged, unsent)
        for _ in unsent:
            self._queue.pop()
        self._queue.append(merged)

    def _number(self, amounts: list[Amount]) -> Batch:
        self._sequence += 1
        return Batch(self._writer, self._sequence, tuple(amounts))

    def _increments(self, batch: Batch) -> list[Increment]:
        now = self._now()
        return [
            Increment(*amount.name, amount.delta, amount.samples, age=_age(now, amount)) for amount in batch.amounts
        ]


def _age(now: float, amount: Amount) -> float:
    # Amounts are gathered by the second: its middle stays in it, even where the store's clock differs a little.
    return min(max(0.0, now - amount.time - 0.5), LONGEST_WINDOW)
