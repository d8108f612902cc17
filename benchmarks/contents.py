"""A request's content: read once, handed on; and (b), which does no more than that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def read(receive: Receive) -> bytes:
    """A request's content."""
    message = await receive()
    if not message.get("more_body"):
        content: bytes = message["body"]
        return content
    chunks = [message["body"]]
    while message.get("more_body"):
        message = await receive()
        chunks.append(message.get("body", b""))
    return b"".join(chunks)


def replay(content: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `content` first."""
    is_read = False

    async def receive_again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": content, "more_body": False}

    return receive_again


class PassThrough:
    """(b): reads the content and hands it on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        await self._app(scope, replay(await read(receive), receive), send)
