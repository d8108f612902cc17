"""Processes that write to one store at the same time, or until they are killed."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import sqlite3
import time
from contextlib import closing, suppress
from itertools import count
from typing import TYPE_CHECKING

from coo_middleware.stores import Increment, RuntimeStore
from coo_middleware.stores.file import FileStore
from coo_middleware.stores.sqlite import SqliteStore
from coo_middleware.stores.state import State, encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    Target = Callable[[str, Path, int, Connection], None]

COUNTER = ("p", "k", "req")
STORES = {"file": FileStore, "sqlite": SqliteStore}
LARGE = os.urandom(100_000)

# Children of a process without threads, which has imported all this: they start at once, and a fork is safe there.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.processes"])


def open_at(kind: str, path: Path) -> RuntimeStore:
    return STORES[kind](path=path)


def write_batches(kind: str, path: Path, first: int, acknowledge: Connection) -> None:
    """Applies one batch after another, from number `first` on, and tells each that is acknowledged."""

    async def write() -> None:
        async with open_at(kind, path) as store:
            await store.set_cache("large", LARGE, 600)
            for sequence in count(first):
                await store.apply("writer", sequence, [Increment(*COUNTER, 1)])
                acknowledge.send_bytes(b"%d" % sequence)

    asyncio.run(write())


def write_in_place(_kind: str, path: Path, first: int, acknowledge: Connection) -> None:
    """The control: writes a document of the same size over the former one, without any of our care."""
    for sequence in count(first):
        path.write_bytes(encode(State(responses={"large": (time.time(), LARGE)}, writers={"writer": (sequence, 0)})))
        acknowledge.send_bytes(b"%d" % sequence)


def received(pipe: Connection) -> list[int]:
    """What a child that ended has told."""
    told = []
    with suppress(EOFError):
        while True:
            told.append(int(pipe.recv_bytes()))
    return told


class Killing:
    """Starts a writer again and again, and kills it at any moment."""

    def __init__(self, kind: str, path: Path) -> None:
        self.kind, self.path = kind, path
        self.acknowledged = self.torn = self.lost = self.doubled = 0
        self.dice = random.Random(42)  # noqa: S311 -- not for secrets

    def run(self, kills: int) -> None:
        """Counts what went wrong; after each kill the writer sends its last batch again, with the same number."""
        for _ in range(kills):
            self.kill_one(write_batches)
            total = asyncio.run(self.total())
            self.lost += total < self.acknowledged
            self.doubled += total > self.acknowledged + 1
        self.torn += len([*self.path.parent.glob("*.corrupt-*")])

    def run_control(self, kills: int) -> None:
        """The same with the writer that takes no care."""
        for _ in range(kills):
            self.kill_one(write_in_place)

    def told(self, kills: int) -> str:
        """What went wrong, in words."""
        wrong = f"{self.torn} torn, {self.lost} lost, {self.doubled} doubled"
        return f"{self.kind}: {kills} kills, {self.acknowledged:,} batches acknowledged, {wrong}"

    def kill_one(self, target: Target) -> None:
        receiver, sender = CONTEXT.Pipe(duplex=False)
        arguments = (self.kind, self.path, self.acknowledged + 1, sender)
        child = CONTEXT.Process(target=target, args=arguments)
        child.start()
        sender.close()
        # One in four while it opens the store, the others while it writes.
        patience = self.dice.choice((0.0, 5.0, 5.0, 5.0))
        receiver.poll(patience)
        time.sleep(self.dice.uniform(0, 0.05))
        self.torn += self.path.exists() and not self.whole()
        child.kill()
        child.join()
        self.acknowledged = max(self.acknowledged, *received(receiver), 0)
        self.torn += self.path.exists() and not self.whole()

    def whole(self) -> bool:
        """Whether somebody else can read the file at this moment."""
        try:
            if self.kind == "file":
                json.loads(self.path.read_bytes())
                return True
            with closing(sqlite3.connect(self.path, 5)) as connection:
                return connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        except (ValueError, sqlite3.DatabaseError):
            return False

    async def total(self) -> float:
        async with open_at(self.kind, self.path) as store:
            return await store.get_total(*COUNTER)

    async def finish(self) -> float:
        """Sends the last batch once more, and returns the total."""
        async with open_at(self.kind, self.path) as store:
            await store.apply("writer", self.acknowledged + 1, [Increment(*COUNTER, 1)])
            return await store.get_total(*COUNTER)


def add_many(path: Path, number: int, times: int, tell: Connection) -> None:
    """Adds 1 so many times, fifty at once, keeps a response, and tells what it sees of a response of the parent's."""

    async def add() -> bytes | None:
        async with SqliteStore(path=path) as store:
            for begin in range(0, times, 50):
                await asyncio.gather(*(store.increment_usage(*COUNTER, 1) for _ in range(min(50, times - begin))))
            await store.set_cache(f"child-{number}", b"%d" % number, 600)
            return await store.get_cache("parent")

    tell.send_bytes(asyncio.run(add()) or b"")


def run_children(path: Path, children: int, times: int) -> list[bytes]:
    """What the children told, after all have ended."""
    pipes, processes = [], []
    for number in range(children):
        receiver, sender = CONTEXT.Pipe(duplex=False)
        processes.append(CONTEXT.Process(target=add_many, args=(path, number, times, sender)))
        processes[-1].start()
        sender.close()
        pipes.append(receiver)
    told = [pipe.recv_bytes() for pipe in pipes]
    for process in processes:
        process.join()
    return told
