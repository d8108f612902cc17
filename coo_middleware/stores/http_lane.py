"""The requests of one event loop: its client, how many may be under way, and how one ends whose caller gives up."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from anyio import CancelScope

from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    import httpx

    from coo_middleware.stores import StoreSettings

T = TypeVar("T")

# Long enough for a burst to pass, and below any deadline: a pool in use must not look like a dead store.
POOL_SECONDS: Final = 0.05
# uvicorn closes an idle connection after 5 s; a request must not be sent on one that is just being closed.
_KEEPALIVE_SECONDS: Final = 4.0


class PoolTimeoutError(Exception):
    """No slot came free."""


class HTTPResponse(Protocol):
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
    ) -> AbstractAsyncContextManager[HTTPResponse]: ...


class Lane:
    """At most `settings.max_connections` pieces of work at a time with `client`, or with a client of our own, which
    takes nothing from the environment and which `close` closes. Raises StoreError when its certificates cannot be read.
    """

    def __init__(self, client: HTTPClient | None, settings: StoreSettings) -> None:
        self._exits: Final = AsyncExitStack()
        if client is None:
            client = own = _make_client(settings)
            self._exits.push_async_callback(own.aclose)
        self._client: Final[HTTPClient] = client
        self._slots: Final = asyncio.Semaphore(settings.max_connections)
        self._tasks: Final[set[asyncio.Future[Any]]] = set()

    async def run(self, work: Callable[[HTTPClient], Awaitable[T]]) -> T:
        """The result of `work`. Raises PoolTimeoutError when no slot comes free.

        A pool that httpcore keeps loses a connection when a task is cancelled at the wrong moment, and when a wait for
        a connection is. So the work has a task of its own, which nobody cancels: one that is given up ends through a
        scope of anyio's, which lets httpcore clean up. And it never waits in the pool, but here.
        """
        await self._enter()
        scope = CancelScope()
        task = asyncio.ensure_future(_run_within(scope, work(self._client)))
        self._tasks.add(task)
        task.add_done_callback(self._leave)
        try:
            return await asyncio.shield(task)
        finally:
            scope.cancel()

    async def close(self) -> None:
        """Returns when no work is under way and our own client is closed."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._exits.aclose()

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(POOL_SECONDS):
                await self._slots.acquire()
        except TimeoutError as error:
            raise PoolTimeoutError from error

    def _leave(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        self._slots.release()


async def _run_within(scope: CancelScope, work: Awaitable[T]) -> T:
    with scope:
        return await work
    raise asyncio.CancelledError


def _make_client(settings: StoreSettings) -> httpx.AsyncClient:
    import httpx

    limits = httpx.Limits(max_connections=settings.max_connections, keepalive_expiry=_KEEPALIVE_SECONDS)
    return httpx.AsyncClient(limits=limits, trust_env=False, verify=_choose_tls(settings))


def _choose_tls(settings: StoreSettings) -> ssl.SSLContext | bool:
    """What certificates are checked with: httpx's own choice where nothing is set."""
    if not (settings.tls_ca_file or settings.tls_cert_file):
        return True
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
        if settings.tls_cert_file:
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file or None)
    except OSError as error:
        raise StoreError(
            "storage.runtime.tls_ca_file, tls_cert_file or tls_key_file cannot be used; it must be readable and PEM"
        ) from error
    return context
