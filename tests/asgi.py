"""A raw ASGI driver: client libraries join or buffer what an app sends, so tests of single messages speak ASGI."""

import asyncio
import json
from collections import deque
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coo_middleware import COOMiddleware

Fields = Sequence[tuple[bytes, bytes]]

CHAT = "/v1/chat/completions"
JSON_FIELD = (b"content-type", b"application/json")
SSE_FIELD = (b"content-type", b"text/event-stream; charset=utf-8")
KEY = (b"authorization", b"Bearer sk-canary-1")

USAGE = b'"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}'
ANSWER = (
    b'{"id":"c1","object":"chat.completion","model":"gpt-5-mini","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],%b}' % USAGE
)
_CHUNK = b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-5-mini",'
CHUNKS = (
    _CHUNK + b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}\n\n',
    _CHUNK + b'"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}\n\n',
    _CHUNK + b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    _CHUNK + b'"choices":[],%b}\n\n' % USAGE,
    b"data: [DONE]\n\n",
)


def ask(prompt: str = "Say hello", **members: object) -> bytes:
    """The content of a chat request."""
    return json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": prompt}], **members}).encode()


# A stream that asks for its usage itself, so that nothing is asked for in its name.
ASK_STREAM = ask(stream=True, stream_options={"include_usage": True})


def make_scope(path: str = CHAT, headers: Fields = (JSON_FIELD, KEY), *, method: str = "POST") -> Scope:
    """An HTTP connection scope as uvicorn makes it; `path` may have a query."""
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def content(*chunks: bytes) -> list[Message]:
    """A request's content, one event a chunk."""
    last = len(chunks) - 1
    return [{"type": "http.request", "body": chunk, "more_body": place < last} for place, chunk in enumerate(chunks)]


def answer(*chunks: bytes, status: int = 200, headers: Fields = (JSON_FIELD,)) -> list[Message]:
    """An app's answer, one body message a chunk."""
    last = len(chunks) - 1
    return [
        {"type": "http.response.start", "status": status, "headers": list(headers)},
        *({"type": "http.response.body", "body": chunk, "more_body": at < last} for at, chunk in enumerate(chunks)),
    ]


def stream(*chunks: bytes) -> list[Message]:
    """A streamed answer that ends with an empty message, as Starlette's does."""
    return answer(*chunks, b"", headers=(SSE_FIELD,))


class Client:
    """One connection. Gives its events to the app, then waits until it leaves; `events` may hold errors to raise."""

    def __init__(self, *events: Message | Exception) -> None:
        self._events = deque(events)
        self._left = asyncio.Event()
        self._came = asyncio.Event()
        self.refusing: Exception | None = None
        self.messages: list[Message] = []

    async def receive(self) -> Message:
        """The server's `receive`."""
        if not self._events:
            await self._left.wait()
            return {"type": "http.disconnect"}
        event = self._events.popleft()
        if isinstance(event, Exception):
            raise event
        return event

    async def send(self, message: Message) -> None:
        """The server's `send`; raises `refusing` where that is set."""
        if self.refusing is not None:
            raise self.refusing
        self.messages.append(message)
        self._came.set()

    def leave(self) -> None:
        """Disconnects once all events were taken."""
        self._left.set()

    async def wait_for(self, count: int) -> None:
        """Returns when `count` messages have come."""
        while len(self.messages) < count:
            self._came.clear()
            await self._came.wait()

    @property
    def status(self) -> int:
        """The answer's status."""
        status: int = self.messages[0]["status"]
        return status

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The answer's header section."""
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        """All content that came so far."""
        return b"".join(message.get("body", b"") for message in self.messages)


class Script:
    """An app that reads its request to the end, then takes its steps: sends a message, waits for an event or raises."""

    def __init__(self, *steps: Message | asyncio.Event | BaseException) -> None:
        self.steps: Sequence[Message | asyncio.Event | BaseException] = steps
        self.received: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.received.append(await read_all(receive))
        for step in self.steps:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, BaseException):
                raise step
            else:
                await send(step)


async def read_all(receive: Receive) -> bytes:
    """A request's content up to its end or the disconnect."""
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


async def call(app: ASGIApp, body: bytes = b"", scope: Scope | None = None) -> Client:
    """Sends one request and returns when the app has."""
    client = Client(*content(body or ask()))
    await app(make_scope() if scope is None else scope, client.receive, client.send)
    return client


async def again(middleware: COOMiddleware, body: bytes = b"", scope: Scope | None = None) -> Client:
    """Sends one request when all earlier ones are settled."""
    await middleware.drain()
    return await call(middleware, body, scope)


async def total(middleware: COOMiddleware, metric: str) -> float:
    """What was counted so far, over all provider keys."""
    await middleware.drain()
    return sum([await middleware.store.get_total(*key, metric) for key in middleware._recorder._keys])
