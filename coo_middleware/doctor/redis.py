"""What can be seen of the redis store: the server, what the user may do there, and keys that never expire."""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError, RedisError

from coo_middleware.doctor.clock import judge_clock
from coo_middleware.doctor.finding import Finding, fault, ok, warning
from coo_middleware.doctor.operations import SCRATCH
from coo_middleware.doctor.redis_info import judge_info
from coo_middleware.doctor.sealed import judge_heads
from coo_middleware.stores import StoreError
from coo_middleware.stores.redis import RedisStore
from coo_middleware.stores.redis_address import read_address
from coo_middleware.stores.redis_connect import Argument, RedisClient, make_client
from coo_middleware.stores.redis_faults import telling
from coo_middleware.stores.redis_layout import Layout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from coo_middleware.stores import RuntimeStore, StoreSettings

_PAGES: Final = 20
_PAGE: Final = 500
_SAMPLE: Final = 200
_ANOTHER_USER: Final = "run the doctor as a user who may"
_EXPIRING: Final = ("usage", "samples", "window", "cache", "writer", "claim", "log")
_KINDS: Final = (*_EXPIRING, "total")


@dataclass(frozen=True, slots=True)
class _Server:
    """One server, by its own connection."""

    place: str
    client: RedisClient
    seconds: float

    async def ask(self, *command: Argument) -> object:
        """The reply. Raises StoreError."""
        with telling(str(command[0]), self.place):
            async with asyncio.timeout(self.seconds):
                return await self.client.execute_command(*command)


async def inspect(settings: StoreSettings, clock: Callable[[], float]) -> AsyncIterator[Finding]:
    """Each server in turn; of a cluster, every primary."""
    client, close = make_client(settings)
    try:
        servers = await _find_servers(client, settings)
        for server in servers:
            async for finding in _inspect(server, settings, clock):
                is_plain = len(servers) == 1 or server.place in finding.text
                yield finding if is_plain else replace(finding, text=f"{server.place}: {finding.text}")
    finally:
        await close()


@asynccontextmanager
async def stage(settings: StoreSettings) -> AsyncIterator[tuple[RuntimeStore, str]]:
    """The store by a client that notes which keys it is asked for; they are deleted in the end."""
    client, close = make_client(settings)
    witness = _Witness(client)
    store = RedisStore(
        addr=settings.addr,
        mode=settings.mode,
        master_name=settings.master_name,
        key_prefix=settings.key_prefix,
        usage_ttl_seconds=settings.usage_ttl_seconds,
        timeout_seconds=settings.timeout_seconds,
        client=witness,
    )
    try:
        async with store:
            yield store, f"doctor-{secrets.token_hex(4)}"
    finally:
        # When the server has gone meanwhile, all but a total leave by themselves.
        with suppress(RedisError, OSError):
            for key in witness.keys:
                await client.execute_command("DEL", key)
        await close()


class _Witness:
    def __init__(self, client: RedisClient) -> None:
        self._client: Final = client
        self.keys: Final[set[str]] = set()

    def execute_command(self, *args: Argument) -> Awaitable[object]:
        # A script is followed by how many keys it is given, and by them.
        keys = args[3 : 3 + int(args[2])] if args[0] in {"EVALSHA", "EVAL"} else args[1:2]
        self.keys.update(map(str, keys))
        return self._client.execute_command(*args)


async def _find_servers(client: RedisClient, settings: StoreSettings) -> list[_Server]:
    place = str(read_address(settings.addr, settings.mode))
    if not isinstance(client, RedisCluster):
        return [_Server(place, client, settings.timeout_seconds)]
    with telling("CLUSTER", place):
        async with asyncio.timeout(settings.timeout_seconds):
            await client.initialize()
    return [_Server(each.name, each, settings.timeout_seconds) for each in client.get_primaries()]


async def _inspect(server: _Server, settings: StoreSettings, clock: Callable[[], float]) -> AsyncIterator[Finding]:
    begin = clock()
    time = cast("tuple[int, int] | None", await _may_ask(server, "TIME"))
    end = clock()
    yield ok("connection", f"{server.place} answers")
    if time is not None:
        yield judge_clock("clock", time[0] + time[1] / 1e6, (begin + end) / 2, (end - begin) / 2)
    yield await _judge_permissions(server, settings)
    info = cast("Mapping[str, object] | None", await _may_ask(server, "INFO"))
    if info is None:
        text = "the user may not run INFO: version, role, memory, eviction and persistence are not seen"
        yield warning("server", text, _ANOTHER_USER)
        return
    save = cast("Mapping[str, str] | None", await _may_ask(server, "CONFIG GET", "save"))
    for finding in judge_info(info, None if save is None else save.get("save")):
        yield finding
    samples = {kind: await _sample(server, f"{settings.key_prefix}{kind}:") for kind in _EXPIRING}
    yield await _judge_expiry(server, list(samples.values()))
    heads = [await _head(server, key) for key in samples["cache"] or []]
    for finding in judge_heads(heads, settings):
        yield finding


