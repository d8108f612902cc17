"""A client without a socket: it speaks ASGI, and costs a microsecond or two a request."""

from __future__ import annotations

import asyncio
from time import process_time
from typing import TYPE_CHECKING, Final

from benchmarks.handler import OTHER_PATH, PATH

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

_SCOPE: Final = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": PATH,
    "raw_path": PATH.encode(),
    "query_string": b"",
    "root_path": "",
    "client": ("127.0.0.1", 50_000),
    "server": ("127.0.0.1", 8_000),
}
HEADERS: Final = (
    (b"host", b"127.0.0.1:8000"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer sk-benchmark"),
    (b"user-agent", b"benchmark"),
    (b"accept", b"*/*"),
)
# A request that is nobody's to cache.
OTHER: Final = {"method": "GET", "path": OTHER_PATH, "raw_path": OTHER_PATH.encode()}


async def ask(app: ASGIApp, content: bytes, **other: object) -> list[Message]:
    """The messages of the answer to one request; `other` replaces members of the scope."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    coming: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return coming.pop() if coming else await _stay()

    scope: Scope = {**_SCOPE, "headers": list(HEADERS), "state": {}, **other}
    await app(scope, receive, send)
    return messages


async def ask_stream(app: ASGIApp, content: bytes) -> tuple[float, float]:
    """The seconds to the first event of a streamed answer, and to its end."""
    times: list[float] = []

    async def send(_message: Message) -> None:
        times.append(process_time())

    coming: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return coming.pop() if coming else await _stay()

    scope: Scope = {**_SCOPE, "headers": list(HEADERS), "state": {}}
    began = process_time()
    await app(scope, receive, send)
    return times[1] - began, process_time() - began


def body_of(messages: list[Message]) -> bytes:
    """The content of an answer."""
    return b"".join(message.get("body", b"") for message in messages)


async def _stay() -> Message:
    """The client does not leave."""
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}
