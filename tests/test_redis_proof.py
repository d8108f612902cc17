"""RedisStore while things go wrong: lost replies, cut connections, several processes, callers that give up; and what a
window costs after a million increments.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, cast

import anyio
import pytest
from anyio.from_thread import BlockingPortal
from redis.asyncio import Redis

from coo_middleware.core.window import level_of
from coo_middleware.stores import Increment
from coo_middleware.stores.redis import RedisStore
from coo_middleware.testing import Clock
from tests.fault_proxy import FaultProxy
from tests.proof import FULL, PROOF, choose, report
from tests.redis_server import HOST, Server, start, wait_for
from tests.writer import REQ, run_writers

if TYPE_CHECKING:
    from tests.writer import Mode

PROCESSES = 8
INCREMENTS = choose(50, 10_000)
CANCELLATIONS = choose(2_000, 100_000)
MANY = choose(20_000, 1_000_000)
MADE = PROCESSES * INCREMENTS
CONNECTIONS = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nobody else asks."""
    with start(tmp_path_factory.mktemp("proof")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return f"{secrets.token_hex(8)}:"


def write(mode: "Mode", port: int, prefix: str) -> int:
    """How many calls of eight processes failed."""
    settings = {"type": "redis", "addr": f"{HOST}:{port}", "key_prefix": prefix, "usage_ttl_seconds": 86_400}
    return run_writers(mode, settings, PROCESSES, INCREMENTS)


async def read(server: Server, prefix: str) -> tuple[float, float, float]:
    async with RedisStore(addr=server.addr, key_prefix=prefix) as store:
        return (
            await store.get_usage(*REQ),
            await store.get_usage_in_window(*REQ, 86_400),
            await store.get_total(*REQ),
        )


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["apply", "increment"])
async def test_several_processes_count_exactly(server: Server, prefix: str, mode: "Mode") -> None:
    """Each increment of eight processes counts once, in the counter, the window and the total."""
    assert 0 == write(mode, server.port, prefix)
    assert (MADE, MADE, MADE) == await read(server, prefix)


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["apply", "increment"])
async def test_a_bad_network_changes_no_count(
    server: Server, prefix: str, portal: BlockingPortal, mode: "Mode"
) -> None:
    """With one reply in a hundred lost and one connection in a hundred reset, a batch that is sent until it is
    acknowledged counts once, and so does a single increment unless it failed.
    """
    proxy = FaultProxy(server.port)
    proxy.lost_replies = proxy.resets = 0.01
    with portal.wrap_async_context_manager(proxy):
        failed = write(mode, proxy.port, prefix)
    usage, window, total = await read(server, prefix)
    report(f"redis, {mode}: {MADE} increments, {proxy.faults} faults, {failed} calls failed, {total:.0f} counted")

    assert 0 < proxy.faults
    assert usage == window == total
    if mode == "apply":
        assert MADE == total
    else:
        assert MADE - failed <= total <= MADE


@pytest.mark.proof
@pytest.mark.timeout(1800)
async def test_plain_increments_over_a_bad_network_are_wrong(server: Server, prefix: str) -> None:
    """The control: INCRBYFLOAT with redis-py's own retries, over the same network, counts something twice."""
    key = f"{prefix}plain"

    async def increment(port: int) -> None:
        async with Redis(host=HOST, port=port) as client:
            for _ in range(max(INCREMENTS, 500)):
                await client.incrbyfloat(key, 1)

    async with FaultProxy(server.port) as proxy:
        proxy.lost_replies = proxy.resets = 0.01
        await asyncio.gather(*(increment(proxy.port) for _ in range(PROCESSES)))
    made, total = PROCESSES * max(INCREMENTS, 500), float(cast("bytes", server.ask("GET", key)))
    report(f"redis, INCRBYFLOAT with retries: {made} increments, {proxy.faults} faults, {total:.0f} counted")

    assert made < total


