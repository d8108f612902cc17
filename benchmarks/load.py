"""A load generator: connections that ask again as soon as they have their answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from benchmarks.driver import HEADERS
from benchmarks.handler import PATH
from benchmarks.serving import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = b"POST " + PATH.encode() + b" HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in HEADERS)
_LAST: Final = b"0\r\n\r\n"


class FailedError(Exception):
    """A server answered with something else than 200."""


@dataclass(slots=True)
class Load:
    """Seconds to the first byte of each answer's content and to its end; `seconds` in all."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    seconds: float = 0.0


def make_request(content: bytes) -> bytes:
    """The bytes of a request."""
    return b"%bcontent-length: %d\r\n\r\n%b" % (_HEAD, len(content), content)


async def put_under_load(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Load:
    """What so many connections saw in so many seconds; each ends with its answer under way."""
    load = Load()
    loop = asyncio.get_running_loop()
    began = perf_counter()
    made = [
        await loop.create_connection(
            lambda: _Connection(load, requests, began + seconds, loop.create_future()), HOST, port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in made))
    load.seconds = perf_counter() - began
    return load


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load, requests: Iterator[bytes], ends: float, done: asyncio.Future[None]) -> None:
        self.done: Final = done
        self._load: Final = load
        self._requests: Final = requests
        self._ends: Final = ends
        self._received = bytearray()
        # Where the content begins and ends, when it came and when it was asked for; 0 while that is not known.
        self._begins = self._length = 0
        self._first = self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._length == 0:
            self._read_head()
        if self._begins and not self._first and len(self._received) > self._begins:
            self._first = perf_counter()
        if self._begins and self._is_whole():
            self._note()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or FailedError("the connection was closed"))

    def _ask(self) -> None:
        self._received = bytearray()
        self._begins = self._length = 0
        self._first = 0.0
        request = next(self._requests)
        self._began = perf_counter()
        self._transport.write(request)

    def _read_head(self) -> None:
        ends = self._received.find(b"\r\n\r\n")
        if ends < 0:
            return
        head = bytes(self._received[:ends]).lower()
        if not head.startswith(b"http/1.1 200"):
            self.done.set_exception(FailedError(bytes(self._received[:200])))
            self._transport.abort()
            return
        self._begins = ends + 4
        _, found, length = head.partition(b"content-length: ")
        # A stream has no length.
        self._length = self._begins + int(length.partition(b"\r\n")[0]) if found else -1

    def _is_whole(self) -> bool:
        return self._received.endswith(_LAST) if self._length < 0 else len(self._received) >= self._length

    def _note(self) -> None:
        now = perf_counter()
        self._load.first.append(self._first - self._began)
        self._load.whole.append(now - self._began)
        if now < self._ends:
            self._ask()
        else:
            self.done.set_result(None)
            self._transport.close()
