"""SqliteStore: one file that several processes of one machine share."""

from __future__ import annotations

import sqlite3
from functools import partial
from time import time
from typing import TYPE_CHECKING, Final, Self, TypeVar

from coo_middleware.core.labels import check_labels
from coo_middleware.core.window import span_of
from coo_middleware.stores import (
    CachePage,
    Increment,
    Points,
    RuntimeStore,
    StoreError,
    limit_rows,
    purge_rows,
    series_rows,
    tables,
)
from coo_middleware.stores.checks import (
    check_amount,
    check_claim,
    check_counter,
    check_increments,
    check_key,
    check_points,
    check_ttl,
    check_window,
    check_writer,
    read_cursor,
)
from coo_middleware.stores.database import Database, Reader, Writer, is_busy, is_malformed
from coo_middleware.stores.disk import locate
from coo_middleware.stores.limit_checks import check_lease, check_reservation, check_settlements
from coo_middleware.stores.machine_clock import MachineClock
from coo_middleware.stores.worker import Worker

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from sqlite3 import Connection

    from coo_middleware.core.labels import Purges
    from coo_middleware.core.limits import Admission, Settlement, Takes
    from coo_middleware.stores import Counter, StoreSettings, TotalsPage

T = TypeVar("T")

# Every so often what expired leaves, so many responses and counters at a time.
SWEEP_SECONDS: Final = 30.0


