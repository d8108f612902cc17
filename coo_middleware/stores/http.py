"""HTTPStore: a store behind the storage API, which `coo_middleware.storage_api` serves over any store."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, Self
from urllib.parse import urlsplit

from coo_middleware.stores import (
    RuntimeStore,
    StoreBusyError,
    StoreError,
    check_amount,
    check_counter,
    check_increments,
    check_key,
    check_ttl,
    check_window,
)
from coo_middleware.stores.http_layout import (
    JSON_TYPE,
    LayoutError,
    cache_path,
    counter_path,
    decode_json,
    encode_json,
    read_number,
    read_value,
    read_writer,
    write_increments,
    write_value,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    import httpx

    from coo_middleware.core.document import Document
    from coo_middleware.stores import Increment, StoreSettings
    from coo_middleware.stores.http_layout import Parts

# Long enough for a burst to pass, and below any deadline: a pool in use must not look like a dead store.
_POOL_SECONDS: Final = 0.05
# uvicorn closes an idle connection after 5 s; a request must not be sent on one that is just being closed.
_KEEPALIVE_SECONDS: Final = 4.0
_ADVICE: Final = {
    401: "api_key is not the server's; set storage.runtime.api_key",
    403: "api_key is not allowed this; set storage.runtime.api_key",
    404: "no storage API is there; set storage.runtime.addr to its base URL",
    413: "the request is longer than the server takes; raise storage.api.max_request_bytes there",
}


class HTTPReply(Protocol):
    """What is used of a client's response."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def aiter_raw(self) -> AsyncIterator[bytes]: ...


class HTTPClient(Protocol):
    """What is used of `httpx.AsyncClient`, and of any other client of the same interface."""

    def stream(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None,
        headers: Mapping[str, str],
        timeout: tuple[float, float, float, float],
        follow_redirects: bool,
    ) -> AbstractAsyncContextManager[HTTPReply]: ...


