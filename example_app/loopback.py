"""Serve an ASGI app on a free loopback port for as long as a context is open."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"


@asynccontextmanager
async def loopback(app: ASGIApp) -> AsyncIterator[str]:
    """Serve `app` in the running event loop, lifespan included, and yield its base URL without a trailing slash.

    The port is bound before the server starts and connections are accepted when the URL is handed out. On leaving,
    answers under way have five seconds to end. An app that fails in its lifespan startup ends the process, as it does
    under uvicorn's own command.
    """
    # asyncio turns Nagle's algorithm off only on sockets whose protocol is named; with it a small answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind((HOST, 0))
        server = _LoopbackServer(
            uvicorn.Config(app, log_config=None, loop="none", ws="none", timeout_graceful_shutdown=5),
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


class InFlight:
    """Any ASGI app, and the knowledge of when it is done: a client has its answer a moment before the app returns."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._count = 0
        self._idle = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._count += 1
        self._idle.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def settled(self) -> None:
        """Returns when every request that had begun has been left by the app."""
        if self._count:
            await self._idle.wait()


class _LoopbackServer(uvicorn.Server):
    """A server that tells when it accepts connections and leaves signals to the program around it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()