class SqliteStore(RuntimeStore):
    """Counters and responses in the SQLite database at `path`, on a local disk, for all processes of one machine.

    What was acknowledged survives the end of any process, kill -9 included; changes that wait at the same time share a
    transaction. When the machine itself loses its power, the last moments may be missing, everything before them is
    there, and no file is damaged. A malformed file is set aside under a dated name. One thread writes and one reads, so
    that a store serves several event loops, one process before and after a fork, and no other work waits.

    `usage_ttl_seconds`: how long a usage counter lives. `max_bytes`, `max_entries`: beyond either, the response that
    expires first leaves; a response that is larger than `max_bytes` is not stored. On the disk, responses may take
    twice as much. `clock`: wall-clock seconds; limits go by it too, and else by the time of machine_clock.py, on which
    all processes agree.
    """

    def __init__(
        self,
        *,
        path: str | os.PathLike[str],
        usage_ttl_seconds: float = 60.0,
        max_bytes: int = 268_435_456,
        max_entries: int = 100_000,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._path: Final = locate(path)
        self._usage_ttl: Final = usage_ttl_seconds
        self._max_bytes: Final = max_bytes
        self._max_entries: Final = max_entries
        self._clock: Final = clock or time
        self._limits: Final = MachineClock(clock, clock, str) if clock else MachineClock()
        self._swept = 0
        database = Database(self._path)
        self._writes: Final = Worker("coo-sqlite-write", Writer(database, self._sweep), SWEEP_SECONDS)
        self._reads: Final = Worker("coo-sqlite-read", Reader(database), SWEEP_SECONDS)

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> Self:
        """The store that the section `storage.runtime` describes."""
        return cls(
            path=settings.path,
            usage_ttl_seconds=settings.usage_ttl_seconds,
            max_bytes=settings.max_bytes,
            max_entries=settings.max_entries,
        )

    async def open(self) -> None:
        """Makes and checks the file."""
        await self._write(lambda _connection: None)

    async def close(self) -> None:
        """Ends both threads; a later operation opens the file again."""
        try:
            await self._writes.stop()
        finally:
            await self._reads.stop()

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        check_counter(provider, key_id, metric)
        return await self._read(lambda db: tables.read_usage(db, (provider, key_id, metric), self._clock()))

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        check_counter(provider, key_id, metric)
        check_amount(value)
        ttl = self._usage_ttl
        await self._write(lambda db: tables.set_usage(db, (provider, key_id, metric), value, self._clock() + ttl))

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        check_counter(provider, key_id, metric)
        check_amount(delta)
        await self._write(partial(self._add, [Increment(provider, key_id, metric, delta)]))

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        check_counter(provider, key_id, metric)
        check_window(window_seconds)
        return await self._read(
            lambda db: tables.read_window(db, (provider, key_id, metric), window_seconds, self._clock())
        )

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        """Every increment since the file was made."""
        check_counter(provider, key_id, metric)
        return await self._read(lambda db: tables.read_total(db, (provider, key_id, metric)))

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        """Applies a batch once; a writer's number is remembered for 35 days after it wrote last."""
        check_writer(writer, sequence)
        check_increments(increments)

        def apply_once(db: Connection) -> None:
            if tables.mark(db, writer, sequence, self._clock()):
                self._add(increments, db)

        await self._write(apply_once)

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        check_key(key)
        check_ttl(ttl_seconds)
        if tables.size_of(key, value) > self._max_bytes:
            # An older response must not outlive the one that replaced it.
            await self.delete_cache(key)
            return

        def store(db: Connection) -> None:
            tables.store_response(db, key, value, self._clock() + ttl_seconds)
            tables.evict(db, self._max_bytes, self._max_entries, key)

        await self._write(store)

    async def get_cache(self, key: str) -> bytes | None:
        found = await self.get_cache_with_ttl(key)
        return None if found is None else found[0]

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        check_key(key)
        return await self._read(lambda db: tables.read_response(db, key, self._clock()))

    async def delete_cache(self, key: str) -> None:
        """Forgets what is stored under `key`, if anything, at once."""
        check_key(key)
        await self._write(lambda db: tables.delete_response(db, key))

    async def purge(self, labels: Sequence[str]) -> int:
        check_labels(labels)
        return await self._write(lambda db: purge_rows.add_purge(db, labels))

    async def get_purges(self, since: int) -> Purges:
        return await self._read(lambda db: purge_rows.read_news(db, since))

    async def list_cache(self, cursor: str = "") -> CachePage:
        heads = await self._read(lambda db: tables.list_responses(db, cursor, self._clock()))
        return CachePage(tuple(heads), heads[-1][0] if len(heads) == tables.RESPONSES_PER_PAGE else "")

    async def list_totals(self, cursor: str = "") -> TotalsPage:
        after = read_cursor(cursor)
        return await self._read(lambda db: series_rows.list_totals(db, after))

    async def read_points(self, counters: Sequence[Counter], window_seconds: int) -> Points:
        check_points(counters, window_seconds)
        span = span_of(window_seconds, self._clock())
        values = await self._read(lambda db: series_rows.read_points(db, counters, span))
        return Points(span.begins, span.size, tuple(map(tuple, values)))

    async def claim(self, key: str, owner: str, lease_seconds: float) -> str:
        check_claim(key, owner, lease_seconds)
        holder = await self._read(lambda db: tables.read_claim(db, key, self._clock()))
        # Whoever has to wait asks again and again, and must not hold up those who write.
        if holder not in (None, owner):
            return holder

        def claim(db: Connection) -> str:
            now = self._clock()
            return tables.claim(db, key, owner, now, now + lease_seconds)

        return await self._write(claim)

    async def release(self, key: str, owner: str) -> None:
        check_claim(key, owner)
        await self._write(lambda db: tables.release(db, key, owner))

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        check_reservation(ticket, choices, lease_seconds)
        return await self._write(
            lambda db: limit_rows.reserve(db, ticket, choices, lease_seconds, self._limits.read(db))
        )

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        check_settlements(settlements)
        await self._write(lambda db: limit_rows.settle(db, settlements, self._limits.read(db)))

    async def renew(self, settlements: Sequence[Settlement], lease_seconds: float) -> None:
        check_settlements(settlements)
        check_lease(lease_seconds)
        await self._write(lambda db: limit_rows.renew(db, settlements, lease_seconds, self._limits.read(db)))

    async def _read(self, function: Callable[[Connection], T]) -> T:
        return await self._run(self._reads, function, "read")

    async def _write(self, function: Callable[[Connection], T]) -> T:
        return await self._run(self._writes, function, "written")

    async def _run(self, worker: Worker[Connection], function: Callable[[Connection], T], what: str) -> T:
        try:
            return await worker.run(function)
        except (sqlite3.Error, OSError) as error:
            # An error of SQLite names tables and files, never a value.
            raise StoreError(f"{self._path} could not be {what}: {error}; {_way_out(error)}") from error

    def _add(self, increments: Sequence[Increment], db: Connection) -> None:
        now = self._clock()
        for each in increments:
            tables.add(db, each, now, self._usage_ttl)

    def _sweep(self, db: Connection) -> bool:
        now = self._clock()
        more = tables.expire(db, now)
        more |= limit_rows.expire(db, self._limits.read(db))
        more |= tables.evict(db, self._max_bytes, self._max_entries, most=tables.RESPONSES_PER_STEP)
        self._swept = tables.trim_windows(db, self._swept, now)
        return more or self._swept > 0


def _way_out(error: Exception) -> str:
    if is_busy(error):
        return "another program keeps it locked, end that one"
    if is_malformed(error):
        return "it is set aside when it is opened next"
    return "look at the folder's rights and the disk's free space"