class HTTPStore(RuntimeStore):
    """The store that a storage API at the base URL `addr` serves, whose `usage_ttl_seconds` is that store's.

    `api_key`: the bearer token, sent to `addr` alone; redirects are not followed. `timeout_seconds`: the most that one
    request may take. `max_connections`: the most that are open at once; when all stay in use, StoreBusyError.
    `max_body_bytes`: a response that would be sent in more is not stored, and a longer answer is not read. `client`: a
    client of httpx.AsyncClient's interface to use instead of one of our own; it stays the caller's, who sees to its
    proxies, its pool, its event loop and its end. Raises ValueError unless addr is an http or https URL without user,
    query and fragment, and api_key printable ASCII.
    """

    def __init__(
        self,
        *,
        addr: str,
        api_key: str = "",
        timeout_seconds: float = 1.0,
        max_connections: int = 100,
        max_body_bytes: int = 16_777_216,
        client: HTTPClient | None = None,
    ) -> None:
        self._base, self._place = _read_addr(addr)
        self._headers: Final = _headers(api_key)
        self._timeout: Final = timeout_seconds
        self._max_connections: Final = max_connections
        self._max_body: Final = max_body_bytes
        self._given: Final = client
        self._clients: Final[dict[asyncio.AbstractEventLoop, httpx.AsyncClient]] = {}
        self._writers: Final[list[_Writer]] = []

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> Self:
        """The store that the section `storage.runtime` describes."""
        return cls(addr=settings.addr, api_key=settings.api_key)

    async def open(self) -> None:
        """Makes the client, so that no request waits for the import. Nothing is sent: the server may come later."""
        self._client()

    async def close(self) -> None:
        """Closes the connections of this event loop, and drops those of loops that have ended."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        self._drop_ended()
        if client is not None:
            await client.aclose()

    async def ping(self) -> None:
        await self._ask("GET", "/health")

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        check_counter(provider, key_id, metric)
        return await self._read_number(counter_path(provider, key_id, metric))

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        check_counter(provider, key_id, metric)
        check_amount(value)
        await self._ask("PUT", counter_path(provider, key_id, metric), {"value": value})

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        """Adds `delta` once. When the connection is lost, so that nobody knows whether the server has it, it is sent
        once more under the same number.
        """
        check_counter(provider, key_id, metric)
        check_amount(delta)
        path = counter_path(provider, key_id, metric) + "/increment"
        # A writer's batches arrive one after another, so each increment under way has a writer of its own.
        writer = self._writers.pop() if self._writers else _Writer(secrets.token_hex(16))
        writer.sequence += 1
        parts: Parts = {"delta": delta, "writer": writer.name, "sequence": writer.sequence}
        try:
            try:
                await self._ask("POST", path, parts)
            except _LostError:
                await self._ask("POST", path, parts)
        finally:
            self._writers.append(writer)

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        check_counter(provider, key_id, metric)
        check_window(window_seconds)
        return await self._read_number(f"{counter_path(provider, key_id, metric)}/window?seconds={window_seconds}")

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        """Every increment, as far as the store at the other end keeps them."""
        check_counter(provider, key_id, metric)
        return await self._read_number(counter_path(provider, key_id, metric) + "/total")

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        """Sends a batch, which the store at the other end applies once."""
        check_increments(increments)
        parts: Parts = {"writer": writer, "sequence": sequence}
        read_writer(parts)
        await self._ask("POST", "/batch", parts | {"increments": write_increments(increments)})

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        check_key(key)
        check_ttl(ttl_seconds)
        body = encode_json(write_value(value) | {"ttl_seconds": ttl_seconds})
        if len(body) <= self._max_body:
            reply = await self._send("PUT", cache_path(key), body)
            if reply.status != 413:
                self._read(reply)
                return
        # Too long for either end, and an older response must not outlive the one that replaced it.
        await self.delete_cache(key)

    async def get_cache(self, key: str) -> bytes | None:
        found = await self.get_cache_with_ttl(key)
        return None if found is None else found[0]

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        check_key(key)
        began = monotonic()
        reply = await self._send("GET", cache_path(key))
        if reply.status == 404 and self._read(reply, status=404) == {"value": None}:
            return None
        document = self._read(reply)
        try:
            value, ttl = read_value(document), read_number(document, "ttl_seconds")
        except LayoutError as error:
            raise self._refuse(reply, str(error)) from None
        # It was counted at some moment of the exchange, at the earliest at its beginning.
        return value, max(0.0, ttl - (monotonic() - began))

    async def delete_cache(self, key: str) -> None:
        """Forgets what is stored under `key`, if anything, at once."""
        check_key(key)
        await self._ask("DELETE", cache_path(key))

    async def _read_number(self, path: str) -> float:
        reply = await self._send("GET", path)
        document = self._read(reply)
        try:
            return read_number(document, "value")
        except LayoutError as error:
            raise self._refuse(reply, str(error)) from None

    async def _ask(self, method: str, path: str, parts: Parts | None = None) -> None:
        self._read(await self._send(method, path, None if parts is None else encode_json(parts)))

    def _read(self, reply: _Reply, *, status: int = 200) -> Document:
        """The JSON object that a reply of `status` holds; any other reply is a fault of the store."""
        if 300 <= reply.status < 400:
            raise self._refuse(reply, "redirects are not followed; set storage.runtime.addr to where it leads")
        if reply.status != status:
            raise self._refuse(reply, _ADVICE.get(reply.status, "see the server's log"))
        if reply.media != JSON_TYPE:
            raise self._refuse(reply, f"the content is no {JSON_TYPE}; is storage.runtime.addr the storage API's?")
        try:
            document = decode_json(reply.content)
        except LayoutError as error:
            raise self._refuse(reply, str(error)) from None
        if "error" in document:
            raise self._refuse(reply, "the content is an error; see the server's log")
        return document

    async def _send(self, method: str, path: str, body: bytes | None = None) -> _Reply:
        attempt = f"{method} {path[: path.find('/', 1)] if '/' in path[1:] else path} at {self._place}"
        seconds = self._timeout
        try:
            async with asyncio.timeout(seconds), AsyncExitStack() as stack:
                response = await stack.enter_async_context(
                    self._client().stream(
                        method,
                        self._base + path,
                        content=body,
                        headers=self._headers,
                        timeout=(seconds, seconds, seconds, min(seconds, _POOL_SECONDS)),
                        follow_redirects=False,
                    )
                )
                media = _media_type(response.headers)
                return _Reply(attempt, response.status_code, media, await self._read_content(response, attempt))
        except StoreError:
            raise
        except Exception as error:
            raise _explain(error, attempt, seconds) from error

    async def _read_content(self, response: HTTPReply, attempt: str) -> bytes:
        chunks, size = [], 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > self._max_body:
                raise StoreError(f"{attempt}: the answer is longer than {self._max_body} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    def _refuse(self, reply: _Reply, reason: str) -> StoreError:
        return StoreError(f"{reply.attempt}: answered {reply.status}; {reason}")

    def _client(self) -> HTTPClient:
        """The client of the running loop: its connections cannot be used on another one."""
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._drop_ended()
            self._clients[loop] = _make_client(self._max_connections)
        return self._clients[loop]

    def _drop_ended(self) -> None:
        for loop in [each for each in self._clients if each.is_closed()]:
            del self._clients[loop]


class _LostError(StoreError):
    """The connection was lost, and whether the server acted is not known."""


@dataclass(slots=True)
class _Writer:
    name: str
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class _Reply:
    attempt: str
    status: int
    media: str
    content: bytes


def _read_addr(addr: str) -> tuple[str, str]:
    """The base URL without a slash at its end, and its host and port for messages."""
    try:
        parts = urlsplit(addr)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("addr: must be an http:// or https:// URL with a host and a valid port")
    if "@" in parts.netloc or "?" in addr or "#" in addr or not (addr.isascii() and addr.isprintable()) or " " in addr:
        raise ValueError("addr: must hold no user, password, query, fragment or space; the token goes into api_key")
    return addr.rstrip("/"), f"{parts.hostname}:{port}"


def _headers(api_key: str) -> dict[str, str]:
    if not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("api_key: must be printable ASCII")
    # What is compressed could be any size when it is not: nothing is asked for that needs unpacking.
    headers = {"accept": JSON_TYPE, "accept-encoding": "identity", "content-type": JSON_TYPE}
    return headers | {"authorization": f"Bearer {api_key}"} if api_key else headers


def _make_client(max_connections: int) -> httpx.AsyncClient:
    import httpx

    limits = httpx.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE_SECONDS)
    return httpx.AsyncClient(limits=limits, trust_env=False)


def _media_type(headers: Mapping[str, str]) -> str:
    """What the content is, "" when it came packed although that was not asked for."""
    if headers.get("content-encoding", "identity") != "identity":
        return ""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _explain(error: Exception, attempt: str, seconds: float) -> StoreError:
    """Told by names, since the client may be another library's."""
    kinds = {each.__name__ for each in type(error).__mro__}
    if "PoolTimeout" in kinds:
        return StoreBusyError(f"{attempt}: all connections are in use; raise max_connections or send less at once")
    if kinds & {"TimeoutError", "TimeoutException"}:
        return StoreError(f"{attempt}: no answer within {seconds:g} s; is the server overloaded or the way to it shut?")
    return _LostError(f"{attempt}: {type(error).__name__}; is the server running, and storage.runtime.addr right?")
