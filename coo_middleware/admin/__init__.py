"""The admin API: what an operator may do to a running cache, for whoever presents the token. Mount it where you like.

A further route is a handler in a module of this package and a line in ROUTES.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from coo_middleware.admin.explain import explain_samples
from coo_middleware.admin.purge import answer_purge
from coo_middleware.admin.room import Handler, Room, open_room
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from coo_middleware.config import ConfigSource
    from coo_middleware.stores import RuntimeStore

__all__ = ["create_admin"]

logger = logging.getLogger("coo_middleware")

_SHORTEST_TOKEN: Final = 16
_MOST_BYTES: Final = 33_554_432


def create_admin(config: ConfigSource = None, *, token: str, store: RuntimeStore | None = None) -> ASGIApp:
    """An ASGI app with the routes of docs/purging.md and docs/explain.md below wherever it is mounted, for whoever
    presents `token` as a bearer token, which every path asks for.

    `config` is what COOMiddleware was given, and `store` the store that was passed to it, if one was. A store of our
    own, over the same data, closes with the app's lifespan where one arrives. Raises ConfigError for a configuration
    that cannot be used, and ValueError for a store in memory that was not passed, which nobody else would see, and
    unless the token has at least 16 characters, all of them printable ASCII and none a space.
    """
    if len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(f"token: must be at least {_SHORTEST_TOKEN} printable ASCII characters without a space")
    room = open_room(config, store)

    @asynccontextmanager
    async def live(_app: Starlette) -> AsyncIterator[None]:
        yield
        if store is None:
            await room.store.close()

    app = Starlette(
        routes=[Route(path, _serve(room, handler), methods=[method]) for path, (method, handler) in ROUTES.items()],
        middleware=[Middleware(_Gate, token)],
        exception_handlers={HTTPException: _refuse},
        lifespan=live,
    )
    app.router.redirect_slashes = False
    return app


async def _explain(room: Room, content: bytes) -> Mapping[str, object]:
    return explain_samples(room.explainer, content)


ROUTES: Final[Mapping[str, tuple[str, Handler]]] = {
    "/explain": ("POST", _explain),
    "/purge": ("POST", answer_purge),
}


class _Gate:
    """Lets in whoever has the token. Digests are compared, so that the time tells nothing of it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app: Final = app
        self._digest: Final = _digest(f"bearer {token}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._admits(Headers(scope=scope).getlist("authorization")):
            answer = _answer(401, {"error": "unauthorized"}, {"www-authenticate": "Bearer"})
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _admits(self, credentials: list[str]) -> bool:
        scheme, _, token = (credentials[0] if len(credentials) == 1 else "").partition(" ")
        return compare_digest(self._digest, _digest(f"{scheme.lower()} {token}"))


def _serve(room: Room, handler: Handler) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def serve(request: Request) -> JSONResponse:
        try:
            return _answer(200, await handler(room, await _read(request)))
        except ValueError as error:
            return _answer(422, {"error": str(error)})
        except HTTPException:
            raise
        except Exception as error:
            # A StoreError's text names no secret; another one's might quote anything.
            text = error if isinstance(error, StoreError) else type(error).__name__
            logger.error("the admin API failed at %s: %s", request.url.path, text)  # noqa: TRY400 -- for that reason
            status = 503 if isinstance(error, StoreError) else 500
            return _answer(status, {"error": "it failed; see the server's log"})

    return serve


async def _read(request: Request) -> bytes:
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > _MOST_BYTES:
                raise HTTPException(413, f"the request is longer than {_MOST_BYTES} bytes")
            chunks.append(chunk)
    except ClientDisconnect:
        raise HTTPException(400, "the client left before its request was complete") from None
    return b"".join(chunks)


async def _refuse(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 -- what it is registered for
    return _answer(error.status_code, {"error": error.detail}, error.headers)


def _answer(status: int, document: Mapping[str, object], headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(document, status, {"cache-control": "no-store", **(headers or {})})


def _digest(credentials: str) -> bytes:
    return sha256(credentials.encode()).digest()
