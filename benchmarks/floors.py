"""What one could write by hand: the least cache, and the least cache with all features.

They are no products: no scope, no directives, no limits on what they keep, no care for faults.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import orjson
from blake3 import blake3

from benchmarks.contents import read, replay

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from benchmarks.shelves import Shelf

# Status, header pairs, content: nothing in it that the garbage collector looks at.
Entry = tuple[int, tuple[tuple[bytes, bytes], ...], bytes]
_FLUSH_SECONDS: Final = 0.05


async def reply(entry: Entry, send: Send) -> None:
    """Answers with an entry, in a header list of its own."""
    status, headers, content = entry
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": content})


def canonical_key(content: bytes) -> bytes:
    """The digest of a document as it is with its members sorted."""
    key: bytes = blake3(orjson.dumps(orjson.loads(content), option=orjson.OPT_SORT_KEYS)).digest()
    return key


class Kept:
    """Sends each message on and keeps it by reference."""

    __slots__ = ("_send", "chunks", "headers", "status")

    def __init__(self, send: Send) -> None:
        self._send: Final = send
        self.chunks: list[bytes] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0

    async def send(self, message: Message) -> None:
        """One message."""
        await self._send(message)
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.chunks.append(message.get("body", b""))

    def make_entry(self) -> Entry:
        """What was sent."""
        return self.status, tuple((name, value) for name, value in self.headers), b"".join(self.chunks)


def count(counts: Counter[str], entry: Entry) -> None:
    """Counts the request and the tokens that the end of the answer tells."""
    counts["req"] += 1
    content = entry[2]
    begins = content.rfind(b'"usage":{')
    if begins >= 0:
        usage = orjson.loads(content[begins + 8 : content.index(b"}", begins) + 1])
        counts["input_tokens"] += usage["prompt_tokens"]
        counts["output_tokens"] += usage["completion_tokens"]


class Least:
    """(c): a canonical key, a dict or one look-up in `shelf`, and counters."""

    def __init__(self, app: ASGIApp, shelf: Shelf | None = None) -> None:
        self._app: Final = app
        self._shelf: Final = shelf
        self._entries: Final[dict[bytes, Entry]] = {}
        self.counts: Final[Counter[str]] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        content = await read(receive)
        key = canonical_key(content)
        entry = self._entries.get(key) if self._shelf is None else await self._shelf.get(key)
        if entry is not None:
            self.counts["hits"] += 1
            await reply(entry, send)
            return
        kept = Kept(send)
        await self._app(scope, replay(content, receive), kept.send)
        entry = kept.make_entry()
        count(self.counts, entry)
        if self._shelf is None:
            self._entries[key] = entry
        else:
            await self._shelf.put({key: entry}, self.counts)

    async def drain(self) -> None:
        """Nothing is left to do."""


class LeastWhole:
    """(c3): a memo from the raw bytes to the key, one flight for equal requests, a first level, and counters and
    entries that go to `shelf` in batches.
    """

    def __init__(self, app: ASGIApp, shelf: Shelf | None = None) -> None:
        self._app: Final = app
        self._shelf: Final = shelf
        self._memo: Final[dict[bytes, bytes]] = {}
        self._entries: Final[dict[bytes, Entry]] = {}
        self._unsent: dict[bytes, Entry] = {}
        self._flights: Final[dict[bytes, asyncio.Future[Entry]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self.counts: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        content = await read(receive)
        raw = blake3(content).digest()
        key = self._memo.get(raw)
        if key is None:
            key = self._memo[raw] = canonical_key(content)
        entry = self._entries.get(key)
        if entry is None:
            flight = self._flights.get(key)
            if flight is None:
                await self._lead(key, scope, replay(content, receive), send)
                return
            entry = await flight
        self.counts["hits"] += 1
        self._schedule()
        await reply(entry, send)

    async def _lead(self, key: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        entry = await self._shelf.get(key) if self._shelf is not None else None
        if entry is None:
            kept = Kept(send)
            await self._app(scope, receive, kept.send)
            entry = kept.make_entry()
            count(self.counts, entry)
            if self._shelf is not None:
                self._unsent[key] = entry
        else:
            self.counts["hits"] += 1
            await reply(entry, send)
        self._entries[key] = entry
        flight.set_result(entry)
        del self._flights[key]
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._sending = asyncio.create_task(self.drain())

    async def drain(self) -> None:
        """Sends what has gathered."""
        if self._shelf is not None and self.counts:
            unsent, counts = self._unsent, self.counts
            self._unsent, self.counts = {}, Counter()
            await self._shelf.put(unsent, counts)

    async def close(self) -> None:
        """Sends the last, and lets go of the shelf."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            await self._sending
        await self.drain()
        if self._shelf is not None:
            await self._shelf.close()
