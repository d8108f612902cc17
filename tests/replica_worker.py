"""A worker of several that share a store: uvicorn, the middleware, and an upstream that may kill the process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final

import uvicorn

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, CHUNKS, answer, read_all, stream
from tests.processes import CONTEXT
from tests.redis_server import find_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAINED: Final = "/drained"
EVENTS: Final = (*CHUNKS[:1] * 197, *CHUNKS[2:])
PHASES: Final = ("called", "silent", "started", "first", "middle", "last but one", "last", "ended")
_MARK: Final = b'"id":"c1"'
CONTEXT.set_forkserver_preload(["tests.processes", "tests.replica_worker"])


@dataclass(frozen=True, slots=True)
class Upstream:
    """How answers come: a silence, then a pause before each event, in seconds; each is noted in `calls`, and the one
    that finds it empty kills its process `delay` seconds after its `phase`, where that is not "".
    """

    calls: Path
    silence: float = 0.2
    pause: float = 0.0
    phase: str = ""
    delay: float = 0.0

    def note(self) -> tuple[str, bool]:
        """The mark of a new call, and whether it is the first."""
        self.calls.touch()
        with self.calls.open("ab") as file:
            first = not file.tell()
            mark = os.urandom(4).hex()
            file.write(f"{mark}\n".encode())
        return mark, first


def content(mark: str, *, streamed: bool) -> bytes:
    """The whole answer of the call with that mark."""
    return b"".join(EVENTS if streamed else (ANSWER,)).replace(_MARK, b'"id":"%b"' % mark.encode())


def make_upstream(upstream: Upstream) -> ASGIApp:
    """An app that answers as `upstream` says."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        streamed = bool(json.loads(await read_all(receive)).get("stream"))
        mark, first = upstream.note()
        reach = _Death(upstream).reach if first else _live
        reach("called")
        await asyncio.sleep(upstream.silence / 2)
        reach("silent")
        await asyncio.sleep(upstream.silence / 2)
        await _answer(_messages(mark, streamed=streamed), upstream.pause, send, reach)
        reach("ended")

    return app


async def _answer(messages: list[Message], pause: float, send: Send, reach: _Reach) -> None:
    phases = {0: "started", 1: "first", len(messages) // 2: "middle", len(messages) - 2: "last but one"}
    for place, message in enumerate(messages):
        if place and pause:
            await asyncio.sleep(pause)
        await send(message)
        reach(phases.get(place, ""))
    reach("last")


def _messages(mark: str, *, streamed: bool) -> list[Message]:
    own = b'"id":"%b"' % mark.encode()
    if streamed:
        return stream(*(event.replace(_MARK, own) for event in EVENTS))
    whole = ANSWER.replace(_MARK, own)
    return answer(*(whole[place : place + 20] for place in range(0, len(whole), 20)))


def serve(config: Mapping[str, object], upstream: Upstream, port: int) -> None:
    """One process of uvicorn, until it is killed. DRAINED is answered when all that was recorded is stored."""
    middleware = COOMiddleware(make_upstream(upstream), config)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == DRAINED:
            await middleware.drain()
            for message in answer(b"{}"):
                await send(message)
        else:
            await middleware(scope, receive, send)

    uvicorn.run(app, port=port, log_config=None)
