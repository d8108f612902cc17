"""Workers that share a store: uvicorn, the middleware, and an upstream which may kill the worker that calls it."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, answer, read_all, stream
from tests.crowd import EVENTS
from tests.redis_server import find_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Message, Receive, Scope, Send

KEY_ID: Final = "key1"
DRAINED: Final = "/drained"
PHASES: Final = ("called", "silent", "started", "first", "middle", "whole but the end", "whole", "returned")
_MARK: Final = b'"id":"c1"'

# Children of a process without threads, which has imported all this: they start at once, and a fork is safe there.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.replica_worker"])


def content(mark: str, *, streamed: bool) -> bytes:
    """The whole answer of the call with that mark."""
    return b"".join(EVENTS if streamed else (ANSWER,)).replace(_MARK, b'"id":"%b"' % mark.encode())


@dataclass(frozen=True, slots=True)
class Upstream:
    """An app that answers after a silence, with a pause before each message, in seconds. Each call leaves its mark in
    the file `calls`; the first one kills its process `delay` seconds after its `phase`, where that is not "".
    """

    calls: Path
    silence: float = 0.2
    pause: float = 0.0
    phase: str = ""
    delay: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        streamed = bool(json.loads(await read_all(receive)).get("stream"))
        scope["state"]["coo"].key_id = KEY_ID
        mark, reach = self._begin()
        reach("called")
        await asyncio.sleep(self.silence / 2)
        reach("silent")
        await asyncio.sleep(self.silence / 2)
        await self._answer(make_messages(mark, streamed=streamed), send, reach)
        reach("returned")

    def _begin(self) -> tuple[str, Callable[[str], None]]:
        """The mark of a new call, and what its phases are told to."""
        mark = os.urandom(4).hex()
        with self.calls.open("a") as file:
            is_first = not file.tell()
            file.write(f"{mark}\n")
        return mark, self._reach if is_first else _go_on

    def _reach(self, phase: str) -> None:
        if phase == self.phase:
            asyncio.get_running_loop().call_later(self.delay, os.kill, os.getpid(), signal.SIGKILL)

    async def _answer(self, messages: list[Message], send: Send, reach: Callable[[str], None]) -> None:
        last = len(messages) - 1
        phases = {0: "started", 1: "first", last // 2: "middle", last - 1: "whole but the end", last: "whole"}
        for place, message in enumerate(messages):
            await asyncio.sleep(self.pause)
            await send(message)
            if place in phases:
                reach(phases[place])


def _go_on(_phase: str) -> None:
    pass


def make_messages(mark: str, *, streamed: bool) -> list[Message]:
    """The messages of such an answer."""
    whole = content(mark, streamed=streamed)
    if streamed:
        return stream(*(event + b"\n\n" for event in whole.split(b"\n\n")[:-1]))
    return answer(*(whole[place : place + 20] for place in range(0, len(whole), 20)))


def serve(config: Mapping[str, object], upstream: Upstream, port: int) -> None:
    """One process of uvicorn, until it is killed. DRAINED is answered when all that was recorded is stored."""
    middleware = COOMiddleware(upstream, config)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == DRAINED:
            await middleware.drain()
            for message in answer(b"{}"):
                await send(message)
        else:
            await middleware(scope, receive, send)

    uvicorn.run(app, port=port, log_config=None)


class Worker:
    """One process of uvicorn, which has begun to start."""

    def __init__(self, config: Mapping[str, object], upstream: Upstream) -> None:
        self.port = find_port()
        self._process = CONTEXT.Process(target=serve, args=(config, upstream, self.port), daemon=True)
        self._process.start()

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def has_died(self, seconds: float) -> bool:
        """Whether it ends by itself within that time."""
        self._process.join(seconds)
        return not self.is_alive

    def kill(self) -> None:
        """As kill -9 does."""
        self._process.kill()
        self._process.join()
