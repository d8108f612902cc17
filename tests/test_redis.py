"""stores/redis.py: what the contract cannot see. The contract itself runs in test_stores.py."""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from coo_middleware.core.window import LEVELS
from coo_middleware.stores import LATENCY, Increment, RuntimeStore, StoreSettings, open_store
from coo_middleware.stores.redis import RedisStore
from coo_middleware.testing import Clock
from tests.redis_server import Server, let_pass
from tests.store_machine import TTL, StoreMachine

REQ = ("openai", "key1", "req")
LATENCIES = ("openai", "key1", LATENCY)
NOW = 1_700_000_000.25
# The server's time cannot be stopped, but stretched: a second of the model's is as long as five hundred.
STRETCH = 500

Ask = Callable[..., object]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def store(redis_url: str, clock: Clock) -> AsyncIterator[RedisStore]:
    """A store whose windows stand still."""
    async with RedisStore(addr=redis_url, key_prefix=f"{secrets.token_hex(8)}:", clock=clock) as store:
        yield store


@pytest.fixture
def ask(redis_url: str, store: RedisStore) -> Ask:
    """`ask("GET", "total:a:b:c")` asks the server itself; the prefix is put before the key."""

    def asking(command: str, key: str, *rest: str | int) -> object:
        with Redis.from_url(redis_url, decode_responses=True) as client:
            return client.execute_command(command, store._layout.prefix + key, *rest)

    return asking


class StretchedStore(RedisStore):
    """Takes each second for five hundred."""

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        await super().set_cache(key, value, ttl_seconds * STRETCH)

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        await super().apply(writer, sequence, [replace(each, age=each.age * STRETCH) for each in increments])


def test_redis_agrees_with_a_model(redis_url: str) -> None:
    """After any calls in any order, with time passing between them, the store reads what a plain log would."""

    class RedisMachine(StoreMachine):
        async def make(self, clock: Clock) -> RuntimeStore:
            self.prefix = f"{secrets.token_hex(8)}:"
            return StretchedStore(addr=redis_url, key_prefix=self.prefix, usage_ttl_seconds=TTL * STRETCH, clock=clock)

        async def advance(self, clock: Clock, seconds: float) -> None:
            clock.advance(seconds)
            for kind in ("usage", "samples", "cache"):
                let_pass([redis_url], f"{self.prefix}{kind}:", seconds * STRETCH)

    run_state_machine_as_test(RedisMachine, settings=settings(max_examples=25, stateful_step_count=25))


async def test_server_s_clock_decides(redis_url: str) -> None:
    """Without a clock of the caller's, windows go by the server's time, and an old increment belongs to its own."""
    async with open_store({"type": "redis", "addr": redis_url, "key_prefix": f"{secrets.token_hex(8)}:"}) as store:
        await store.apply("writer", 1, [Increment(*REQ, 1), Increment(*REQ, 2, age=90), Increment(*REQ, 4, age=3000)])

        assert [1, 3, 7] == [await store.get_usage_in_window(*REQ, window) for window in (60, 120, 3600)]
        assert [1, 7] == [await store.get_usage(*REQ), await store.get_total(*REQ)]


async def test_old_increment_counts_where_it_belongs(store: RedisStore) -> None:
    """An age up to 35 days leads to the bucket of its time; the usage counter takes what is younger than its life."""
    for sequence, age in enumerate((0, 59, 61, 119, 7_100, 86_400, 35 * 86_400), 1):
        batch = [Increment(*REQ, 1, age=age), Increment(*LATENCIES, 100 * sequence, age=age)]
        await store.apply("writer", sequence, batch)

    assert [1, 2, 4, 5, 6, 7] == [
        await store.get_usage_in_window(*REQ, window) for window in (1, 60, 120, 7_200, 90_000, 35 * 86_400)
    ]
    assert [2, 7] == [await store.get_usage(*REQ), await store.get_total(*REQ)]
    assert [150, 150, 400] == [
        await store.get_usage(*LATENCIES),
        await store.get_usage_in_window(*LATENCIES, 60),
        await store.get_total(*LATENCIES),
    ]


