"""The client's side of one HTTP server: a request, its bounded answer, and what went wrong in words."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from coo_middleware.stores import StoreBusyError, StoreError
from coo_middleware.stores.http_address import read_address
from coo_middleware.stores.http_lane import POOL_SECONDS, HTTPClient, HTTPResponse, Lane
from coo_middleware.stores.http_layout import JSON_TYPE, LayoutError, decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coo_middleware.core.document import Document
    from coo_middleware.stores import StoreSettings

T = TypeVar("T")

_UNKNOWN: Final = frozenset({404, 405})
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

    @property
    def is_no_path(self) -> bool:
        """Whether the server has no such path, as a storage API from before there was what is asked for."""
        return self.status in _UNKNOWN

    @property
    def is_unknown(self) -> bool:
        """The same, of a storage API: what is none has no word for it."""
        return self.is_no_path and b'"error"' in self.content

    def interpret(self, read: Callable[[Document], T]) -> T:
        """What `read` finds in it. Raises StoreError, as when that raises ValueError."""
        document = self.read()
        try:
            return read(document)
        except ValueError as error:
            raise self.refuse(str(error)) from error

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
    """Requests to the server at `settings.addr`, neither repeated nor redirected, each within `timeout_seconds` and at
    most `max_connections` at a time, with the given client or one of our own for each event loop. An answer of more
    than `max_bytes` is refused.
    """

    def __init__(self, settings: StoreSettings, *, max_bytes: int, client: HTTPClient | None) -> None:
        self._settings: Final = settings
        self._address: Final = read_address(settings.addr)
        self._headers: Final = _make_headers(settings.api_key)
        self._max_bytes: Final = max_bytes
        self._given: Final = client
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
        attempt = f"{method} /{path.split('/')[1].partition('?')[0]} at {self._address.place}"
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await self._lane().run(lambda client: self._exchange(client, method, path, body, attempt))
        except StoreError:
            raise
        except Exception as error:
            raise self._explain(error, attempt) from error

    async def _exchange(self, client: HTTPClient, method: str, path: str, body: bytes | None, attempt: str) -> Reply:
        seconds = self._settings.timeout_seconds
        async with client.stream(
            method,
            self._address.base + path,
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
            return StoreBusyError(f"{attempt}: all connections are in use; raise storage.runtime.max_connections")
        if kinds & {"TimeoutError", "TimeoutException"}:
            seconds = self._settings.timeout_seconds
            return StoreError(f"{attempt}: no answer within {seconds:g} s; is the server overloaded?")
        advice = "is the server running, its certificate trusted, and storage.runtime.addr right?"
        return LostError(f"{attempt}: {type(error).__name__}; {advice}")

    def _lane(self) -> Lane:
        """That of the running loop: connections cannot be used on another one."""
        loop = asyncio.get_running_loop()
        if loop not in self._lanes:
            self._forget_ended()
            self._lanes[loop] = Lane(self._given, self._settings)
        return self._lanes[loop]

    def _forget_ended(self) -> None:
        for loop in [each for each in self._lanes if each.is_closed()]:
            del self._lanes[loop]


def _make_headers(api_key: str) -> dict[str, str]:
    # What is compressed could be of any size unpacked, so nothing is asked for that needs unpacking.
    headers = {"accept": JSON_TYPE, "accept-encoding": "identity", "content-type": JSON_TYPE}
    return headers | {"authorization": f"Bearer {api_key}"} if api_key else headers


def _media_type(headers: Mapping[str, str]) -> str:
    """What the content is, "" when it came packed although that was not asked for."""
    if headers.get("content-encoding", "identity") != "identity":
        return ""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
