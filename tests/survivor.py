"""A proxy that is killed: the middleware as COO_CONFIG says, in front of an upstream that answers at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import uvicorn

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, answer, read_all

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY_FIELD: Final = b"x-key"
DRAINED: Final = "/drained"


async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers in the name of the provider key that the request asks for."""
    if scope["type"] == "lifespan":
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})
        return
    await read_all(receive)
    scope["state"]["coo"].key_id = dict(scope["headers"])[KEY_FIELD].decode()
    for message in answer(ANSWER):
        await send(message)


def make_app() -> ASGIApp:
    """The proxy. It answers DRAINED when all that was recorded is acknowledged, and tells who answered."""
    middleware = COOMiddleware(upstream, os.environ["COO_CONFIG"])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def sign(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-worker", b"%d" % os.getpid())]
            await send(message)

        if scope["type"] == "http" and scope["path"] == DRAINED:
            await middleware.drain()
            for message in answer(b"{}"):
                await send(message)
        else:
            await middleware(scope, receive, sign)

    return app


def serve(config: str, port: int) -> None:
    """One process of uvicorn, until it is killed."""
    os.environ["COO_CONFIG"] = config
    uvicorn.run(make_app(), port=port, log_config=None)
