"""The admin API as an ASGI app: who is let in, what answers, and what is told of a fault."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.exceptions import HTTPException
from starlette.responses import Response

from coo_middleware.admin.pages import find_page
from coo_middleware.admin.queries import read_query
from coo_middleware.admin.recent import Recent
from coo_middleware.admin.room import Asked, NotListedError, Room, encode
from coo_middleware.admin.routes import Route, find_routes
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from coo_middleware.admin.gate import Gate, Right

logger = logging.getLogger("coo_middleware")

Answer: TypeAlias = Mapping[str, object] | Response

_MOST_BYTES: Final = 33_554_432
_READ_SECONDS: Final = 10.0
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FIELDS: Final = {
    # A cache on the way would answer for a store that has moved on.
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_CHALLENGES: Final = {True: 'Basic realm="coo", charset="UTF-8"', False: "Bearer"}


class AdminApp:
    """Serves the admin API of `room` below `base`; where that is None, below its mount. It has no lifespan."""

    def __init__(self, room: Room, gate: Gate, base: str | None = None) -> None:
        self._room: Final = room
        self._gate: Final = gate
        self._base: Final = base
        self._recent: Final[Recent[Answer]] = Recent()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection; only of HTTP there are any."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        try:
            answer = await self._answer(scope, receive)
        except HTTPException as error:
            answer = _make_answer({"error": error.detail}, error.status_code, error.headers)
        for name, value in _FIELDS.items():
            answer.headers.setdefault(name, value)
        if scope["method"] == "HEAD":
            answer = Response(None, answer.status_code, answer.headers)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        path = self._find_path(scope)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        page = find_page(scope, path) if method == "GET" else None
        if page is not None:
            return page
        routes, name = find_routes(path)
        route = routes.get(method)
        right = self._admit(scope, route)
        if not routes:
            raise HTTPException(404, "no such path")
        if route is None:
            raise HTTPException(405, "no such method here", {"allow": ", ".join(routes)})
        if route.needs == "write" and right != "write":
            raise HTTPException(403, "this needs the write token")
        return await self._serve(route, scope, receive, name, right)

    def _find_path(self, scope: Scope) -> str:
        """The path below ours, by what the server made of it and nothing else that a client may send."""
        path: str = scope["path"]
        base = scope.get("root_path", "").rstrip("/") if self._base is None else self._base
        return path[len(base) :] if path == base or path.startswith(base + "/") else path

    def _admit(self, scope: Scope, route: Route | None) -> Right:
        is_page = route is not None and route.media_type == "text/html"
        right = self._gate.admit(scope, takes_password=is_page)
        if right == "none" and (route is None or route.needs != "none"):
            raise HTTPException(401, "unauthorized", {"www-authenticate": _CHALLENGES[is_page]})
        return right

    async def _serve(self, route: Route, scope: Scope, receive: Receive, name: str, right: Right) -> Response:
        try:
            parameters = read_query(scope.get("query_string", b""), route.parameters)
            if route.request:
                answer = await route.handler(self._room, Asked(name, parameters, await _read(receive), right))
            else:
                ask = partial(route.handler, self._room, Asked(name, parameters, b"", right))
                async with asyncio.timeout(_READ_SECONDS):
                    answer = await self._recent.get((route.about, name, *sorted(parameters.items()), right), ask)
        except HTTPException:
            raise
        except Exception as error:
            raise _explain(route, error) from error
        return answer if isinstance(answer, Response) else _make_answer(answer)


def _explain(route: Route, error: Exception) -> HTTPException:
    """What is told of a fault; what is not the client's is in the log."""
    if isinstance(error, ValueError):
        return HTTPException(422, str(error))
    if isinstance(error, NotListedError):
        return HTTPException(501, str(error))
    if isinstance(error, TimeoutError):
        return HTTPException(503, f"the store did not answer within {_READ_SECONDS:g} seconds")
    # A StoreError's text names no secret; another one's might quote anything.
    text = error if isinstance(error, StoreError) else type(error).__name__
    logger.error("the admin API failed: %s: %s", route.about, text)
    return HTTPException(503 if isinstance(error, StoreError) else 500, "it failed; see the server's log")


async def _read(receive: Receive) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the client left before its request was complete")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > _MOST_BYTES:
            raise HTTPException(413, f"the request is longer than {_MOST_BYTES} bytes")
        more = message.get("more_body", False)
    return b"".join(chunks)


def _make_answer(
    document: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(encode(document), status, headers, "application/json")
