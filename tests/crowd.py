"""Many equal requests at once, and an app that fails where it is told to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coo_middleware import COOMiddleware
from tests.asgi import CHUNKS, Client, Fields, Script, answer, ask, content, make_scope, read_all, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from coo_middleware.flight import Flight

# A stream of 200 events and its end.
EVENTS = (*CHUNKS[:1] * 197, *CHUNKS[2:])


def flight_of(middleware: COOMiddleware) -> Flight:
    """The only flight that others may join."""
    (flight,) = middleware._flights._table.values()
    return flight


class Crowd:
    """Requests to one middleware, each in its own task, as a server has them."""

    def __init__(self, middleware: COOMiddleware) -> None:
        self.middleware = middleware
        self.clients: list[Client] = []
        self.tasks: list[asyncio.Task[None]] = []

    def send(self, body: bytes = b"", fields: Fields | None = None, client: Client | None = None) -> Client:
        """Begins one request."""
        client = client or Client(*content(body or ask()))
        scope = make_scope() if fields is None else make_scope(headers=fields)
        self.clients.append(client)
        self.tasks.append(asyncio.create_task(self.middleware(scope, client.receive, client.send)))
        return client

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns when `holds` does; a look at each turn of the loop, since nothing tells of what is inside."""
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def gather(self, count: int) -> None:
        """Returns when the flight that may be joined has `count` followers."""
        table = self.middleware._flights._table
        await self.until(lambda: bool(table) and len(flight_of(self.middleware).readers) >= count)

    async def end(self) -> list[BaseException | None]:
        """What came out of each request, in their order, when all have ended."""
        async with asyncio.timeout(20):
            ends = await asyncio.gather(*self.tasks, return_exceptions=True)
            await self.middleware.drain()
        return ends

    def marks(self) -> list[bytes]:
        """What the answers say of the cache, sorted."""
        return sorted(client.fields[b"x-coo-cache"] for client in self.clients)


class Slow(Client):
    """A client whose connection takes nothing until it is told to."""

    def __init__(self, *events: Message) -> None:
        super().__init__(*events)
        self.gate = asyncio.Event()

    async def send(self, message: Message) -> None:
        await self.gate.wait()
        await super().send(message)


class Faulty:
    """An app whose first call stops after `place` messages, waits for its gate, and ends in `error`, or goes on."""

    def __init__(self, messages: Iterable[Message], place: int, error: BaseException | None) -> None:
        self.messages = [*messages]
        self.place, self.error = place, error
        self.gate = asyncio.Event()
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        await read_all(receive)
        for message in self.messages[: self.place]:
            await send(message)
        if self.calls == 1:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        for message in self.messages[self.place :]:
            await send(message)


def gated(body: bytes, *, streamed: bool, after: int) -> tuple[Script, asyncio.Event]:
    """An app that answers with `body` or with EVENTS, and waits for the event after so many messages."""
    gate = asyncio.Event()
    messages = stream(*EVENTS) if streamed else answer(body)
    return Script(*messages[:after], gate, *messages[after:]), gate


def mount(app: ASGIApp, **policy: object) -> COOMiddleware:
    """The middleware with settings under `policy`."""
    return COOMiddleware(app, {"policy": policy})