class Storm:
    """Calls that are given up at random points. Every value embeds its key, so that another one's reply is seen."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.dice = random.Random(7)  # noqa: S311 -- not for secrets
        self.cancelled = self.wrong = self.begun = self.acknowledged = 0

    def operations(self, number: int) -> Sequence[tuple[Callable[[], Awaitable[object]], tuple[object, ...]]]:
        key = f"key-{number}"
        value = key.encode() * (1 + number * 40)
        return (
            (lambda: self.store.set_cache(key, value, 600), (None,)),
            (lambda: self.store.get_cache(key), (None, value)),
            (lambda: self._value(key), (None, value)),
            (lambda: self.store.get_usage("p", key, "none"), (0,)),
            (lambda: self.store.get_usage_in_window("p", key, "none", 60), (0,)),
            (self._count, (None,)),
        )

    async def _value(self, key: str) -> bytes | None:
        found = await self.store.get_cache_with_ttl(key)
        return found[0] if found else None

    async def _count(self) -> None:
        self.begun += 1
        await self.store.increment_usage(*REQ, 1)
        self.acknowledged += 1

    async def call(self) -> None:
        """One operation, given up once, as asyncio does it, or again at each await that follows, as anyio does it."""
        operation, own = self.dice.choice(self.operations(self.dice.randrange(50)))
        give_up = self.dice.choice((self._cancel_task, self._cancel_scope))
        done, reply = await give_up(operation)
        self.cancelled += not done
        self.wrong += done and reply not in own

    async def _cancel_task(self, operation: Callable[[], Awaitable[object]]) -> tuple[bool, object]:
        task = asyncio.ensure_future(operation())
        if self.dice.random() < 0.5:
            await asyncio.sleep(self.dice.random() * 0.005)
        else:
            for _ in range(self.dice.randrange(30)):
                await asyncio.sleep(0)
        task.cancel()
        (reply,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(reply, asyncio.CancelledError):
            return False, None
        if isinstance(reply, BaseException):
            raise reply
        return True, reply

    async def _cancel_scope(self, operation: Callable[[], Awaitable[object]]) -> tuple[bool, object]:
        reply: object = None
        with anyio.move_on_after(self.dice.random() * 0.005) as scope:
            reply = await operation()
        return not scope.cancelled_caught, reply


@pytest.mark.proof
@pytest.mark.timeout(3600)
async def test_cancellations_leave_nothing_behind(server: Server, prefix: str) -> None:
    """Operations that are cancelled at random points never give another one's reply, and leak no connection and no
    place in the pool; each increment counts once or, when it was given up, perhaps not.
    """
    # The clock must cancel nothing: on a busy machine a reply may take longer than an operator would wait.
    async with RedisStore(
        addr=server.addr,
        key_prefix=prefix,
        max_connections=CONNECTIONS,
        connect_timeout_seconds=20,
        timeout_seconds=20,
    ) as store:
        storm = Storm(store)
        calls = 0
        while storm.cancelled < CANCELLATIONS:
            await asyncio.gather(*(storm.call() for _ in range(CONNECTIONS)))
            calls += CONNECTIONS
        link = await store._connections.link()
        pool = cast("Redis", link.client).connection_pool
        assert 0 == len(pool._in_use_connections)
        assert CONNECTIONS == link.slots._value
        assert len(pool._available_connections) <= CONNECTIONS
        total = await store.get_total(*REQ)
        report(f"redis: {storm.cancelled} of {calls} calls cancelled, {storm.wrong} wrong replies")

    assert 0 == storm.wrong
    assert storm.cancelled < calls
    assert storm.acknowledged <= total <= storm.begun
    wait_for(lambda: 1 == len(cast("list[object]", server.ask("CLIENT LIST"))))


async def measure(server: Server, stores: Sequence[RedisStore], window: int) -> list[tuple[float, float]]:
    """Microseconds that one look at a window takes, for each store: the script in the server, and all of it. They take
    turns, and the quickest of each counts, so that what else the machine does counts for none.
    """
    costs: list[list[tuple[float, float]]] = [[] for _ in stores]
    for _ in range(20):
        for store, cost in zip(stores, costs, strict=True):
            server.ask("CONFIG", "RESETSTAT")
            began = perf_counter()
            for _ in range(100):
                await store.get_usage_in_window(*REQ, window)
            whole = round((perf_counter() - began) * 1e4, 1)
            stats = cast("dict[str, dict[str, float]]", server.ask("INFO", "commandstats"))
            cost.append((stats["cmdstat_evalsha"]["usec_per_call"], whole))
    return [(min(inside for inside, _ in cost), min(whole for _, whole in cost)) for cost in costs]


async def fill(server: Server, prefix: str, increments: int, seconds: int) -> RedisStore:
    """A store with so many increments, even over so many seconds."""
    clock = Clock()
    store = RedisStore(addr=server.addr, key_prefix=f"{prefix}{increments}:", clock=clock)
    for second in range(seconds):
        clock.advance(1)
        here = increments * (second + 1) // seconds - increments * second // seconds
        await store.apply("writer", second + 1, [Increment(*REQ, 1)] * here)
    assert increments == await store.get_total(*REQ)
    return store


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("window", [60, 3_600, 86_400])
async def test_window_costs_the_same_after_many_increments(server: Server, prefix: str, window: int) -> None:
    """After a thousand increments and after a million the same buckets are read, within a fifth of the time."""
    many, few = [await fill(server, prefix, increments, 1_000) for increments in (MANY, 1_000)]
    size = level_of(window).size
    sizes = [cast("int", server.ask("HLEN", store._layout.window(*REQ, size))) for store in (few, many)]
    costs = await measure(server, (few, many), window)
    for store in (few, many):
        await store.close()
    report(f"redis, window of {window} s: us in the server and in all {costs[0]}, after {MANY} increments {costs[1]}")

    assert 0 < sizes[0] == sizes[1]
    if PROOF >= FULL:
        assert costs[1][1] <= 1.2 * costs[0][1]