async def test_window_does_not_grow(store: RedisStore, clock: Clock, ask: Ask) -> None:
    """However many increments there are, a window has no more buckets than the longest one needs, and each level goes
    when nobody writes.
    """
    for level in LEVELS:
        for sequence in range(1, level.kept + 40):
            clock.advance(level.size)
            await store.apply(f"{level.size}", sequence, [Increment(*REQ, 1), Increment(*LATENCIES, 1)])
        key = f"window:openai:key1:{{}}:{level.size}"
        assert level.kept == ask("HLEN", key.format("req"))
        assert 2 * level.kept == ask("HLEN", key.format(LATENCY))
        assert level.longest < cast("int", ask("TTL", key.format("req"))) <= level.longest + level.size
        assert level.longest / level.size + 1 == await store.get_usage_in_window(*REQ, level.longest)
        assert 1 == await store.get_usage_in_window(*LATENCIES, level.longest)


async def test_clock_that_goes_back_loses_nothing(store: RedisStore, clock: Clock, ask: Ask) -> None:
    """What was counted ahead of the clock, as by a server that another one replaced, still counts; and is bounded."""
    for sequence in range(1, 200):
        clock.advance(1)
        await store.apply("writer", sequence, [Increment(*REQ, 1)])
    clock.advance(-3_600)
    for sequence in range(200, 400):
        clock.advance(1)
        await store.apply("writer", sequence, [Increment(*REQ, 1)])

    assert 121 + 61 == await store.get_usage_in_window(*REQ, 60)
    assert cast("int", ask("HLEN", "window:openai:key1:req:1")) <= 2 * LEVELS[0].kept


async def test_keys_live_as_long_as_they_are_needed(store: RedisStore, ask: Ask) -> None:
    """A counter's period, its samples', a writer's mark and a response end; a total does not."""
    batch = [Increment(*REQ, 1), Increment(*LATENCIES, 1)]
    await store.apply("writer", 1, batch)
    await store.set_cache("a:b%", b"value", 10)
    await store.set_usage("openai", "key2", LATENCY, 1)

    names = ["usage:openai:key1:req", f"samples:openai:key1:{LATENCY}", "writer:writer", "cache:a:b%"]
    names += [f"samples:openai:key2:{LATENCY}", "total:openai:key1:req"]
    assert [60, 60, 35 * 86_400, 10, 60, -1] == [cast("int", ask("TTL", name)) for name in names]


@pytest.mark.parametrize(
    ("value", "text"), [(45, "45"), (45.0, "45"), (0.1, "0.1"), (-2.5, "-2.5"), (1e300, "1e+300"), (1e-7, "1e-07")]
)
async def test_value_is_text(store: RedisStore, ask: Ask, value: float, text: str) -> None:
    """A value that was set stands in the counter as a person would write it, and comes back as it was."""
    await store.set_usage(*REQ, value)
    await store.set_usage(*LATENCIES, value)

    assert [text, text] == [ask("GET", f"usage:openai:key1:{metric}") for metric in ("req", LATENCY)]
    assert [value, value] == [await store.get_usage(*REQ), await store.get_usage(*LATENCIES)]


@pytest.mark.parametrize("delta", [1e300, -1e300, 1e-15, 123456789.123])
async def test_large_and_small_increments(store: RedisStore, delta: float) -> None:
    """An increment of any size reads back as near as a float allows."""
    await store.increment_usage(*REQ, delta)

    for read in (store.get_usage(*REQ), store.get_total(*REQ), store.get_usage_in_window(*REQ, 60)):
        assert math.isclose(delta, await read, rel_tol=1e-12)


