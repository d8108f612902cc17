"""Replicas in processes of their own, which ask for the same answers at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Literal, TypeAlias

from coo_middleware.core.progress import End, Start
from coo_middleware.following import Following, LeaderLostError
from coo_middleware.lead import Lead
from coo_middleware.replicas import Replicas
from coo_middleware.stores import RuntimeStore, open_store
from coo_middleware.stores.guard import Guard
from tests.processes import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection

Role: TypeAlias = Literal["led", "followed", "found", "lost"]

START = Start(200, ((b"content-type", b"text/event-stream"),))
WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How an answer comes: a silence, then so many chunks with a pause before each; and how long a lease lasts. In
    seconds.
    """

    silence: float = 0.0
    chunks: int = 20
    pause: float = 0.01
    lease: float = 1.0

    def content(self, key: str) -> bytes:
        return b"".join(self.chunk(key, number) for number in range(self.chunks))

    def chunk(self, key: str, number: int) -> bytes:
        return f"{key}:{number};".encode()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replica came to the answer to `key`, what it is, and when its end was seen."""

    key: str
    role: Role
    content: bytes
    ended: float


class Replica:
    """One replica: leads, and stores what it led; follows; or finds."""

    def __init__(self, store: RuntimeStore, pace: Pace, tell: Connection | None = None) -> None:
        self.store, self.pace, self.tell = store, pace, tell
        self.replicas = Replicas(store, lease_seconds=pace.lease)

    async def ask(self, key: str, wait_seconds: float = WAIT_SECONDS) -> Outcome:
        found = await self.replicas.join(key, partial(self.store.get_cache, key), wait_seconds)
        if isinstance(found, Lead):
            return await self.lead(found, key)
        if isinstance(found, Following):
            return await follow(found, key)
        return Outcome(key, "found", found, time())

    async def lead(self, lead: Lead, key: str) -> Outcome:
        self.say("leads")
        await asyncio.sleep(self.pace.silence)
        lead.send(START)
        for number in range(self.pace.chunks):
            await asyncio.sleep(self.pace.pause)
            lead.send(self.pace.chunk(key, number))
            self.say("sent")
        lead.send(End())
        ended = time()
        await self.store.set_cache(key, self.pace.content(key), 600)
        await self.replicas.end(lead)
        return Outcome(key, "led", self.pace.content(key), ended)

    def say(self, event: str) -> None:
        if self.tell is not None:
            self.tell.send(event)


async def follow(following: Following, key: str) -> Outcome:
    content = b""
    try:
        async for part in following.parts():
            content += part if isinstance(part, bytes) else b""
    except LeaderLostError:
        return Outcome(key, "lost", content, time())
    return Outcome(key, "followed", content, time())


def run(settings: Mapping[str, object], pace: Pace, keys: Sequence[str], pipe: Connection, *, talks: bool) -> None:
    """Asks for all keys at once, when it is told to, and sends what came of it; with `talks`, every step as well."""

    async def work() -> list[Outcome]:
        async with Guard(open_store(settings), read_deadline_seconds=5, write_deadline_seconds=5) as store:
            replica = Replica(store, pace, pipe if talks else None)
            pipe.send("ready")
            await asyncio.to_thread(pipe.recv)
            outcomes = await asyncio.gather(*map(replica.ask, keys))
            await replica.replicas.close()
            return outcomes

    pipe.send(asyncio.run(work()))


class Process:
    """A process with one replica."""

    def __init__(self, settings: Mapping[str, object], pace: Pace, keys: Sequence[str], *, talks: bool = False) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        arguments = (settings, pace, keys, theirs)
        self._process = CONTEXT.Process(target=run, args=arguments, kwargs={"talks": talks}, daemon=True)
        self._process.start()
        theirs.close()
        assert "ready" == self.pipe.recv()

    def begin(self) -> None:
        self.pipe.send("begin")

    def hear(self, event: str) -> None:
        """Returns when it has told `event`."""
        while self.pipe.recv() != event:
            pass

    def kill(self) -> None:
        """As kill -9 does."""
        self._process.kill()
        self._process.join()

    def finish(self, seconds: float) -> list[Outcome]:
        """What came of it; fails when it hangs."""
        ends = monotonic() + seconds
        assert self.pipe.poll(max(0.0, ends - monotonic())), "a replica hangs"
        outcomes: list[Outcome] = self.pipe.recv()
        self._process.join()
        return outcomes
