"""RedisStore: counters and responses in Redis or Valkey, shared by all who use the same server."""

from __future__ import annotations

from functools import partial
from inspect import signature
from time import monotonic
from typing import TYPE_CHECKING, Final, Self, cast

from redis.asyncio import RedisCluster

from coo_middleware.core.labels import check_labels
from coo_middleware.core.window import level_of
from coo_middleware.stores import (
    LATENCY,
    Increment,
    RedisMode,
    RuntimeStore,
    StoreSettings,
    redis_log,
    redis_purges,
)
from coo_middleware.stores.checks import (
    check_amount,
    check_claim,
    check_counter,
    check_increments,
    check_key,
    check_points,
    check_ttl,
    check_window,
)
from coo_middleware.stores.limit_checks import check_lease, check_reservation, check_settlements
from coo_middleware.stores.redis_address import find_faults, read_address
from coo_middleware.stores.redis_batches import Batches
from coo_middleware.stores.redis_connect import (
    Connections,
    RedisClient,
    check_client,
    leave_open,
    make_client,
)
from coo_middleware.stores.redis_faults import telling
from coo_middleware.stores.redis_layout import Layout, load_script, read_answer, read_counter, read_number
from coo_middleware.stores.redis_limits import Limits
from coo_middleware.stores.redis_series import Index, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from coo_middleware.core.labels import Purges
    from coo_middleware.core.limits import Admission, Settlement, Takes
    from coo_middleware.stores import CachePage, Counter, Points, TotalsPage

_SET: Final = load_script("redis_set")
_WINDOW: Final = load_script("redis_window")
_READ: Final = load_script("redis_read")
_CLAIM: Final = load_script("redis_claim")
_RELEASE: Final = load_script("redis_release")

# A time to live that Redis takes: some 3,000 years.
_MAX_SECONDS: Final = 1e11


