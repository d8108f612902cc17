"""FileStore: one JSON document that people can read, for one process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import time
from typing import TYPE_CHECKING, Final, Self, TypeVar

from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores import RuntimeStore, StoreError, check_increments, check_key, check_ttl
from coo_middleware.stores.disk import locate, lock, prepare, set_aside, unlock
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.stores.state import State, VersionError, decode, encode
from coo_middleware.stores.worker import Hand, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from coo_middleware.stores import Increment, StoreSettings

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

        self._keeper: Final = _Keeper(self._path, make, clock)
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
        return await self._ask(lambda memory: memory.get_usage(provider, key_id, metric))

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

    async def delete_cache(self, key: str) -> None:
        """Forgets what is stored under `key`, if anything, at once."""
        await self._change(lambda book: book.memory.delete_cache(key))

    async def _ask(self, question: Callable[[_Book], Awaitable[T]]) -> T:
        while True:
            # No question awaits anything, so that the thread never waits for an event loop.
            with self._keeper.lock:
                if self._keeper.book is not None:
                    return await question(self._keeper.book)
            await self._save()

    async def _change(self, change: Callable[[_Book], Awaitable[None]]) -> None:
        async def changed(book: _Book) -> int:
            await change(book)
            self._keeper.changes += 1
            return self._keeper.losses

        losses = await self._ask(changed)
        await self._save()
        if losses != self._keeper.losses:
            raise StoreError(f"{self._path} could not be written before the store was closed; send the change again")

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


class _Book:
    """What a document holds: memory, and beside it when responses expire and what writers sent last."""

    def __init__(self, memory: MemoryStore, state: State, now: float) -> None:
        self.memory: Final = memory
        self._expires: Final = {key: expires for key, (expires, _) in state.responses.items()}
        self._writers: Final = state.writers
        # In the order of their expiry: memory takes the last one as the one used last.
        responses = sorted(state.responses.items(), key=lambda each: each[1][0])
        memory.restore(
            state.counters, ((key, value, expires - now) for key, (expires, value) in responses if expires > now)
        )

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment], now: float) -> None:
        last, _ = self._writers.get(writer, (0, now))
        self._writers[writer] = max(last, sequence), now
        if sequence > last:
            await self.memory.apply(writer, sequence, increments)

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float, now: float) -> None:
        await self.memory.set_cache(key, value, ttl_seconds)
        self._expires[key] = now + ttl_seconds

    def snapshot(self, now: float) -> State:
        """Copies, without what expired or was forgotten."""
        for writer in [name for name, (_, used) in self._writers.items() if used < now - LONGEST_WINDOW]:
            del self._writers[writer]
        counters, responses = self.memory.snapshot()
        for key in self._expires.keys() - responses.keys():
            del self._expires[key]
        return State(
            counters, {key: (self._expires[key], value) for key, value in responses.items()}, dict(self._writers)
        )


class _Keeper(Hand[None]):
    """The document on the disk and the book in memory. `changes` counts the changes made to the book, `losses` how
    often some of them were given up. Whoever looks at any of the three holds `lock`.
    """

    def __init__(self, path: Path, make: Callable[[], MemoryStore], clock: Callable[[], float]) -> None:
        self._path: Final = path
        self._make: Final = make
        self._clock: Final = clock
        self.lock = Lock()
        self.book: _Book | None = None
        self.changes = self.losses = self._written = 0
        self._held = -1

    def work(self, jobs: Sequence[Job[None]]) -> None:
        if self.book is None:
            self._open()
        self._write()
        for job in jobs:
            job.future.set_result(None)

    def rest(self) -> bool:
        self._write()
        return False

    def close(self) -> None:
        try:
            # A change may come while the last ones are written.
            while not self._retire():
                self._write()
        except BaseException:
            self.losses += 1
            raise
        finally:
            self._forget()
            if self._held >= 0: 
                unlock(self._held)
                self._held = -1

    def before_fork(self) -> None:
        """The parent process keeps file and lock."""

    def after_fork(self) -> None:
        """Closing the copy of the descriptor leaves the parent its lock."""
        self.lock = Lock()
