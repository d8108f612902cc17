"""Connections to Redis: a client of redis.asyncio for each event loop, with no retries and no patience of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import redis
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import NoScriptError, ResponseError

from coo_middleware.stores import StoreBusyError
from coo_middleware.stores.redis_address import RedisAddress, read_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from coo_middleware.stores import StoreSettings
    from coo_middleware.stores.redis_layout import Script

Argument: TypeAlias = bytes | str | int | float

# Long enough for a burst, and over before anybody above takes a busy pool for a dead server.
_BUSY_SECONDS: Final = 0.08


class RedisClient(Protocol):
    """What is asked of a client: redis.asyncio's Redis and RedisCluster have it."""

    def execute_command(self, *args: Argument) -> Awaitable[object]:
        """The reply, its texts as bytes."""


Close: TypeAlias = "Callable[[], Awaitable[object]]"


@dataclass(slots=True)
class Writer:
    """Numbers its batches; its name is nobody else's."""

    name: str
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """The client of one event loop. `slots` bound its connections, `waits` how many of them may wait for something to
    come, `writers` are those that have no batch under way, `life` ends with the loop and closes the client.
    """

    client: RedisClient
    slots: asyncio.Semaphore
    waits: asyncio.Semaphore
    life: AsyncGenerator[None, None]
    writers: list[Writer] = field(default_factory=list)


