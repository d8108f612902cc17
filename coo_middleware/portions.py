"""Requests with several inputs: what is stored is looked up input by input, and only the rest is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from coo_middleware.core.coding import CodingError, decode_content
from coo_middleware.core.document import read_json
from coo_middleware.core.entry import EntryError
from coo_middleware.core.freshness import judge
from coo_middleware.core.notice import add_fields
from coo_middleware.core.outcome import Usage
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import Message

    from coo_middleware.cache import Cache
    from coo_middleware.core.batch import Batch, Rest
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.request import Headers
    from coo_middleware.prices import Prices
    from coo_middleware.recorder import Recorder

_T = TypeVar("_T")

# So many operations of one request are under way at once, and so long it looks for what is stored.
_AT_ONCE: Final = 8
_LOOK_UP_SECONDS: Final = 0.5
_STORE_SECONDS: Final = 30.0
_MOST_BYTES: Final = 268_435_456

_STATUS: Final = b"cache-status"
_OURS: Final = b"x-coo-cache"


class Shelf:
    """The entries of single inputs in `cache`. Faults of the store are reported to `recorder`, and are misses."""

    __slots__ = ("_cache", "_prices", "_recorder")

    def __init__(self, cache: Cache, recorder: Recorder, prices: Prices) -> None:
        self._cache: Final = cache
        self._prices: Final = prices
        self._recorder: Final = recorder

    async def look_up(self, batch: Batch, now: float) -> tuple[Entry | None, Rest | None]:
        """The entry that may answer the whole, and what is left to be asked for where it does not. An entry that lies
        under the key of the whole, as of an answer that could not be taken apart, goes first.
        """
        wishes = batch.plan.directives
        found: dict[bytes, Entry] = {}
        if not wishes.no_cache:

            async def fetch(digest: bytes) -> None:
                entry = await self._cache.look_up(batch.make_plan(digest))
                if entry is not None:
                    found[digest] = entry

            await self._each(fetch, (batch.plan.digest, *batch.distinct), _LOOK_UP_SECONDS)
        entry = found.pop(batch.plan.digest, None) or batch.merge(found)
        verdict = judge(entry, wishes, now) if entry else None
        # What may answer for an upstream that fails answers the whole, so all of it is asked for.
        if verdict is not None and (verdict.serves or verdict.spares):
            return entry, None
        return entry, batch.choose(found, now)

    async def store(self, batch: Batch, entry: Entry) -> None:
        """Stores what `entry`, the answer to the whole, says of each input."""
        entries = batch.take_apart(entry)
        for each in entries:
            self._cache.keep(each)

        async def put(each: Entry) -> None:
            await self._cache.store(batch.make_plan(each.digest).key, each)

        await self._each(put, entries, _STORE_SECONDS)

    def compose(self, gathered: Gathered, rest: Rest) -> list[Message] | None:
        """The answer to the whole, of what is stored and the rest that came; None where that cannot be."""
        try:
            messages = gathered.compose()
            if messages is not None and messages[0]["status"] == 200:
                self.settle(rest)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None
        return messages

    def settle(self, rest: Rest) -> None:
        """Counts what need not be asked for, once the rest has come."""
        if rest.entries:
            self._recorder.counts["partial_hits"] += 1
        for (provider, key_id), tokens in rest.saved.items():
            model = rest.left.plan.model
            cost = self._prices.cost(provider, model, Usage(tokens, None))
            self._recorder.add_saving(provider, key_id, model, tokens=tokens, cost=cost)

    async def _each(self, work: Callable[[_T], Awaitable[None]], items: Iterable[_T], seconds: float) -> None:
        """Does the work on each item, a few at once, until the time is up or the store fails."""
        pending = iter(items)
        tasks = [asyncio.create_task(self._run(work, pending)) for _ in range(_AT_ONCE)]
        try:
            await asyncio.wait(tasks, timeout=seconds)
        finally:
            for task in tasks:
                task.cancel()

    async def _run(self, work: Callable[[_T], Awaitable[None]], pending: Iterable[_T]) -> None:
        for item in pending:
            try:
                await work(item)
            except StoreError as error:
                self._recorder.report("store_errors", error)
                return
            except Exception as error:
                self._recorder.report("bad_entries" if isinstance(error, EntryError) else "internal_errors", error)


class Gathered:
    """The app's answer to what was left of a request, held back until it is all there."""

    __slots__ = ("_messages", "_rest")

    def __init__(self, rest: Rest) -> None:
        self._rest: Final = rest
        self._messages: Final[list[Message]] = []

    async def send(self, message: Message) -> None:
        """The app's `send`."""
        self._messages.append(message)

    def compose(self) -> list[Message] | None:
        """The answer to the whole, the app's own where it is a failure; None where it does not fit what was asked, so
        that the whole must be asked for.
        """
        start, body = self._read()
        if start is None or start["status"] != 200:
            return self._messages
        content = None if body is None else self._rest.complete(body)
        if content is not None:
            fields = [*_tell(start.get("headers", ()), self._rest), (b"content-length", b"%d" % len(content))]
            return [{**start, "headers": fields}, {"type": "http.response.body", "body": content}]
        told = read_json(body or b"")
        failed = isinstance(told, dict) and self._rest.whole.plan.format.read_body(told).error
        return self._messages if failed else None

    def _read(self) -> tuple[Message | None, bytes | None]:
        """The start, and the content decoded: None where it is not all there or is not only that."""
        if not self._messages or self._messages[0]["type"] != "http.response.start":
            return None, None
        start, *bodies = self._messages
        is_whole = bool(bodies) and not bodies[-1].get("more_body", False) and not start.get("trailers")
        if not is_whole or any(message["type"] != "http.response.body" for message in bodies):
            return start, None
        coding = b",".join(value for name, value in start.get("headers", ()) if name.lower() == b"content-encoding")
        try:
            return start, decode_content(b"".join(message.get("body", b"") for message in bodies), coding, _MOST_BYTES)
        except CodingError:
            return start, None


def _tell(headers: Headers, rest: Rest) -> Headers:
    """The app's header section for the whole. Where something of it was stored `fwd=partial` says so (RFC 9211 section
    2.2: a partial response was selected, and the request was for the complete one).
    """
    if not rest.entries:
        ours = [field for field in headers if field[0].lower() == _OURS]
        return add_fields(headers, ours, rewritten=True)
    told = [
        (name, value.replace(b"coo; fwd=miss", b"coo; fwd=partial", 1) if name.lower() == _STATUS else value)
        for name, value in headers
    ]
    return add_fields(told, ((_OURS, b"PARTIAL"),), rewritten=True)