class RedisStore(RuntimeStore):
    """The store on a server of Redis 6.2 or newer, or Valkey.

    `addr`: host:port or a redis://, rediss:// or unix:// URL; for the modes sentinel and cluster several host:port with
    commas between them. `master_name`: by which name the sentinels know the server. `username`, `password`: who asks,
    unless `addr` says so; `sentinel_password`: the sentinels' own. `tls_ca_file`, `tls_cert_file`, `tls_key_file`: with
    rediss://, whom to trust and who we are. `key_prefix`: what every key begins with. `usage_ttl_seconds`: how long a
    usage counter lives. `max_connections`: the most that are open at once, to each node of a cluster; StoreBusyError
    when all stay in use. `connect_timeout_seconds`, `timeout_seconds`: the most that connecting and one command may
    take. `client`: a client of redis.asyncio to use instead of one of our own; it stays the caller's, with its event
    loop and its end. `clock`: wall-clock seconds, the server's own by default, which all replicas share; expiry is
    always by the server's. Raises ValueError for settings that do not fit together.

    Counters are exact as long as the server keeps what it acknowledged: a failover may lose the last writes.
    """

    def __init__(
        self,
        *,
        addr: str = "localhost:6379",
        mode: RedisMode = "standalone",
        master_name: str = "",
        username: str = "",
        password: str = "",
        sentinel_password: str = "",
        tls_ca_file: str = "",
        tls_cert_file: str = "",
        tls_key_file: str = "",
        key_prefix: str = "",
        usage_ttl_seconds: float = 60.0,
        max_connections: int = 50,
        connect_timeout_seconds: float = 1.0,
        timeout_seconds: float = 1.0,
        client: RedisClient | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        settings = StoreSettings(
            type="redis",
            addr=addr,
            mode=mode,
            master_name=master_name,
            username=username,
            password=password,
            sentinel_password=sentinel_password,
            tls_ca_file=tls_ca_file,
            tls_cert_file=tls_cert_file,
            tls_key_file=tls_key_file,
            key_prefix=key_prefix,
            usage_ttl_seconds=usage_ttl_seconds,
            max_connections=max_connections,
            connect_timeout_seconds=connect_timeout_seconds,
            timeout_seconds=timeout_seconds,
        )
        for field, fault in find_faults(settings):
            raise ValueError(f"{field} {fault}")
        check_client(client)
        self._usage_ttl: Final = round(usage_ttl_seconds * 1000)
        self._clock: Final = clock
        self._is_cluster: Final = mode == "cluster" or isinstance(client, RedisCluster)
        self._layout: Final = Layout(key_prefix, self._is_cluster)
        self._where: Final = "of the given client" if client is not None else str(read_address(addr, mode))
        self._connections: Final = Connections(
            partial(make_client, settings) if client is None else lambda: (client, leave_open),
            limit=max_connections,
            seconds=timeout_seconds,
        )
        index = Index(self._connections, self._layout)
        self._batches: Final = Batches(self._connections, self._layout, index, self._usage_ttl)
        self._series: Final = Series(self._connections, self._layout)
        self._limits: Final = Limits(self._connections, self._layout)

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> Self:
        """The store that the section `storage.runtime` describes."""
        return cls(**{name: getattr(settings, name) for name in signature(cls).parameters if hasattr(settings, name)})

    async def close(self) -> None:
        """Closes the running event loop's connections; the next operation opens new ones."""
        with self._telling("close"):
            await self._connections.close()

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        check_counter(provider, key_id, metric)
        with self._telling("get_usage"):
            return read_number(await self._connections.execute("GET", self._usage(provider, key_id, metric)))

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        check_counter(provider, key_id, metric)
        check_amount(value)
        usage, text = self._usage(provider, key_id, metric), repr(float(value)).removesuffix(".0")
        with self._telling("set_usage"):
            if metric == LATENCY:
                samples = self._layout.counter("samples", provider, key_id, metric)
                await self._connections.evaluate(_SET, [usage, samples], [text, self._usage_ttl])
            else:
                await self._connections.execute("SET", usage, text, "PX", self._usage_ttl)

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        """Adds `delta` once. When the connection is lost, so that nobody knows whether the server has it, it is sent
        once more under the same number.
        """
        increment = Increment(provider, key_id, metric, delta)
        check_increments([increment])
        with self._telling("increment_usage"):
            await self._batches.send_one(self._now(), increment)

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        check_counter(provider, key_id, metric)
        check_window(window_seconds)
        size = level_of(window_seconds).size
        key = self._layout.window(provider, key_id, metric, size)
        with self._telling("get_usage_in_window"):
            reply = await self._connections.evaluate(_WINDOW, [key], [self._now(), window_seconds, size])
            return read_answer(metric, cast("list[bytes]", reply))

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        """Every increment that the server has kept."""
        check_counter(provider, key_id, metric)
        key = self._layout.counter("total", provider, key_id, metric)
        with self._telling("get_total"):
            if metric != LATENCY:
                return read_number(await self._connections.execute("GET", key))
            reply = await self._connections.execute("HMGET", key, "sum", "count")
            return read_answer(metric, cast("list[bytes]", reply))

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        """Applies a batch once, by one script; on a cluster by one for each provider's key, and by one for each 500
        increments, each of them once. A key that holds something else is left out and told in a StoreError when all
        others are done.
        """
        check_increments(increments)
        with self._telling("apply"):
            await self._batches.send(self._now(), writer, sequence, increments)

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        check_key(key)
        check_ttl(ttl_seconds)
        milliseconds = max(1, int(min(ttl_seconds, _MAX_SECONDS) * 1000))
        with self._telling("set_cache"):
            await self._connections.execute("SET", self._layout.cache(key), value, "PX", milliseconds)

    async def get_cache(self, key: str) -> bytes | None:
        check_key(key)
        with self._telling("get_cache"):
            return cast("bytes | None", await self._connections.execute("GET", self._layout.cache(key)))

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        check_key(key)
        began = monotonic()
        with self._telling("get_cache_with_ttl"):
            reply = await self._connections.evaluate(_READ, [self._layout.cache(key)], [])
        if reply is None:
            return None
        value, milliseconds = cast("tuple[bytes, int]", reply)
        # The server counted at some moment of the exchange, at the earliest at its beginning.
        return value, max(0.0, milliseconds / 1000 - (monotonic() - began))

    async def delete_cache(self, key: str) -> None:
        """Forgets what is stored under `key`, if anything, at once."""
        check_key(key)
        with self._telling("delete_cache"):
            await self._connections.execute("DEL", self._layout.cache(key))

    async def purge(self, labels: Sequence[str]) -> int:
        check_labels(labels)
        with self._telling("purge"):
            return await redis_purges.purge(self._connections, self._layout, labels)

    async def get_purges(self, since: int) -> Purges:
        with self._telling("get_purges"):
            return await redis_purges.get_purges(self._connections, self._layout, since)

    async def list_cache(self, cursor: str = "") -> CachePage:
        with self._telling("list_cache"):
            return await redis_purges.list_cache(self._connections, self._layout, cursor)

    async def claim(self, key: str, owner: str, lease_seconds: float) -> str:
        check_claim(key, owner, lease_seconds)
        lease = max(1, round(min(lease_seconds, _MAX_SECONDS) * 1000))
        with self._telling("claim"):
            reply = await self._connections.evaluate(_CLAIM, [self._layout.claim(key)], [owner, lease])
        return cast("bytes", reply).decode(errors="replace")

    async def release(self, key: str, owner: str) -> None:
        check_claim(key, owner)
        with self._telling("release"):
            await self._connections.evaluate(_RELEASE, [self._layout.claim(key)], [owner])

    async def append_log(self, log: str, frames: Sequence[bytes], *, keep: int, ttl_seconds: float) -> None:
        with self._telling("append_log"):
            key = self._layout.log(log)
            await redis_log.append_log(self._connections, key, frames, keep=keep, ttl_seconds=ttl_seconds)

    async def read_log(self, log: str, place: str, wait_seconds: float) -> tuple[str, list[bytes]]:
        with self._telling("read_log"):
            return await redis_log.read_log(self._connections, self._layout.log(log), place, wait_seconds)

    async def list_totals(self, cursor: str = "") -> TotalsPage:
        after = read_counter(cursor) if cursor else None
        with self._telling("list_totals"):
            return await self._series.list_totals(after)

    async def read_points(self, counters: Sequence[Counter], window_seconds: int) -> Points:
        check_points(counters, window_seconds)
        with self._telling("read_points"):
            return await self._series.read_points(self._now(), counters, window_seconds)

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        check_reservation(ticket, choices, lease_seconds)
        with self._telling("reserve"):
            return await self._limits.reserve(self._now(), ticket, choices, lease_seconds)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        check_settlements(settlements)
        with self._telling("settle"):
            await self._limits.settle(self._now(), settlements)

    async def renew(self, settlements: Sequence[Settlement], lease_seconds: float) -> None:
        check_settlements(settlements)
        check_lease(lease_seconds)
        with self._telling("renew"):
            await self._limits.renew(self._now(), settlements, lease_seconds)

    def _telling(self, operation: str) -> AbstractContextManager[None]:
        return telling(operation, self._where)

    def _usage(self, provider: str, key_id: str, metric: str) -> str:
        return self._layout.counter("usage", provider, key_id, metric)

    def _now(self) -> str:
        return repr(self._clock()) if self._clock is not None else ""
