"""The app that every contender stands before: one Starlette endpoint, and the provider behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.prompts import make_answer, make_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

PATH: Final = "/v1/chat/completions"
OTHER_PATH: Final = "/other"


class Upstream:
    """The provider: answers with the same bytes, after `wait_seconds`, and counts how often it was asked."""

    def __init__(self, wait_seconds: float = 0.0) -> None:
        self.calls = 0
        self.wait_seconds: Final = wait_seconds
        self._answer: Final = make_answer()
        self._events: Final = make_events()

    async def answer(self, _content: bytes) -> bytes:
        """The answer to a request's content."""
        self.calls += 1
        if self.wait_seconds:
            await asyncio.sleep(self.wait_seconds)
        # A provider's answer is new each time, and whoever keeps it pays for it.
        return self._answer[:1] + self._answer[1:]

    async def stream(self) -> AsyncIterator[bytes]:
        """The answer, event by event, with the same wait before each."""
        self.calls += 1
        for event in self._events:
            if self.wait_seconds:
                await asyncio.sleep(self.wait_seconds)
            yield event


def make_app(upstream: Upstream, answer: Callable[[bytes], Awaitable[bytes]] | None = None) -> ASGIApp:
    """The endpoint; `answer` is what a decorator made of the provider's."""
    ask = answer or upstream.answer

    async def complete(request: Request) -> Response:
        content = await request.body()
        if b'"stream":true' in content:
            return StreamingResponse(upstream.stream(), media_type="text/event-stream")
        return Response(await ask(content), media_type="application/json")

    async def greet(request: Request) -> Response:
        return PlainTextResponse(request.url.path)

    routes = [Route(PATH, complete, methods=["POST"]), Route(OTHER_PATH, greet, methods=["GET"])]
    return Starlette(routes=routes)