async def test_mean_whose_samples_were_evicted_goes_on(store: RedisStore, ask: Ask) -> None:
    """A server that evicted the samples costs their weight; one that evicted the counter begins a new period."""
    await store.increment_usage(*LATENCIES, 100)
    ask("DEL", f"samples:openai:key1:{LATENCY}")
    await store.increment_usage(*LATENCIES, 300)
    assert 300 == await store.get_usage(*LATENCIES)
    ask("DEL", f"usage:openai:key1:{LATENCY}")
    await store.increment_usage(*LATENCIES, 500)

    assert 500 == await store.get_usage(*LATENCIES)


async def test_batch_is_once_for_each_writer_and_many_writers_at_once(store: RedisStore, redis_url: str) -> None:
    """Eight stores that send the same batches of four writers at the same time count each batch once."""
    stores = [RedisStore(addr=redis_url, key_prefix=store._layout.prefix) for _ in range(8)]

    async def send(each: RedisStore, writer: str) -> None:
        for sequence in range(1, 26):
            await each.apply(writer, sequence, [Increment(*REQ, 1)])

    await asyncio.gather(*(send(each, f"writer-{number}") for number in range(4) for each in stores))
    for each in stores:
        await each.close()

    assert 100 == await store.get_total(*REQ)


async def test_large_batch_is_applied_once(store: RedisStore) -> None:
    """A batch that takes several scripts counts once, sent as often as it may be."""
    batch = [Increment("p", f"key{number}", "req", 1) for number in range(1_200)]
    for _ in range(2):
        await store.apply("writer", 1, batch)

    assert [1.0] * 1_200 == [await store.get_total("p", f"key{number}", "req") for number in range(1_200)]


async def test_increments_of_one_store_number_themselves(store: RedisStore, ask: Ask) -> None:
    """Increments one after another share one mark; those at the same time have one each."""
    for _ in range(5):
        await store.increment_usage(*REQ, 1)
    [writer] = (await store._connections.link()).writers
    assert "5" == ask("GET", f"writer:{writer.name}")
    await asyncio.gather(*(store.increment_usage(*REQ, 1) for _ in range(5)))

    assert 5 == len((await store._connections.link()).writers)
    assert 10 == await store.get_total(*REQ)


async def test_value_comes_with_its_time_to_live(store: RedisStore) -> None:
    """For how long the store has it, counted from before it was asked, so that a first level ends no later."""
    await store.set_cache("key", b"value", 10)
    found = await store.get_cache_with_ttl("key")

    assert found is not None
    assert b"value" == found[0]
    assert 8 < found[1] <= 10
    assert await store.get_cache_with_ttl("nothing") is None


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(0.0001, 1), (0.0015, 1), (2, 2_000), (1e308, 100_000_000_000_000)]
)
async def test_time_to_live_in_milliseconds(store: RedisStore, seconds: float, milliseconds: int, ask: Ask) -> None:
    """A time to live is never prolonged by more than what a millisecond lacks, and any number is taken."""
    await store.set_cache("key", b"value", seconds)

    assert cast("int", ask("PTTL", "cache:key")) in range(milliseconds - 1_000 if seconds > 1 else -2, milliseconds + 1)


async def test_empty_batch_sends_nothing() -> None:
    """There is nothing to apply, so nothing is sent."""
    await RedisStore(addr="127.0.0.1:9").apply("writer", 1, [])


def test_settings_make_the_store() -> None:
    """All settings of the section reach the constructor."""
    section = StoreSettings(type="redis", addr="a,b", mode="cluster", usage_ttl_seconds=5, max_connections=7)
    store = RedisStore.from_settings(section)

    assert ("a:6379,b:6379", 5_000, True, 7) == (
        store._where,
        store._usage_ttl,
        store._layout.is_cluster,
        store._connections._limit,
    )


async def test_secrets_of_a_store_are_not_shown(redis_server: Server) -> None:
    """The page of settings and the store's own text name no password."""
    store = RedisStore(addr=f"redis://user:hunter2@{redis_server.addr}", password="hunter2")

    assert "hunter2" not in repr(store) + repr(vars(store))
