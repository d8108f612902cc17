"""The built-in upstream: five endpoints of two providers, deterministic, with honest usage and failures on request.

| `model` in the request | what happens |
|---|---|
| begins with `fail-<status>`, such as `fail-429` or `fail-500` | that status, with an error of the provider's shape |
| `error-in-stream` | half of the events, then an error event |
| `cut-stream` | half of the events, then the connection is closed |
| anything else | an answer made from the prompt; a tool call where there are tools and the prompt says "use the tool" |

Requests that do not stream are answered whatever of the last three the model is.

| the key that they come with | what happens |
|---|---|
| begins with `fail-<status>` | that status, whatever the model |
| begins with `slow-<milliseconds>` | the answer begins so much later |
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from example_app.dialects import DIALECTS, Dialect
from example_app.dialects.answer import Document, answer
from example_app.dialects.frames import new_id

Pace = Callable[[], Awaitable[None]]


async def no_wait() -> None:
    """The pace of an upstream that answers at once."""


class Upstream:
    """An ASGI app that answers as a provider would.

    `pace` is awaited before every event of a stream and before every other answer. `keys` counts the requests that
    have come in by the key that they came with, failures included.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self.keys: Counter[str] = Counter()
        self._pace = pace or no_wait
        self._app = Starlette(routes=[Route(path, self._respond, methods=["POST"]) for path in DIALECTS])

    @property
    def calls(self) -> int:
        """How many requests have come in, failures included."""
        return self.keys.total()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        self.keys[key] += 1
        if slow := re.match(r"slow-(\d{1,5})", key):
            await asyncio.sleep(int(slow[1]) / 1000)
        dialect = DIALECTS[request.url.path]
        document = _document(await request.body())
        headers = {dialect.request_id: new_id("req_"), "x-ratelimit-remaining-requests": "99"}
        if document is None:
            return JSONResponse(dialect.error(400, "The body must be a JSON object with a model."), 400, headers)
        for cause, name in (("model", str(document["model"])), ("key", key)):
            if failure := re.match(r"fail-([45]\d\d)", name):
                return _failure(dialect, int(failure[1]), headers, cause)
        if document.get("stream") is True and dialect.events:
            frames = _break(list(dialect.events(document, answer(document))), dialect, document["model"])
            stream = self._stream(frames, is_cut=document["model"] == "cut-stream")
            return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
        await self._pace()
        return JSONResponse(dialect.body(document, answer(document)), headers=headers)

    async def _stream(self, frames: list[bytes], *, is_cut: bool) -> AsyncIterator[bytes]:
        for frame in frames:
            await self._pace()
            yield frame
        if is_cut:
            raise ConnectionAbortedError("This stream is cut because its model is cut-stream.")


def _document(body: bytes) -> Document | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "model" in document else None


def upstream_from(environ: Mapping[str, str]) -> Upstream:
    """An upstream that waits `COO_UPSTREAM_DELAY_MS` (0) before each event."""
    seconds = float(environ.get("COO_UPSTREAM_DELAY_MS") or 0) / 1000
    return Upstream(lambda: asyncio.sleep(seconds))


def _break(frames: list[bytes], dialect: Dialect, model: object) -> list[bytes]:
    half = frames[: len(frames) // 2]
    if model == "error-in-stream":
        return [*half, dialect.error_frame]
    return half if model == "cut-stream" else frames


def _failure(dialect: Dialect, status: int, headers: dict[str, str], cause: str) -> Response:
    if status == 429:
        headers = {**headers, "retry-after": "1"}
    message = f"The built-in upstream answers {status} because the {cause} is fail-{status}."
    return JSONResponse(dialect.error(status, message), status, headers)
