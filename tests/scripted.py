"""A scripted upstream behind the mounted middleware: it plays recorded answers once each, a message an event."""

import json
import re
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from inspect import isawaitable
from pathlib import Path
from typing import Final

from anyio.from_thread import BlockingPortal
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coo_middleware import COOMiddleware
from example_app.loopback import InFlight
from tests.asgi import read_all

CORPUS: Final = Path(__file__).parent / "corpus"
MEDIA: Final = {
    ".json": b"application/json",
    ".sse": b"text/event-stream",
    ".ndjson": b"application/x-ndjson",
    ".eventstream": b"application/vnd.amazon.eventstream",
}
Arguments = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream plays: its media type and its pieces; `breaks` closes the connection behind the last one."""

    media: bytes
    pieces: tuple[bytes, ...]
    breaks: bool = False

    @property
    def streams(self) -> bool:
        return self.media != MEDIA[".json"]

    def cut(self, *, breaks: bool) -> "Answer":
        """All but the last piece, and an end that is proper or broken."""
        return replace(self, pieces=self.pieces[:-1], breaks=breaks)


@dataclass(frozen=True, slots=True)
class Call:
    """A method of an SDK's client, what it is given, and the answer."""

    sdk: str
    method: str
    arguments: Arguments
    answer: Answer


def recorded(name: str) -> Answer:
    """An answer of the corpus, by its file's name there."""
    path = CORPUS / name
    content = path.read_bytes()
    pieces = {".json": lambda whole: [whole], ".eventstream": _frames}.get(path.suffix, _blocks)(content)
    return Answer(MEDIA[path.suffix], tuple(pieces))


def body(document: Arguments) -> Answer:
    """A whole answer of JSON."""
    return Answer(MEDIA[".json"], (json.dumps(document).encode(),))


def lines(*documents: Arguments) -> Answer:
    """A stream of lines of JSON."""
    return Answer(MEDIA[".ndjson"], tuple(json.dumps(document).encode() + b"\n" for document in documents))


def events(*documents: Arguments, done: bool = False) -> Answer:
    """A stream of events without names, closed by `[DONE]` where the provider does so."""
    datas = [json.dumps(document) for document in documents] + ["[DONE]"] * done
    return Answer(MEDIA[".sse"], tuple(f"data: {data}\n\n".encode() for data in datas))


def _blocks(content: bytes) -> list[bytes]:
    """Events with the blank line that ends each, or lines where no blank one is."""
    end = rb"(?:\r?\n){2}" if content.startswith((b"data", b"event")) else rb"\n"
    return re.findall(rb".+?" + end + rb"|.+\Z", content, re.DOTALL)


def _frames(content: bytes) -> Iterator[bytes]:
    """The frames of AWS's event stream, each of which begins with its length."""
    start = 0
    while start < len(content):
        end = start + int.from_bytes(content[start : start + 4], "big")
        yield content[start:end]
        start = end


class Upstream:
    """Plays each answer of its script once, whatever it is asked; a call behind the last one fails with 500."""

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        self.calls += 1
        if not self.script:
            await _play(Answer(MEDIA[".json"], (b'{"message": "The script has ended."}',)), send, 500)
            return
        await _play(self.script.popleft(), send, 200)


async def _play(answer: Answer, send: Send, status: int) -> None:
    fields = [(b"content-type", answer.media)]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    for piece in answer.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if answer.breaks:
        raise ConnectionAbortedError("This answer breaks off, as its script says.")
    await send({"type": "http.response.body", "body": b""})


class Tap:
    """Notes what the middleware says of the cache in each answer, as the client gets it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.statuses: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(dict(message["headers"])[b"x-coo-cache"].decode())
            await send(message)

        await self._app(scope, receive, note_and_send if scope["type"] == "http" else send)


class Stage:
    """The middleware before a scripted upstream, under uvicorn at `url`."""

    def __init__(self, serve: Callable[[ASGIApp], str], portal: BlockingPortal) -> None:
        self.upstream = Upstream()
        self._tap = Tap(COOMiddleware(self.upstream))
        self._served = InFlight(self._tap)
        self._portal = portal
        self.url = serve(self._served)

    def begin(self, *answers: Answer) -> None:
        """Starts a new script, and counts and notes afresh."""
        self.upstream.script = deque(answers)
        self.upstream.calls = 0
        self._tap.statuses.clear()

    def seen(self) -> tuple[int, list[str]]:
        """How often the upstream was called and what the cache did, once every request is settled."""
        self._portal.call(self._served.settled)
        return self.upstream.calls, list(self._tap.statuses)


def parsed(value: object) -> object:
    """What an SDK made of an answer, as values to compare; a stream is read to its end.

    Google's SDK puts the response's header section, which tells the date and the cache, beside what it parsed.
    """
    if isinstance(value, BaseModel):
        return type(value), value.model_dump(exclude={"sdk_http_response"})
    return [parsed(item) for item in value] if isinstance(value, Iterable) else value


async def parsed_async(value: object) -> object:
    """The same for what an asynchronous client gave."""
    if isawaitable(value):
        return await parsed_async(await _result(value))
    return [parsed(item) async for item in value] if isinstance(value, AsyncIterable) else parsed(value)


async def _result(value: Awaitable[object]) -> object:
    return await value
