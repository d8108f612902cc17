"""Any RuntimeStore served over HTTP: the other end of stores/http.py, described in OpenAPI at GET /openapi.json.

`python -m coo_middleware.storage_api --config coo.yaml` serves the store of `storage.runtime` under the settings of
`storage.api`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from math import isfinite
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response

from coo_middleware.config import load_config
from coo_middleware.storage_openapi import describe_api
from coo_middleware.stores import (
    Increment,
    RuntimeStore,
    StoreError,
    check_amount,
    check_counter,
    check_increments,
    check_key,
    check_ttl,
    check_window,
    open_store,
)
from coo_middleware.stores.http_layout import (
    JSON_TYPE,
    LayoutError,
    Parts,
    decode_json,
    decode_name,
    encode_json,
    read_increments,
    read_number,
    read_value,
    read_writer,
    write_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("coo_middleware")

_SHORTEST_KEY: Final = 16
_SECONDS: Final = re.compile(r"seconds=([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the names in its path, its query as it came, and its content."""

    names: tuple[str, ...]
    query: str
    content: bytes


Handler: TypeAlias = Callable[[RuntimeStore, Call], Awaitable[Parts]]


class _AnswerError(Exception):
    """Ends a request with another status than 200."""

    def __init__(self, status: int, parts: Parts, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status: Final = status
        self.parts: Final = parts
        self.headers: Final = headers


class _LeftError(Exception):
    """The client left before its request was complete."""


def storage_api(store: RuntimeStore, *, api_key: str, max_request_bytes: int = 8_388_608) -> ASGIApp:
    """An ASGI app that serves `store` to whoever presents `api_key` as a bearer token, on every path.

    The app opens the store in its lifespan, or with the first request where no lifespan arrives, and closes it at the
    lifespan's end. A request of more than `max_request_bytes` is answered 413. Raises ValueError unless api_key has at
    least 16 characters, all of them printable ASCII and none a space.
    """
    if len(api_key) < _SHORTEST_KEY or not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        raise ValueError(
            f"api_key: at least {_SHORTEST_KEY} printable ASCII characters and no space; set storage.api.api_key, for"
            " example to what `python -c 'import secrets; print(secrets.token_urlsafe(32))'` prints"
        )
    return _StorageApi(store, api_key, max_request_bytes)


class _StorageApi:
    def __init__(self, store: RuntimeStore, api_key: str, max_request_bytes: int) -> None:
        self._store: Final = store
        self._digest: Final = _digest(f"Bearer {api_key}")
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
        """Opens the store before the first request, and closes it after the last."""
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
            if not self._is_open:
                await self._store.open()
                self._is_open = True

    async def _close(self) -> None:
        self._is_open = False
        await self._store.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = _make_answer(200, await self._answer(scope, receive))
        except _AnswerError as error:
            answer = _make_answer(error.status, error.parts, error.headers)
        except _LeftError:
            return
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Parts:
        headers = Headers(scope=scope)
        self._admit(headers)
        handler, segments = _find(scope)
        content = await self._read(headers, receive)
        try:
            call = Call(tuple(map(decode_name, segments)), scope["query_string"].decode("latin-1"), content)
            if not self._is_open:
                await self._open()
            return await handler(self._store, call)
        except _AnswerError:
            raise
        except ValueError as error:
            raise _AnswerError(422, {"error": str(error)}) from None
        except Exception as error:
            logger.error("the storage API's store failed: %s", _tell(error))
            raise _AnswerError(503, {"error": "the store failed; see the server's log"}) from error

    def _admit(self, headers: Headers) -> None:
        """Digests are compared, so that the time tells neither the token's beginning nor its length."""
        given = headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        if not compare_digest(self._digest, _digest(f"{scheme.title()} {token}")):
            raise _AnswerError(401, {"error": "unauthorized"}, {"www-authenticate": "Bearer"})

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        length = headers.get("content-length", "")
        chunks, size, more = [], int(length) if length.isdecimal() and len(length) < 20 else 0, True
        size, announced = 0, size
        while more:
            if max(size, announced) > self._max_request:
                reason = f"the request is longer than {self._max_request} bytes"
                raise _AnswerError(413, {"error": reason}, {"connection": "close"})
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _LeftError
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
        return b"".join(chunks)
