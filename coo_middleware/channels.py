"""The two ASGI channels of one request, as we hold them: the client's content and the app's answer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from coo_middleware.core.coding import CodingError
from coo_middleware.core.notice import add_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Send

    from coo_middleware.core.exchange import Exchange
    from coo_middleware.core.request import Headers
    from coo_middleware.core.rewriter import Rewriter
    from coo_middleware.recorder import Recorder

LINGER_SECONDS: Final = 5.0


class Content:
    """A request's content, read once; the app gets a faithful replay, then the live channel.

    A lost client is only ever seen on that channel: no server raises in `send`.
    """

    __slots__ = ("_limit", "_messages", "_receive", "_size", "body", "fault", "is_delivered", "is_disconnected")

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive: Final = receive
        self._limit: Final = limit
        self._messages: deque[Message | Exception] = deque()
        self._size = 0
        self.body = b""
        self.fault = ""
        self.is_delivered: Callable[[], bool] = bool
        self.is_disconnected = False

    async def read(self) -> None:
        """Reads to the end, or until `limit` bytes are passed; `fault` says why `body` is not all."""
        chunks: list[bytes] = []
        while await self._read_message(chunks):
            pass
        self.body = b"" if self.fault else b"".join(chunks)

    def replace(self, body: bytes) -> None:
        """The app gets `body` for what was read."""
        self._messages = deque([{"type": "http.request", "body": body, "more_body": False}])

    async def receive(self) -> Message:
        """The app's `receive`.

        A client that has all it needs hangs up: the openai SDK does so at `[DONE]`. The app would take that for a
        lost client and leave its own end unsaid, so it hears of it a little later, and mostly has ended by then.
        """
        message = self._messages.popleft() if self._messages else await self._receive()
        if isinstance(message, Exception):
            raise message
        if message["type"] == "http.disconnect":
            if self.is_delivered():
                await asyncio.sleep(LINGER_SECONDS)
            self.is_disconnected = True
        return message

    async def _read_message(self, chunks: list[bytes]) -> bool:
        """Takes one message; whether more will come."""
        try:
            message = await self._receive()
        except Exception as error:
            # A body limit above us speaks to the app through its `receive`.
            self._messages.append(error)
            self.fault = "aborted"
            return False
        self._messages.append(message)
        if message["type"] != "http.request":
            self.fault = "aborted"
            return False
        chunk = message.get("body", b"")
        self._size += len(chunk)
        if self._size > self._limit:
            self.fault = "too-large"
            return False
        chunks.append(chunk)
        return bool(message.get("more_body", False))


class Watcher:
    """The app's `send`: every message goes to the client at once, then the exchange sees it."""

    __slots__ = ("_exchange", "_fields", "_recorder", "_rewriter", "_send", "is_disconnected")

    def __init__(self, exchange: Exchange, fields: Headers, recorder: Recorder, send: Send) -> None:
        self._exchange: Final = exchange
        self._fields: Final = fields
        self._recorder: Final = recorder
        self._send: Final = send
        self._rewriter: Rewriter | None = None
        self.is_disconnected = False

    async def send(self, message: Message) -> None:
        """Forwards `message`; a fault of ours is reported and costs the answer its place in the cache, no more."""
        if message["type"] == "http.response.body":
            await self._forward(self._rewrite(message))
            self._watch(message)
        elif message["type"] == "http.response.start":
            await self._forward(self._start(message))
        else:
            self._exchange.notice_unknown()
            await self._forward(message)

    async def _forward(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            # From ASGI 2.4 on a server may say so when its client has left.
            self.is_disconnected = True
            raise

    def _start(self, message: Message) -> Message:
        try:
            headers = tuple(message.get("headers", ()))
            self._exchange.start(message["status"], headers)
            self._rewriter = self._exchange.rewriter
            if message.get("trailers"):
                self._exchange.notice_unknown()
            return {**message, "headers": add_fields(headers, self._fields, rewritten=self._rewriter is not None)}
        except Exception as error:
            return self._give_up(message, error)

    def _rewrite(self, message: Message) -> Message:
        rewriter = self._rewriter
        if rewriter is None:
            return message
        chunk, held = message.get("body", b""), rewriter.held
        try:
            return {**message, "body": rewriter.rewrite(chunk, more=message.get("more_body", False))}
        except CodingError:
            # The header section has promised the decoded content, and there is no more of it.
            raise
        except Exception as error:
            self._rewriter = None
            return self._give_up({**message, "body": held + chunk} if held else message, error)

    def _watch(self, message: Message) -> None:
        try:
            self._exchange.add(bytes(message.get("body", b"")), more=message.get("more_body", False))
        except Exception as error:
            self._give_up(message, error)

    def _give_up(self, message: Message, error: Exception) -> Message:
        self._exchange.notice_unknown()
        self._recorder.report("internal_errors", error)
        return message
