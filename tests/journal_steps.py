"""One process's life with its journal, taken step by step: killed after any of them, or with a fault in any."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.backlog import Batch
from coo_middleware.stores.journal import Journal
from tests.journal_kills import Log, applied, make_batch, send

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    import pytest

Attempt: TypeAlias = Callable[[Callable[[], None]], bool]

LEFT: Final = 3
OWN: Final = 12
CALLS: Final = ("open", "write", "fsync", "close", "rename", "unlink", "mkdir")


def names_of(batch: Batch) -> set[str]:
    return {amount.name[1] for amount in batch.amounts}


class Life:
    """What a process does with its journal from begin to end, with what it was told and what its store has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acknowledged: set[str] = set()
        self.store = Log(folder / "store")

    def prepare(self) -> None:
        """A process came before: it was killed when its store had one batch, which it had not forgotten yet."""
        journal = Journal(self.folder / "journal", "a")
        journal.open()
        for number in range(1, LEFT + 1):
            journal.append(make_batch("a", number))
            self.acknowledged |= names_of(make_batch("a", number))
        send(self.store, make_batch("a", 1))
        os.close(journal._file)

    def run(self, attempt: Attempt) -> None:
        """Adopts, appends, sends, forgets, merges, rewrites and closes; `attempt` makes each call, and may say that it
        failed.
        """
        journal = Journal(self.folder / "journal", "b")
        queue: list[Batch] = []
        attempt(lambda: queue.extend(journal.open()))
        for number in range(1, OWN + 1):
            batch = make_batch("b", number)
            queue.append(batch)
            if attempt(partial(journal.append, batch)):
                self.acknowledged |= names_of(batch)
            if number % 4 == 0:
                self.merge(journal, queue, attempt)
            if number % 2:
                self.send_first(journal, queue, attempt)
        while queue:
            self.send_first(journal, queue, attempt)
        attempt(journal.close)
        os.close(self.store.file)

    def send_first(self, journal: Journal, queue: list[Batch], attempt: Attempt) -> None:
        batch = queue.pop(0)
        send(self.store, batch)
        attempt(partial(journal.forget, batch))

    def merge(self, journal: Journal, queue: list[Batch], attempt: Attempt) -> None:
        unsent = [batch for batch in queue[1:] if batch.writer == "b"]
        merged = Batch("b", unsent[0].sequence, tuple(amount for batch in unsent for amount in batch.amounts))
        if attempt(partial(journal.replace, unsent, [merged])):
            queue[-len(unsent) :] = [merged]


def recover(folder: Path) -> Counter[str]:
    """What the store counts after the next process has sent what was left in `folder`."""
    store, journal = Log(folder / "store"), Journal(folder / "journal", "next")
    for batch in journal.open():
        send(store, batch)
        journal.forget(batch)
    journal.close()
    os.close(store.file)
    return applied(folder / "store")


class Steps:
    """Puts itself before and behind each call of the operating system that changes a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_watching = False
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrap(name, getattr(os, name)))

    def wrap(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **options: object) -> object:
            if not self.is_watching:
                return call(*args, **options)
            self.is_watching = False
            try:
                return self.take(name, lambda: call(*args, **options), args)
            finally:
                self.is_watching = True

        return step

    def take(self, name: str, call: Callable[[], object], args: tuple[object, ...]) -> object:
        """One step; not watched itself."""
        raise AssertionError


class Killing(Steps):
    """Keeps a copy of everything as it is after each step, and in the middle of each write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, life: Life, copies: Path) -> None:
        super().__init__(monkeypatch)
        self.life, self.copies = life, copies
        self.moments: list[tuple[Path, set[str]]] = []

    def take(self, name: str, call: Callable[[], object], args: tuple[object, ...]) -> object:
        if name == "write":
            self.tear(*args)
        result = call()
        self.keep()
        return result

    def tear(self, file: object, content: object) -> None:
        assert isinstance(file, int)
        assert isinstance(content, bytes)
        size = os.fstat(file).st_size
        for length in {0, 1, len(content) // 2, len(content) - 1}:
            os.write(file, content[:length])
            # A line of the store's own is not the journal's to mend.
            if file != self.life.store.file:
                self.keep()
            os.ftruncate(file, size)

    def keep(self) -> None:
        copy = self.copies / f"{len(self.moments):05}"
        shutil.copytree(self.life.folder, copy)
        self.moments.append((copy, self.life.acknowledged.copy()))


class Recording(Steps):
    """Keeps the names of the steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.names: list[str] = []

    def take(self, name: str, call: Callable[[], object], args: tuple[object, ...]) -> object:
        self.names.append(name)
        return call()


class Failing(Steps):
    """Lets the step of that number fail, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        super().__init__(monkeypatch)
        self.number = number

    def take(self, name: str, call: Callable[[], object], args: tuple[object, ...]) -> object:
        self.number -= 1
        if name == "close":
            result = call()  # the descriptor is gone, whatever close says
        if self.number == 0:
            raise OSError(errno.EIO, "injected")
        return result if name == "close" else call()
