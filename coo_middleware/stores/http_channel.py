"""The client's side of one HTTP server: a request, its bounded answer, and what went wrong in words."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from coo_middleware.stores import StoreBusyError, StoreError
from coo_middleware.stores.http_lane import POOL_SECONDS, HTTPClient, HTTPResponse, Lane
from coo_middleware.stores.http_layout import JSON_TYPE, LayoutError, decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.document import Document

_ADVICE: Final = {
    401: "api_key is not the server's; set storage.runtime.api_key",
    403: "api_key is not allowed this; set storage.runtime.api_key",
    404: "no storage API is there; set storage.runtime.addr to its base URL",
    413: "the request is longer than the server takes; raise storage.api.max_request_bytes there",
}


class LostError(StoreError):
    """The connection was lost: whether the server acted is not known."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in full. `attempt` says what was asked of whom, without any name; `media` is its content type."""

    attempt: str
    status: int
    media: str
    content: bytes

    def read(self, *, status: int = 200) -> Document:
        """The JSON object that a reply of `status` holds. Raises StoreError when this is anything else."""
        if 300 <= self.status < 400:
            raise self.refuse("redirects are not followed; set storage.runtime.addr to where it leads")
        if self.status != status:
            raise self.refuse(_ADVICE.get(self.status, "see the server's log"))
        if self.media != JSON_TYPE:
            raise self.refuse(f"the content is no {JSON_TYPE}; is storage.runtime.addr the storage API's?")
        try:
            document = decode_json(self.content)
        except LayoutError as error:
            raise self.refuse(str(error)) from error
        if "error" in document:
            raise self.refuse("the content is an error; see the server's log")
        return document

    def refuse(self, reason: str) -> StoreError:
        """The error to raise for an answer that is no answer."""
        return StoreError(f"{self.attempt}: answered {self.status}; {reason}")


class Channel:
    """Requests to the server at the base URL `addr`, each within `timeout_seconds`, neither repeated nor redirected,
    at most `max_connections` at a time.

    Without a `client` it has one of its own for each event loop, which takes nothing from the environment. An answer
    of more than `max_bytes` is refused. Raises ValueError unless addr is an http or https URL without user, query and
    fragment, and api_key printable ASCII.
    """

    def __init__(
        self,
        addr: str,
        api_key: str,
        *,
        timeout_seconds: float,
        max_connections: int,
        max_bytes: int,
        client: HTTPClient | None,
    ) -> None:
        self._base, self._place = _read_addr(addr)
        self._headers: Final = _make_headers(api_key)
        self._timeout: Final = timeout_seconds
        self._max_connections: Final = max_connections
        self._max_bytes: Final = max_bytes
        self._client: Final = client
        self._lanes: Final[dict[asyncio.AbstractEventLoop, Lane]] = {}

    def open(self) -> None:
        """Makes the client of the running loop, so that no request waits for its import. Nothing is sent."""
        self._lane()

    async def close(self) -> None:
        """Closes the connections of the running loop, and forgets those of loops that have ended."""
        self._forget_ended()
        lane = self._lanes.pop(asyncio.get_running_loop(), None)
        if lane is not None:
            await lane.close()

    async def send(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """The answer to one request. Raises StoreError when there is none: StoreBusyError when all connections stay
        in use, LostError when the connection failed.
        """
        attempt = f"{method} /{path.split('/')[1]} at {self._place}"
        try:
            async with asyncio.timeout(self._timeout):
                return await self._lane().run(lambda client: self._exchange(client, method, path, body, attempt))
        except StoreError:
            raise
        except Exception as error:
            raise self._explain(error, attempt) from error

    async def _exchange(self, client: HTTPClient, method: str, path: str, body: bytes | None, attempt: str) -> Reply:
        seconds = self._timeout
        async with client.stream(
            method,
            self._base + path,
            content=body,
            headers=self._headers,
            timeout=(seconds, seconds, seconds, min(seconds, POOL_SECONDS)),
            follow_redirects=False,
        ) as response:
            content = await self._read(response, attempt)
            return Reply(attempt, response.status_code, _media_type(response.headers), content)

    async def _read(self, response: HTTPResponse, attempt: str) -> bytes:
        chunks, size = [], 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > self._max_bytes:
                raise StoreError(f"{attempt}: the answer is longer than {self._max_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    def _explain(self, error: Exception, attempt: str) -> StoreError:
        """Told by names, since the client may be another library's."""
        kinds = {each.__name__ for each in type(error).__mro__}
        if kinds & {"PoolTimeout", "PoolTimeoutError"}:
            return StoreBusyError(f"{attempt}: all connections are in use; send less at once, or to more servers")
        if kinds & {"TimeoutError", "TimeoutException"}:
            return StoreError(f"{attempt}: no answer within {self._timeout:g} s; is the server overloaded?")
        return LostError(f"{attempt}: {type(error).__name__}; is the server running, and storage.runtime.addr right?")

    def _lane(self) -> Lane:
        """That of the running loop: connections cannot be used on another one."""
        loop = asyncio.get_running_loop()
        if loop not in self._lanes:
            self._forget_ended()
            self._lanes[loop] = Lane(self._client, self._max_connections)
        return self._lanes[loop]

    def _forget_ended(self) -> None:
        for loop in [each for each in self._lanes if each.is_closed()]:
            del self._lanes[loop]


def _read_addr(addr: str) -> tuple[str, str]:
    """The base URL without a slash at its end, and its host and port for messages."""
    try:
        parts = urlsplit(addr)
        complete = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        complete = False
    if not complete:
        raise ValueError("addr: must be an http:// or https:// URL with a host and a valid port")
    if set(addr) & set("@?# \\") or not (addr.isascii() and addr.isprintable()):
        raise ValueError("addr: must hold no user, password, query, fragment or space; the token goes into api_key")
    return addr.rstrip("/"), parts.netloc


def _make_headers(api_key: str) -> dict[str, str]:
    if not (api_key.isascii() and api_key.isprintable()):
        raise ValueError("api_key: must be printable ASCII")
    # What is compressed could be of any size unpacked, so nothing is asked for that needs unpacking.
    headers = {"accept": JSON_TYPE, "accept-encoding": "identity", "content-type": JSON_TYPE}
    return headers | {"authorization": f"Bearer {api_key}"} if api_key else headers


def _media_type(headers: Mapping[str, str]) -> str:
    """What the content is, "" when it came packed although that was not asked for."""
    if headers.get("content-encoding", "identity") != "identity":
        return ""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
