"""Increments on their way to the store: kept until it has them, sent in batches that it applies once."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from itertools import chain, islice
from secrets import token_hex
from time import time
from typing import TYPE_CHECKING, Final, TypeVarTuple

from coo_middleware.core.backlog import Backlog, Batch
from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores import Increment, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from coo_middleware.core.backlog import CounterName
    from coo_middleware.stores import RuntimeStore
    from coo_middleware.stores.journal import Journal

# Merging so many takes some tens of milliseconds of the event loop.
_BACKLOG_AMOUNTS: Final = 10_000
# So many go in one batch: a store must be done with it within its deadline.
_MOST_AMOUNTS: Final = 1_000
_MOST_UNSENT: Final = 64
_Ts = TypeVarTuple("_Ts")


class Outbox:
    """What this process sends to `store`, under a name that no other process has.

    A batch that failed is sent again as it was, under its own number, before anything newer, so that the store can
    tell whether it has it. With a `journal_folder` each batch is on disk before it is sent, however long the store is
    away; a disk that refuses does not keep it from the store. `now` gives seconds since 1970.
    """

    def __init__(self, store: RuntimeStore, journal_folder: str = "", *, now: Callable[[], float] = time) -> None:
        self._store: Final = store
        self._journal_folder: Final = journal_folder
        self.now: Final = now
        self._fault: Exception | None = None
        self._is_open = False
        self._begin()

    def __bool__(self) -> bool:
        return bool(self._queue or self._backlog)

    def add(self, name: CounterName, delta: float, samples: int = 1, time: float | None = None) -> None:
        """Adds `delta`, the sum of so many increments, the last of them made at `time`, else now."""
        self._backlog.add(name, delta, self.now() if time is None else time, samples)

    def follow_fork(self) -> bool:
        """Begins anew, under a name of its own, in a process that was forked from the one that gathered: what had
        gathered is the parent's to send. Whether it did.
        """
        if os.getpid() == self._process:
            return False
        self._begin()
        return True

    async def open(self) -> None:
        """Takes over what processes that are gone have left in the journal. Raises StoreError; `send` tries again."""
        if self._journal is not None and not self._is_open:
            self._queue.extend(await asyncio.to_thread(self._journal.open))
            self._is_open = True

    async def close(self) -> None:
        """Lets go of the journal. Raises StoreError."""
        if self._journal is not None:
            self._is_open = False
            await asyncio.to_thread(self._journal.close)

    async def send(self) -> None:
        """Returns when the store has all. Raises what the store raised, with nothing lost; when it has all, what the
        journal raised, or the ValueError of a batch that the store will never take and that was dropped.
        """
        await self._write(self.open)
        await self._pack()
        while self._queue:
            batch = self._queue[0]
            try:
                await self._store.apply(batch.writer, batch.sequence, self._increments(batch))
            except ValueError as error:
                self._fault = error
            self._queue.popleft()
            if self._journal is not None:
                await self._write(asyncio.to_thread, self._journal.forget, batch)
            await self._pack()
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _begin(self) -> None:
        self._process = os.getpid()
        self._writer = token_hex(16)
        self._sequence = 0
        self._backlog = Backlog(_BACKLOG_AMOUNTS)
        self._queue: deque[Batch] = deque()
        self._most_unsent = _MOST_UNSENT
        self._journal = _make_journal(self._journal_folder, self._writer)
        self._is_open = False

    async def _pack(self) -> None:
        # What is not on disk merges best in the backlog, so only a journal makes a second batch wait.
        while self._backlog and (self._journal is not None or not self._queue):
            self._sequence += 1
            batch = Batch(self._writer, self._sequence, tuple(self._backlog.take(_MOST_AMOUNTS)))
            self._queue.append(batch)
            if self._journal is not None:
                await self._write(asyncio.to_thread, self._journal.append, batch)
                await self._merge(self._journal)

    async def _merge(self, journal: Journal) -> None:
        """Makes few batches of many of ours that were never sent; the first, and another's, may have been."""
        unsent = [batch for batch in islice(self._queue, 1, None) if batch.writer == self._writer]
        if len(unsent) <= self._most_unsent:
            return
        merging = Backlog(_BACKLOG_AMOUNTS)
        for amount in chain.from_iterable(batch.amounts for batch in unsent):
            merging.add(amount.name, amount.delta, amount.time, amount.samples)
        # They take over the numbers of the first ones, which lie below all that will come.
        merged = [Batch(*_number(batch), tuple(merging.take(_MOST_AMOUNTS))) for batch in unsent if merging]
        if await self._write(asyncio.to_thread, journal.replace, unsent, merged):
            gone = {_number(batch) for batch in unsent}
            self._queue = deque([*(batch for batch in self._queue if _number(batch) not in gone), *merged])
        self._most_unsent = max(_MOST_UNSENT, 2 * len(merged))

    async def _write(self, step: Callable[[*_Ts], Awaitable[object]], *args: *_Ts) -> bool:
        """Takes a step with the journal; whether it could. The fault waits until the store has had its turn."""
        try:
            await step(*args)
        except StoreError as error:
            self._fault = error
            return False
        return True

    def _increments(self, batch: Batch) -> list[Increment]:
        now = self.now()
        return [
            Increment(*amount.name, amount.delta, amount.samples, age=min(max(0.0, now - amount.time), LONGEST_WINDOW))
            for amount in batch.amounts
        ]


def _number(batch: Batch) -> tuple[str, int]:
    return batch.writer, batch.sequence


def _make_journal(folder: str, writer: str) -> Journal | None:
    if not folder:
        return None
    # Only here: it needs locks that not every platform has.
    from coo_middleware.stores.journal import Journal

    return Journal(folder, writer)
