"""Processes that make increments in any store that `open_store` opens, all at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from coo_middleware.stores import Increment, RuntimeStore, StoreError, open_store
from tests.processes import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    Mode = Literal["apply", "increment"]

REQ = ("openai", "key1", "req")


async def apply(store: RuntimeStore, name: str, sequence: int) -> int:
    """Sends one batch until it is acknowledged; how often it was not."""
    failures = 0
    while True:
        try:
            await store.apply(name, sequence, [Increment(*REQ, 1)])
        except StoreError:
            failures += 1
        else:
            return failures


async def increment(store: RuntimeStore) -> int:
    """Makes one increment; 1 when it failed, which leaves open whether it counts."""
    try:
        await store.increment_usage(*REQ, 1)
    except StoreError:
        return 1
    return 0


def write(mode: Mode, settings: Mapping[str, object], name: str, count: int, tell: Connection) -> None:
    """Makes `count` increments, one after another, and tells how many calls failed."""

    async def work() -> int:
        async with open_store(settings) as store:
            if mode == "increment":
                return sum([await increment(store) for _ in range(count)])
            return sum([await apply(store, name, sequence) for sequence in range(1, count + 1)])

    tell.send(asyncio.run(work()))


def run_writers(mode: Mode, settings: Mapping[str, object], processes: int, count: int) -> int:
    """How many calls failed, of all processes together."""
    pipes, writers = [], []
    for number in range(processes):
        receiver, sender = CONTEXT.Pipe(duplex=False)
        writers.append(CONTEXT.Process(target=write, args=(mode, settings, f"writer-{number}", count, sender)))
        writers[-1].start()
        sender.close()
        pipes.append(receiver)
    failures = sum(int(pipe.recv()) for pipe in pipes)
    for writer in writers:
        writer.join()
    return failures
