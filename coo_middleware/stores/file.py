"""FileStore: one JSON document that people can read, for one process."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Final, Self, TypeVar

from coo_middleware.stores import RuntimeStore, StoreError
from coo_middleware.stores.checks import (
    check_increments,
    check_key,
    check_ttl,
    check_writer,
)
from coo_middleware.stores.disk import locate
from coo_middleware.stores.keeper import Keeper
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.stores.worker import Worker

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Sequence

    from coo_middleware.core.labels import Purges
    from coo_middleware.core.limits import Admission, Settlement, Takes
    from coo_middleware.stores import CachePage, Counter, Increment, Points, StoreSettings, TotalsPage
    from coo_middleware.stores.keeper import Book

T = TypeVar("T")

# How often changes that could not be written are tried again when nobody asks.
RETRY_SECONDS: Final = 5.0


class FileStore(RuntimeStore):
    """Counters and responses in the JSON document at `path`, for one process; a second one is refused, with the name of
    the first. Every change writes the whole document, so that it suits what people want to look at, not much data.

    A change is acknowledged when a document that holds it has replaced the former one on the disk; changes that came
    while the last one was written share the next. What was acknowledged survives kill -9 and a loss of power. When the
    disk refuses, the operation raises StoreError and its change stays, not acknowledged: it is read, and written as
    soon as the disk allows, with the next change or within seconds. A file that cannot be read is set aside under a
    dated name. A store serves several event loops; after a fork it stays with the parent process.

    `usage_ttl_seconds`, `max_bytes`, `max_entries`: as in MemoryStore. `clock`: wall-clock seconds.
    """

    def __init__(
        self,
        *,
        path: str | os.PathLike[str],
        usage_ttl_seconds: float = 60.0,
        max_bytes: int = 268_435_456,
        max_entries: int = 100_000,
        clock: Callable[[], float] = time,
    ) -> None:
        self._path: Final = locate(path)
        self._clock: Final = clock

        def make() -> MemoryStore:
            return MemoryStore(
                usage_ttl_seconds=usage_ttl_seconds, max_bytes=max_bytes, max_entries=max_entries, clock=clock
            )

        self._keeper: Final = Keeper(self._path, make, clock)
        self._worker: Final = Worker("coo-file", self._keeper, RETRY_SECONDS)

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
        """Locks and reads the file."""
        await self._save()

    async def close(self) -> None:
        """Ends the thread and gives up the lock; a later operation takes it again. Raises StoreError when changes that
        were not acknowledged could not be written this time either.
        """
        try:
            await self._worker.stop()
        except OSError as error:
            raise self._failure(error) from error

    async def ping(self) -> None:
        """Raises StoreError unless the store is open and has nothing left to write."""
        await self._save()

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        return await self._ask(lambda book: book.memory.get_usage(provider, key_id, metric))

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        await self._change(lambda book: book.memory.set_usage(provider, key_id, metric, value))

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        await self._change(lambda book: book.memory.increment_usage(provider, key_id, metric, delta))

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        return await self._ask(lambda book: book.memory.get_usage_in_window(provider, key_id, metric, window_seconds))

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        """Every increment since the file was made, or since its counter last had to leave."""
        return await self._ask(lambda book: book.memory.get_total(provider, key_id, metric))

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        """Applies a batch once; a writer's number is remembered for 35 days after it wrote last."""
        check_writer(writer, sequence)
        check_increments(increments)
        await self._change(lambda book: book.apply(writer, sequence, increments, self._clock()))

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        check_key(key)
        check_ttl(ttl_seconds)
        await self._change(lambda book: book.set_cache(key, value, ttl_seconds, self._clock()))

    async def get_cache(self, key: str) -> bytes | None:
        return await self._ask(lambda book: book.memory.get_cache(key))

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        return await self._ask(lambda book: book.memory.get_cache_with_ttl(key))

    async def delete_cache(self, key: str) -> None:
        """Forgets what is stored under `key`, if anything, at once."""
        await self._change(lambda book: book.memory.delete_cache(key))

    async def purge(self, labels: Sequence[str]) -> int:
        return await self._change(lambda book: book.memory.purge(labels))

    async def get_purges(self, since: int) -> Purges:
        return await self._ask(lambda book: book.memory.get_purges(since))

    async def list_cache(self, cursor: str = "") -> CachePage:
        return await self._ask(lambda book: book.memory.list_cache(cursor))

    async def list_totals(self, cursor: str = "") -> TotalsPage:
        return await self._ask(lambda book: book.memory.list_totals(cursor))

    async def read_points(self, counters: Sequence[Counter], window_seconds: int) -> Points:
        return await self._ask(lambda book: book.memory.read_points(counters, window_seconds))

    async def claim(self, key: str, owner: str, lease_seconds: float) -> str:
        """Who leads the work on `key`. Leases are not written down: they end with the process."""
        return await self._ask(lambda book: book.memory.claim(key, owner, lease_seconds))

    async def release(self, key: str, owner: str) -> None:
        await self._ask(lambda book: book.memory.release(key, owner))

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        """Takes the first of `choices` that fits. What was taken is not written down: limits begin anew when the file
        is opened.
        """
        return await self._ask(lambda book: book.memory.reserve(ticket, choices, lease_seconds))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self._ask(lambda book: book.memory.settle(settlements))

    async def renew(self, settlements: Sequence[Settlement], lease_seconds: float) -> None:
        await self._ask(lambda book: book.memory.renew(settlements, lease_seconds))

    async def _ask(self, question: Callable[[Book], Awaitable[T]]) -> T:
        while True:
            # No question awaits anything, so that the thread never waits for an event loop.
            with self._keeper.lock:
                if self._keeper.book is not None:
                    return await question(self._keeper.book)
            await self._save()

    async def _change(self, change: Callable[[Book], Awaitable[T]]) -> T:
        async def changed(book: Book) -> tuple[T, int]:
            result = await change(book)
            self._keeper.changes += 1
            return result, self._keeper.losses

        result, losses = await self._ask(changed)
        await self._save()
        if losses != self._keeper.losses:
            raise StoreError(f"{self._path} could not be written before the store was closed; send the change again")
        return result

    async def _save(self) -> None:
        try:
            await self._worker.run(lambda _: None)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self._path} could not be opened or written: {error.strerror}; look at the folder's rights and the "
            "disk's free space"
        )
