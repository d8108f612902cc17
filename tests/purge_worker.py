"""A worker process with a first level, which notices a purge that another process makes."""

from __future__ import annotations

import asyncio
import multiprocessing
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, cast

from coo_middleware.cache import Cache
from coo_middleware.core.entry import Entry
from coo_middleware.core.shape import Shape
from coo_middleware.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from coo_middleware.core.plan import Plan

# Children of a process without threads, which has imported all this: they start at once, and a fork is safe there.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.purge_worker"])


class Key:
    """As much of a plan as a look-up needs."""

    def __init__(self, number: int = 0) -> None:
        self.digest = number.to_bytes(32, "big")
        self.key = "1" + self.digest.hex()


def make_plan(number: int = 0) -> Plan:
    return cast("Plan", Key(number))


def make_entry(number: int = 0, generation: int = 0, tag: str = "docs") -> Entry:
    named = ("openai", "key1", "gpt-5", "openai.chat", Shape(stream=False), None, (), b'{"choices":[]}', 0.0, 0.0)
    return Entry(make_plan(number).digest, 1_700_000_000.0, 600.0, *named, generation, "", "caller", (tag,))


def serve(settings: Mapping[str, object], pipe: Connection) -> None:
    """Stores an entry and looks it up for ever, until it is gone; tells when the last look-up that found it began."""

    async def work() -> None:
        async with open_store(settings) as store:
            cache = Cache(store, 1_000_000)
            entry = replace(make_entry(), generation=await cache.begin())
            cache.keep(entry)
            await cache.store(make_plan().key, entry)
            last = 0.0
            while await cache.look_up(make_plan()):
                if not last:
                    pipe.send(0.0)
                last = monotonic()
                await asyncio.sleep(0)
            pipe.send(last)

    asyncio.run(work())
