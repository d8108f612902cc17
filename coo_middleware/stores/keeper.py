"""The keeper of a FileStore's document: the book in memory, and the file on the disk that follows it."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Final

from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores import StoreError
from coo_middleware.stores.disk import lock, prepare, replace, set_aside, unlock
from coo_middleware.stores.state import State, VersionError, decode, encode
from coo_middleware.stores.worker import Hand, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from coo_middleware.stores import Increment
    from coo_middleware.stores.memory import MemoryStore


class Book:
    """What a document holds, in `memory`, which must be empty; and beside it when responses expire and which batch each
    writer sent last.
    """

    def __init__(self, memory: MemoryStore, state: State, now: float) -> None:
        self.memory: Final = memory
        self._expires: Final = {key: expires for key, (expires, _) in state.responses.items()}
        self._writers: Final = state.writers
        # In the order of their expiry: memory takes the last one as the one used last.
        responses = sorted((expires, key, value) for key, (expires, value) in state.responses.items() if expires > now)
        memory.restore(state.counters, ((key, value, expires - now) for expires, key, value in responses))
        memory.purges = state.purges

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment], now: float) -> None:
        """Applies a batch once."""
        last, _ = self._writers.get(writer, (0, now))
        self._writers[writer] = max(last, sequence), now
        if sequence > last:
            await self.memory.apply(writer, sequence, increments)

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float, now: float) -> None:
        """Stores a response."""
        await self.memory.set_cache(key, value, ttl_seconds)
        self._expires[key] = now + ttl_seconds

    def snapshot(self, now: float) -> State:
        """Copies, without the responses that are gone and the writers that were silent for 35 days."""
        for writer in [name for name, (_, used) in self._writers.items() if used < now - LONGEST_WINDOW]:
            del self._writers[writer]
        counters, responses = self.memory.snapshot()
        for key in self._expires.keys() - responses.keys():
            del self._expires[key]
        expiring = {key: (self._expires[key], value) for key, value in responses.items()}
        return State(counters, expiring, dict(self._writers), self.memory.purges)


class Keeper(Hand[None]):
    """Reads the book when there is work, and acknowledges work when the disk has the whole book. `changes` counts the
    changes made to the book, `losses` how often some were given up. Whoever looks at one of the three holds `lock`.
    """

    def __init__(self, path: Path, make: Callable[[], MemoryStore], clock: Callable[[], float]) -> None:
        self._path: Final = path
        self._make: Final = make
        self._clock: Final = clock
        self.lock = Lock()
        self.book: Book | None = None
        self.changes = self.losses = self._written = 0
        self._held: int | None = None

    def work(self, jobs: Sequence[Job[None]]) -> None:
        if self._held is None:
            self._open()
        self._write()
        for job in jobs:
            job.future.set_result(None)

    def rest(self) -> bool:
        """Tries again to write what could not be written."""
        self._write()
        return False

    def close(self) -> None:
        try:
            # A change may come while the last ones are written.
            while not self._retire():
                self._write()
        finally:
            self._let_go()

    def before_fork(self) -> None:
        """File and lock stay with the parent process."""

    def after_fork(self) -> None:
        """Closing the copy of its descriptor leaves the parent the lock."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)
        self.lock, self.book, self._written = Lock(), None, self.changes

    def _open(self) -> None:
        prepare(self._path)
        held = lock(self._path)
        try:
            book = Book(self._make(), self._read(), self._clock())
        except BaseException:
            unlock(held)
            raise
        self._held = held
        with self.lock:
            self.book = book

    def _read(self) -> State:
        try:
            return decode(self._path.read_bytes())
        except FileNotFoundError:
            return State()
        except VersionError as error:
            raise StoreError(f"{self._path}: {error}; use the program that wrote it, or move the file away") from error
        except ValueError as error:
            set_aside(self._path, str(error))
            return State()

    def _write(self) -> None:
        with self.lock:
            changes = self.changes
            if self.book is None or changes == self._written:
                return
            state = self.book.snapshot(self._clock())
        replace(self._path, encode(state))
        self._written = changes

    def _retire(self) -> bool:
        with self.lock:
            if self.book is not None and self.changes != self._written:
                return False
            self.book = None
            return True

    def _let_go(self) -> None:
        with self.lock:
            # A book is left when it could not be written.
            self.losses += self.book is not None
            self.book, self._written = None, self.changes
        held, self._held = self._held, None
        if held is not None:
            unlock(held)
