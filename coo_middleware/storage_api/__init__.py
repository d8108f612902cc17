"""Any RuntimeStore served over HTTP: the other end of stores/http.py, described in OpenAPI at GET /openapi.json.

`python -m coo_middleware.storage_api --config coo.yaml` serves the store of `storage.runtime` under the settings of
`storage.api`.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response

from coo_middleware.storage_api.routes import AnswerError, Call, find_route
from coo_middleware.stores import StoreError
from coo_middleware.stores.http_layout import JSON_TYPE, Parts, encode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from coo_middleware.stores import RuntimeStore

__all__ = ["storage_api"]

logger = logging.getLogger("coo_middleware")

_SHORTEST_KEY: Final = 16


def storage_api(store: RuntimeStore, *, api_key: str, max_request_bytes: int = 8_388_608) -> ASGIApp:
    """An ASGI app that serves `store` to whoever presents `api_key` as a bearer token, which every path asks for.

    The app opens the store in its lifespan, or with the first request where no lifespan arrives, and closes it at the
    lifespan's end. A request of more than `max_request_bytes` is answered 413. Raises ValueError unless api_key has at
    least 16 characters, all of them printable ASCII and none a space.
    """
    if len(api_key) < _SHORTEST_KEY or not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        raise ValueError(
            f"api_key: must be at least {_SHORTEST_KEY} printable ASCII characters without a space, such as"
            " `python -c 'import secrets; print(secrets.token_urlsafe(32))'` prints; set storage.api.api_key"
        )
    return _StorageApi(store, api_key, max_request_bytes)


class _LeftError(Exception):
    """The client left before its request was complete."""


class _StorageApi:
    def __init__(self, store: RuntimeStore, api_key: str, max_request_bytes: int) -> None:
        self._store: Final = store
        self._digest: Final = _digest(f"bearer {api_key}")
        self._max_request: Final = max_request_bytes
        self._opening: Final = asyncio.Lock()
        self._is_open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        for event, act in (("startup", self._open), ("shutdown", self._close)):
            await receive()
            try:
                await act()
            except Exception as error:
                await send({"type": f"lifespan.{event}.failed", "message": _tell(error)})
                return
            await send({"type": f"lifespan.{event}.complete"})

    async def _open(self) -> None:
        async with self._opening:
            if self._is_open:
                return
            await self._store.open()
            self._is_open = True

    async def _close(self) -> None:
        self._is_open = False
        await self._store.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except AnswerError as error:
            answer = _make_answer(error.status, error.parts, error.headers)
        except _LeftError:
            return
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        self._admit(Headers(scope=scope).getlist("authorization"))
        handler, names = find_route(scope["method"], _path(scope))
        call = Call(tuple(names), scope["query_string"].decode("latin-1"), await self._read(receive))
        try:
            await self._open()
            return _make_answer(200, await handler(self._store, call))
        except AnswerError:
            raise
        except ValueError as error:
            raise AnswerError(422, {"error": str(error)}) from None
        except Exception as error:
            raise _fail(error) from error

    def _admit(self, credentials: list[str]) -> None:
        """Digests are compared, so that the time tells neither how the token begins nor how long it is."""
        scheme, _, token = (credentials[0] if len(credentials) == 1 else "").partition(" ")
        if not compare_digest(self._digest, _digest(f"{scheme.lower()} {token}")):
            raise AnswerError(401, {"error": "unauthorized"}, {"www-authenticate": "Bearer"})

    async def _read(self, receive: Receive) -> bytes:
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _LeftError
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._max_request:
                raise AnswerError(413, {"error": f"the request is longer than {self._max_request} bytes"})
            more = message.get("more_body", False)
        return b"".join(chunks)


def _digest(credentials: str) -> bytes:
    return sha256(credentials.encode()).digest()


def _path(scope: Scope) -> str:
    """The path below the mount, as it came: decoded, a slash in a name could not be told from one between names."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.decode("latin-1").removeprefix(quote(scope.get("root_path", "").rstrip("/")))


def _make_answer(status: int, parts: Parts, headers: Mapping[str, str] | None = None) -> Response:
    # A cache on the way would answer for a store that has moved on.
    fields = {"cache-control": "no-store", **(headers or {})}
    return Response(encode_json(parts), status, fields, JSON_TYPE)


def _fail(error: Exception) -> AnswerError:
    logger.error("the storage API's store failed: %s", _tell(error))
    return AnswerError(503, {"error": "the store failed; see the server's log"})


def _tell(error: Exception) -> str:
    """What may be shown of an error: only a StoreError's text is known to hold no secret."""
    return str(error) if isinstance(error, StoreError) else type(error).__name__
