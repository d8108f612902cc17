"""Increments on their way to the store: kept until it has them, sent in batches that it applies once."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import chain, islice
from secrets import token_hex
from time import time
from typing import TYPE_CHECKING, Final

from coo_middleware.core.backlog import Backlog
from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores import Increment
from coo_middleware.stores.journal import Batch, Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.backlog import CounterName
    from coo_middleware.stores import RuntimeStore

_BACKLOG_AMOUNTS: Final = 100_000
# So many go in one batch: a store must be done with it within its deadline.
_MOST_AMOUNTS: Final = 1_000
_MOST_UNSENT: Final = 64


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
        self._backlog: Final = Backlog(_BACKLOG_AMOUNTS)
        self._queue: Final[deque[Batch]] = deque()
        self._sequence = 0
        self._most_unsent = _MOST_UNSENT

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
        while self._backlog and (self._journal is not None or not self._queue):
            self._sequence += 1
            batch = Batch(self._writer, self._sequence, tuple(self._backlog.take(_MOST_AMOUNTS)))
            self._queue.append(batch)
            if self._journal is not None:
                await asyncio.to_thread(self._journal.append, batch)
                await self._merge(self._journal)

    async def _merge(self, journal: Journal) -> None:
        """Makes few batches of many of ours that were never sent; the first, and another's, may have been."""
        unsent = [batch for batch in islice(self._queue, 1, None) if batch.writer == self._writer]
        if len(unsent) <= self._most_unsent:
            return
        merging = Backlog(_BACKLOG_AMOUNTS)
        for amount in chain.from_iterable(batch.amounts for batch in unsent):
            merging.add(amount.name, amount.delta, amount.time, amount.samples)
        merged = [self._take_over(merging, batch) for batch in unsent if merging]
        await asyncio.to_thread(journal.replace, unsent, merged)
        for _ in unsent:
            self._queue.pop()
        self._queue.extend(merged)
        self._most_unsent = max(_MOST_UNSENT, 2 * len(merged))

    def _take_over(self, merging: Backlog, batch: Batch) -> Batch:
        return Batch(batch.writer, batch.sequence, tuple(merging.take(_MOST_AMOUNTS)))

    def _increments(self, batch: Batch) -> list[Increment]:
        now = self._now()
        return [
            Increment(*amount.name, amount.delta, amount.samples, age=min(max(0.0, now - amount.time), LONGEST_WINDOW))
            for amount in batch.amounts
        ]


def make_outbox(store: RuntimeStore, journal_folder: str) -> Outbox:
    """An outbox under a name that no other process has, with a journal where a folder is given."""
    writer = token_hex(16)
    return Outbox(store, writer, Journal(journal_folder, writer) if journal_folder else None)