async def _may_ask(server: _Server, *command: Argument) -> object:
    """The reply, None when the user is not allowed the command, or the service has taken it away."""
    try:
        return await server.ask(*command)
    except StoreError as error:
        if isinstance(error.__cause__, NoPermissionError) or "unknown command" in str(error):
            return None
        raise


async def _judge_permissions(server: _Server, settings: StoreSettings) -> Finding:
    """Which commands and keys are denied. Other errors are none of the rights': a cluster's MOVED, a full memory."""
    layout, names = Layout(settings.key_prefix, settings.mode == "cluster"), (SCRATCH, secrets.token_hex(4), "req")
    keys = [layout.counter(kind, *names) for kind in ("usage", "window", "samples")]
    tried = {str(each[0]).lower(): await _refusal(server, each) for each in _rehearse(*keys)}
    denied = [name for name, refusal in tried.items() if "to run the" in refusal]
    reads = {kind: ("GET", layout.counter(kind, *names)) for kind in _KINDS}
    ranks = (layout.purges, layout.counters)
    closed = [key for key in ranks if "access" in await _refusal(server, ("ZCARD", key))]
    closed += [f"{settings.key_prefix}{kind}:*" for kind in _KINDS if "access" in await _refusal(server, reads[kind])]
    if not denied and not closed:
        return ok("permissions", "the user may run every command and touch every key that the store needs")
    grants = " ".join([*(f"+{each}" for each in denied), *(f"~{each}" for each in closed)])
    return fault("permissions", f"the user may not: {', '.join([*denied, *closed])}", f"ACL SETUSER <user> {grants}")


async def _refusal(server: _Server, command: tuple[Argument, ...]) -> str:
    try:
        await server.ask(*command)
    except StoreError as error:
        return str(error) if isinstance(error.__cause__, NoPermissionError) else ""
    return ""


def _rehearse(text: str, table: str, ranks: str) -> Iterator[tuple[Argument, ...]]:
    """Every command that the store or its scripts run, on three keys that are gone at the end."""
    yield from (("TIME",), ("EVAL", "return 1", 0), ("EVALSHA", "0" * 40, 0))
    yield from (("SET", text, "1", "PX", 1000), ("GET", text), ("INCRBYFLOAT", text, 1), ("PTTL", text))
    yield from (("HSET", table, "1", "1"), ("PEXPIRE", table, 1000), ("HINCRBYFLOAT", table, "1", 1))
    yield from (("HEXISTS", table, "1"), ("HLEN", table), ("HKEYS", table), ("HGETALL", table), ("HMGET", table, "1"))
    yield from (("ZADD", ranks, 1, "1"), ("ZINCRBY", ranks, 1, "1"), ("ZSCORE", ranks, "1"), ("ZCARD", ranks))
    yield from (("ZRANGE", ranks, 0, 0), ("ZRANGEBYSCORE", ranks, 0, 1), ("ZREMRANGEBYSCORE", ranks, 0, 1))
    yield from (("GETRANGE", text, 0, 0), ("HDEL", table, "1"), ("DEL", text), ("DEL", table), ("DEL", ranks))
    yield from (("XADD", ranks, "MAXLEN", 1, "*", "frame", "1"), ("XREAD", "STREAMS", ranks, "0"), ("DEL", ranks))


async def _judge_expiry(server: _Server, samples: list[list[bytes] | None]) -> Finding:
    """Samples of the keys that should expire, found by SCAN, which holds up nobody."""
    keys = [key for sample in samples for key in sample or []]
    if None in samples:
        return warning("expiry", "the user may not run SCAN: keys that never expire are not seen", _ANOTHER_USER)
    lasting = [key for key in keys if await server.ask("PTTL", key) == -1]
    if lasting:
        names = ", ".join(key.decode(errors="replace") for key in lasting[:3])
        remedy = (
            "delete them, or give them a time to live (EXPIRE), and find what wrote them: it was not coo_middleware"
        )
        return warning("expiry", f"{len(lasting)} of {len(keys)} keys never expire: {names}", remedy)
    return ok("expiry", f"all of {len(keys)} keys that were looked at expire")


async def _head(server: _Server, key: bytes) -> bytes:
    """How a value begins; b"" where the user may not read it so, or it is no text."""
    try:
        return cast("bytes", await server.ask("GETRANGE", key, 0, 15))
    except StoreError:
        return b""


async def _sample(server: _Server, prefix: str) -> list[bytes] | None:
    """Some keys that begin with `prefix`, None when the user may not look for them."""
    cursor, found, pattern = 0, list[bytes](), re.sub(r"([*?\[\]\\^-])", r"\\\1", prefix)
    for _ in range(_PAGES):
        reply = await _may_ask(server, "SCAN", cursor, "MATCH", f"{pattern}*", "COUNT", _PAGE)
        if reply is None:
            return None
        cursor, keys = cast("tuple[int, list[bytes]]", reply)
        found += keys
        if not cursor or len(found) >= _SAMPLE:
            break
    return found[:_SAMPLE]