class Connections:
    """Clients that `make` makes, with what closes them, one for each event loop, of `limit` connections each. A command
    takes `seconds` at most.
    """

    def __init__(self, make: Callable[[], tuple[RedisClient, Close]], *, limit: int, seconds: float) -> None:
        self._make: Final = make
        self._limit: Final = limit
        self._seconds: Final = seconds
        self._links: Final[dict[asyncio.AbstractEventLoop, Link]] = {}

    async def link(self) -> Link:
        """What the running event loop uses. That of a loop that has ended is forgotten."""
        loop = asyncio.get_running_loop()
        if loop not in self._links:
            client, close = self._make()
            life = _live(close)
            await anext(life)
            for ended in [each for each in [*self._links] if each.is_closed()]:
                self._links.pop(ended, None)
            self._links[loop] = Link(client, asyncio.Semaphore(self._limit), asyncio.Semaphore(self._limit // 2), life)
        return self._links[loop]

    async def execute(self, *command: Argument, wait_seconds: float = 0.0, node: str = "") -> object:
        """The reply to a command, sent once, which the server may keep back for `wait_seconds`; of a cluster, the reply
        of the node with that name. Raises StoreBusyError when all connections stay in use, TimeoutError, what the
        client raises, and redis-py's ConnectionError as well when the server takes no writes any more.
        """
        link = await self.link()
        try:
            async with asyncio.timeout(_BUSY_SECONDS):
                await link.slots.acquire()
        except TimeoutError as error:
            text = f"all {self._limit} connections to redis are in use; raise storage.runtime.max_connections"
            raise StoreBusyError(text) from error
        try:
            async with asyncio.timeout(self._seconds + wait_seconds):
                if isinstance(link.client, RedisCluster):
                    # The first commands disturb each other's connections while they look for the nodes.
                    await link.client.initialize()
                    if node:
                        return await _find_node(link.client, node).execute_command(*command)
                return await link.client.execute_command(*command)
        except ResponseError as error:
            if "READONLY" not in f"{type(error).__name__.upper()}: {error}":
                raise
            await _drop_idle(link.client)
            raise LostConnectionError("READONLY: the server has become a replica") from error
        finally:
            link.slots.release()

    async def evaluate(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> object:
        """The reply of a script, which a server that has lost it is handed again."""
        command = (len(keys), *keys, *arguments)
        try:
            return await self.execute("EVALSHA", script.sha, *command)
        except NoScriptError:
            return await self.execute("EVAL", script.text, *command)

    async def close(self) -> None:
        """Lets the commands under way end and closes the running loop's client; the next command makes another."""
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link is None:
            return
        try:
            # A connection that is made while the others are closed would stay.
            for _ in range(self._limit):
                await link.slots.acquire()
        finally:
            await link.life.aclose()


async def leave_open() -> None:
    """A client that was given is the giver's to close."""


def check_client(client: RedisClient | None) -> None:
    """Raises ValueError for a client that would turn what is stored into text."""
    encoder = getattr(client, "get_encoder", None)
    if encoder is not None and encoder().decode_responses:
        raise ValueError("client must answer in bytes: make it with decode_responses=False")


def _find_node(client: RedisCluster, name: str) -> ClusterNode:
    node = client.get_node(node_name=name)
    if node is None:
        raise LostConnectionError("a node has left the cluster")
    return node


async def _live(close: Close) -> AsyncGenerator[None, None]:
    # An event loop ends its asynchronous generators before it closes: the last moment at which sockets can be closed.
    try:
        yield
    finally:
        await close()


async def _drop_idle(client: RedisClient) -> None:
    """A server that was demoted stays so for its connections: the next command looks up the address again."""
    if isinstance(client, Redis):
        await client.connection_pool.disconnect(inuse_connections=False)


def make_client(settings: StoreSettings) -> tuple[RedisClient, Close]:
    """A client that does what `settings` say, not connected yet, and what closes it."""
    address = read_address(settings.addr, settings.mode)
    make = {"standalone": _make_standalone, "sentinel": _make_sentinel, "cluster": _make_cluster}[settings.mode]
    return make(settings, address)


def _make_standalone(settings: StoreSettings, address: RedisAddress) -> tuple[RedisClient, Close]:
    options = _choose_options(settings, address) | {"db": address.database}
    if address.path:
        client = Redis(unix_socket_path=address.path, **options)
    else:
        [(host, port)] = address.nodes
        client = Redis(host=host, port=port, **options)
    return client, client.aclose


def _make_sentinel(settings: StoreSettings, address: RedisAddress) -> tuple[RedisClient, Close]:
    options = _choose_options(settings, address)
    asking = options | {"username": None, "password": settings.sentinel_password or None}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        address.nodes, sentinel_kwargs=asking, **options | {"db": address.database}
    )
    client = sentinel.master_for(settings.master_name)
    return client, partial(_close_all, client.aclose, *(each.aclose for each in sentinel.sentinels))


def _make_cluster(settings: StoreSettings, address: RedisAddress) -> tuple[RedisClient, Close]:
    nodes = [ClusterNode(host, port) for host, port in address.nodes]
    # One shard without a primary costs its own slots only.
    client = RedisCluster(startup_nodes=nodes, require_full_coverage=False, **_choose_options(settings, address))
    # aclose() does nothing while the client means to look at its nodes again.
    return client, partial(_close_all, client.aclose, client.nodes_manager.aclose)


async def _close_all(*closes: Close) -> None:
    async with AsyncExitStack() as stack:
        for close in closes:
            stack.push_async_callback(close)


def _choose_options(settings: StoreSettings, address: RedisAddress) -> dict[str, Any]:
    return {
        "username": address.username or settings.username or None,
        "password": address.password or settings.password or None,
        "max_connections": settings.max_connections,
        "socket_connect_timeout": settings.connect_timeout_seconds,
        # Connections.execute bounds the whole command, where redis-py would bound each read and, on Python 3.11, make a
        # task for each write, which takes as long as the rest and may swallow a cancellation.
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        **(_choose_tls(settings) if address.tls else {}),
        **_name_driver(),
    }


def _choose_tls(settings: StoreSettings) -> dict[str, Any]:
    return {
        "ssl": True,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": settings.tls_ca_file or None,
        "ssl_certfile": settings.tls_cert_file or None,
        "ssl_keyfile": settings.tls_key_file or None,
    }


def _name_driver() -> dict[str, Any]:
    """What the server's CLIENT LIST shows, where redis-py has a class for it."""
    if not hasattr(redis, "DriverInfo"):
        return {}
    version = next((each.version for each in distributions(name="coo-middleware")), "0")
    return {"driver_info": redis.DriverInfo().add_upstream_driver("coo-middleware", version)}
