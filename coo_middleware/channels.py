"""The two ASGI channels of one request, as we hold them: the client's content and the app's answer."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from coo_middleware.core.coding import CodingError
from coo_middleware.core.notice import add_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from starlette.types import Message, Receive, Scope, Send

    from coo_middleware.core.exchange import Exchange
    from coo_middleware.core.request import Headers
    from coo_middleware.core.rewriter import Rewriter
    from coo_middleware.recorder import Recorder

    Announce: TypeAlias = Callable[[int, Headers], Headers]

LINGER_SECONDS: Final = 5.0


class Content:
    """A request's content, read once; the app gets a faithful replay, then the live channel.

    A lost client is only ever seen on that channel: no server raises in `send`.
    """

    __slots__ = (
        "_limit",
        "_messages",
        "_receive",
        "_size",
        "body",
        "fault",
        "is_delivered",
        "is_disconnected",
        "is_whole",
    )

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive: Final = receive
        self._limit: Final = limit
        self._messages: deque[Message | Exception] = deque()
        self._size = 0
        self.body = b""
        self.fault = ""
        self.is_whole = False
        self.is_delivered: Callable[[], bool] = bool
        self.is_disconnected = False

    async def read(self) -> None:
        """Reads to the end, or until `limit` bytes are passed; `fault` says why `body` is not all."""
        chunks: list[bytes] = []
        while await self._read_message(chunks):
            pass
        self.is_whole = not self.fault
        self.body = b"" if self.fault else b"".join(chunks)

    def replace(self, body: bytes) -> None:
        """The app gets `body` for what was read."""
        self._messages = deque([{"type": "http.request", "body": body, "more_body": False}])

    def take(self) -> Message | None:
        """The next event of what was read, None where all were taken."""
        message = self._messages.popleft() if self._messages else None
        if isinstance(message, Exception):
            raise message
        return message

    async def is_left(self) -> bool:
        """Whether the next that is heard of the client is that it has left: for when all it had to say was read."""
        try:
            message = await self._receive()
        except Exception:
            # It is the app's to be told of, and the app listens to us.
            return False
        return bool(message["type"] == "http.disconnect")

    async def receive(self) -> Message:
        """The app's `receive`.

        A client that has all it needs hangs up: the openai SDK does so at `[DONE]`. The app would take that for a
        lost client and leave its own end unsaid, so it hears of it a little later, and mostly has ended by then.
        """
        message = self.take() or await self._receive()
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


@contextmanager
def asking(scope: Scope, content: Content, instead: tuple[bytes, Headers] | None) -> Iterator[None]:
    """The app gets another content and header section `instead` of what came, where there is one."""
    headers = scope.get("headers", ())
    if instead is not None:
        content.replace(instead[0])
        scope["headers"] = instead[1]
    try:
        yield
    finally:
        if instead is not None:
            scope["headers"] = headers


class Watch:
    """What we make of the messages of one answer: the exchange sees them, and a client that asked for no usage gets
    them without. A fault of ours is reported and costs the answer its place in the cache, no more. `is_odd`: something
    came that we do not know.
    """

    __slots__ = ("_exchange", "_recorder", "_rewriter", "is_odd")

    def __init__(self, exchange: Exchange, recorder: Recorder) -> None:
        self._exchange: Final = exchange
        self._recorder: Final = recorder
        self._rewriter: Rewriter | None = None
        self.is_odd = False

    @property
    def strips(self) -> bool:
        """Whether there may be something to take out."""
        return self._rewriter is not None

    def see(self, message: Message) -> bool:
        """The exchange sees a message, the start before it is forwarded; whether that went well."""
        try:
            if message["type"] == "http.response.body":
                self._exchange.add(bytes(message.get("body", b"")), more=message.get("more_body", False))
            elif message["type"] == "http.response.start":
                self._exchange.start(message["status"], tuple(message.get("headers", ())))
                self._rewriter = self._exchange.rewriter
                if message.get("trailers"):
                    self._note_odd()
            else:
                self._note_odd()
        except Exception as error:
            self.is_odd = self.is_odd or message["type"] == "http.response.start"
            self.give_up(message, error)
            return False
        return True

    def tell(self, message: Message, change: Callable[[Headers], list[tuple[bytes, bytes]]]) -> Message:
        """The start with its header section changed."""
        try:
            return {**message, "headers": change(tuple(message.get("headers", ())))}
        except Exception as error:
            return self.give_up(message, error)

    def strip(self, message: Message) -> Message:
        """The message without what was not asked for, the same object where nothing can be. Raises CodingError."""
        rewriter = self._rewriter
        if rewriter is None or message["type"] != "http.response.body":
            return message
        chunk, held = message.get("body", b""), rewriter.held
        try:
            return {**message, "body": rewriter.rewrite(chunk, more=message.get("more_body", False))}
        except CodingError:
            # The header section has promised the decoded content, and there is no more of it.
            raise
        except Exception as error:
            self._rewriter = None
            return self.give_up({**message, "body": held + chunk} if held else message, error)

    def give_up(self, message: Message, error: Exception) -> Message:
        """Reports a fault of ours; the message goes on as it is."""
        self._exchange.notice_unknown()
        self._recorder.report("internal_errors", error)
        return message

    def _note_odd(self) -> None:
        self.is_odd = True
        self._exchange.notice_unknown()


class Watcher:
    """The app's `send` where one client alone waits for the answer: every message goes to it at once, then the exchange
    sees it. `strips`: the client did not ask for usage that the app was asked for. `note_chunk` is told of each piece
    of content.
    """

    __slots__ = ("_announce", "_note_chunk", "_send", "_strips", "_watch", "is_disconnected")

    def __init__(
        self, watch: Watch, announce: Announce, send: Send, *, strips: bool, note_chunk: Callable[[], None]
    ) -> None:
        self._note_chunk: Final = note_chunk
        self._watch: Final = watch
        self._announce: Final = announce
        self._send: Final = send
        self._strips: Final = strips
        self.is_disconnected = False

    async def send(self, message: Message) -> None:
        """Forwards `message`."""
        if message["type"] == "http.response.body":
            await self._forward(self._watch.strip(message) if self._strips else message)
            if message.get("body"):
                self._note_chunk()
            self._watch.see(message)
        else:
            understood = self._watch.see(message) and message["type"] == "http.response.start"
            await self._forward(self._tell(message) if understood else message)

    def _tell(self, message: Message) -> Message:
        rewritten = self._strips and self._watch.strips
        return self._watch.tell(
            message,
            lambda headers: add_fields(headers, self._announce(message["status"], headers), rewritten=rewritten),
        )

    async def _forward(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            # From ASGI 2.4 on a server may say so when its client has left.
            self.is_disconnected = True
            raise
