"""stores/redis_series.py: what is asked of the server, and the index. The contract runs in test_stores.py."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from struct import pack

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from coo_middleware.core.window import Span
from coo_middleware.stores import LATENCY, Counter, Increment, StoreError, redis_series
from coo_middleware.stores.redis import RedisStore
from coo_middleware.stores.redis_connect import Argument, RedisClient
from coo_middleware.stores.redis_series import Index, _read_floats
from coo_middleware.testing import Clock

REQ = ("openai", "key1", "req")
LATENCIES = ("openai", "key1", LATENCY)
NOW = 1_700_000_000.25

Ask = Callable[..., object]


class Spy:
    """A client that tells what it was asked."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client
        self.commands: list[Argument] = []

    def execute_command(self, *args: Argument) -> Awaitable[object]:
        self.commands.append(args[0])
        return self.client.execute_command(*args)


@pytest.fixture
async def spy(redis_url: str) -> AsyncIterator[Spy]:
    async with AsyncRedis.from_url(redis_url) as client:
        yield Spy(client)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def store(spy: Spy, clock: Clock) -> AsyncIterator[RedisStore]:
    """A store of its own, whose windows stand still."""
    async with RedisStore(client=spy, key_prefix=f"{secrets.token_hex(8)}:", clock=clock) as store:
        yield store


@pytest.fixture
def ask(redis_url: str, store: RedisStore) -> Ask:
    """`ask("DEL", "counters")` asks the server itself; the prefix is put before the key."""

    def asking(command: str, key: str, *rest: str | int) -> object:
        with Redis.from_url(redis_url, decode_responses=True) as client:
            return client.execute_command(command, store._layout.prefix + key, *rest)

    return asking


async def count(store: RedisStore, *counters: Counter, sequence: int = 1) -> None:
    await store.apply("writer", sequence, [Increment(*each, 1) for each in counters])


async def names(store: RedisStore) -> list[Counter]:
    """What is listed on the first page."""
    return [(each.provider, each.key_id, each.metric) for each in (await store.list_totals()).totals]


async def test_each_counter_is_added_once(store: RedisStore, spy: Spy, ask: Ask) -> None:
    """However often it is incremented, its name is sent when this store sees it first, and not again."""
    for sequence in range(1, 4):
        await count(store, REQ, LATENCIES, sequence=sequence)
    await store.increment_usage(*REQ, 1)
    await store.increment_usage("a:b", "100%", "m", 1)

    assert ["ZADD", "EVALSHA", "EVALSHA", "EVALSHA", "EVALSHA", "ZADD", "EVALSHA"] == [
        each for each in spy.commands if each != "EVAL"
    ]
    assert ["a%3Ab:100%25:m", "openai:key1:latency", "openai:key1:req"] == ask("ZRANGE", "counters", 0, -1)
    assert -1 == ask("TTL", "counters")


async def test_nothing_looks_through_all_keys(store: RedisStore, spy: Spy) -> None:
    """A page is a range of the index and two scripts, a hundred counters' buckets are two scripts, and no more."""
    counters = [("p", "k", f"m{number}") for number in range(1_001)]
    await count(store, *counters)
    await store.list_totals()
    await store.read_points(counters[:100], 60)
    spy.commands.clear()
    page = await store.list_totals()
    assert ["ZRANGE", "EVALSHA", "EVALSHA"] == spy.commands
    spy.commands.clear()
    await store.read_points(counters[:100], 60)

    assert ["EVALSHA"] * 2 == spy.commands
    assert (1_000, True) == (len(page.totals), bool(page.cursor))
    assert 1 == len((await store.list_totals(page.cursor)).totals)


async def test_counters_of_an_older_version_are_adopted(store: RedisStore, ask: Ask, spy: Spy) -> None:
    """A counter that is not in the index is listed with all of its total once another process increments it."""
    await count(store, REQ)
    ask("DEL", "counters")
    assert [] == await names(store)
    async with RedisStore(client=spy, key_prefix=store._layout.prefix) as other:
        await count(other, REQ, sequence=2)

    assert [2] == [each.value for each in (await store.list_totals()).totals]


async def test_index_that_is_spoilt_keeps_nobody_from_counting(store: RedisStore, ask: Ask) -> None:
    """Increments count without it, the list says what is wrong, and afterwards the next batch adds what is missing."""
    ask("SET", "counters", "another program's")
    await count(store, REQ)
    await count(store, LATENCIES, sequence=2)
    assert [1, 1] == [await store.get_total(*each) for each in (REQ, LATENCIES)]
    with pytest.raises(StoreError, match="delete the key that holds something else"):
        await store.list_totals()
    ask("DEL", "counters")
    await count(store, ("p", "k", "m"), sequence=3)

    assert [LATENCIES, REQ, ("p", "k", "m")] == await names(store)


async def test_index_that_the_server_lost_heals(store: RedisStore, ask: Ask) -> None:
    """A name is sent again after ten minutes: a failover may have lost it."""
    clock = Clock()
    index = Index(store._connections, store._layout, clock)
    await index.add([Increment(*REQ, 1)])
    ask("DEL", "counters")
    for seconds, expected in ((599, []), (1, ["openai:key1:req"])):
        clock.advance(seconds)
        await index.add([Increment(*REQ, 1)])
        assert expected == ask("ZRANGE", "counters", 0, -1)


async def test_names_that_are_known_are_bounded(store: RedisStore, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of made-up names costs no memory here, whether the server takes them or not."""
    monkeypatch.setattr(redis_series, "_MOST_KNOWN", 20)
    index = store._batches.index
    for spoilt in (False, True):
        if spoilt:
            ask("DEL", "counters")
            ask("SET", "counters", "another program's")
        for begin in range(0, 200, 10):
            await index.add([Increment("p", f"{spoilt}", f"m{number}", 1) for number in range(begin, begin + 10)])
        assert len(index._known) <= 30
        assert len(index._missing) <= 30


async def test_counter_whose_total_was_evicted_is_left_out(store: RedisStore, ask: Ask) -> None:
    """What the server has given up is no 0."""
    await count(store, REQ, LATENCIES, ("p", "k", "m"))
    ask("DEL", "total:openai:key1:req")
    ask("DEL", f"total:openai:key1:{LATENCY}")

    assert [("p", "k", "m")] == await names(store)


async def test_cursor_of_no_page_is_refused(store: RedisStore) -> None:
    """It is the caller's fault, not the store's."""
    for cursor in ("a", "a:b", "a:b:c:d", "a:b:%zz"):
        with pytest.raises(ValueError, match="cursor: must be empty, or the one of the page before"):
            await store.list_totals(cursor)


async def test_buckets_ahead_of_the_clock_count(store: RedisStore, clock: Clock) -> None:
    """What another machine's clock put ahead counts in the last bucket, as it does in the window."""
    for sequence, seconds in enumerate((0, 30, 45), 1):
        clock.advance(seconds)
        await count(store, REQ, LATENCIES, sequence=sequence)
    clock.advance(-60)
    points = await store.read_points([REQ, LATENCIES], 60)

    assert [0] * 45 + [1] + [0] * 14 + [2] == [*points.values[0]]
    assert [0] * 45 + [1] + [0] * 14 + [1] == [*points.values[1]]
    assert await store.get_usage_in_window(*REQ, 60) == sum(points.values[0])
    assert NOW + 15 - 60 - 0.25 == points.begins


@pytest.mark.parametrize("window", [60, 7_200, 35 * 86_400])
async def test_server_s_clock_decides(redis_url: str, window: int) -> None:
    """Without a clock of the caller's the last bucket is the server's running one, also where several scripts ask."""
    counters = [("p", "k", f"m{number}") for number in range(200)]
    async with RedisStore(addr=redis_url, key_prefix=f"{secrets.token_hex(8)}:", timeout_seconds=10) as store:
        await store.apply("writer", 1, [Increment(*each, 1) for each in counters])
        points = await store.read_points([*counters, ("p", "k", "unknown")], window)

    assert [1.0] * 200 + [0.0] == [sum(each) for each in points.values]
    assert {len(points.values[0])} == {*map(len, points.values)}
    assert all(1.0 in each[-12:] for each in points.values[:-1])


@pytest.mark.parametrize(
    ("own", "amounts", "expected"),
    [
        (Span(60, 10, 12), [1, 2, 4], [1, 2, 4]),
        (Span(60, 9, 11), [1, 2, 4], [2, 4, 0]),
        (Span(60, 7, 9), [1, 2, 4], [0, 0, 0]),
    ],
)
def test_node_whose_clock_is_behind_is_read_in_the_latest_one_s_buckets(
    own: Span, amounts: Sequence[float], expected: Sequence[float]
) -> None:
    """A bucket keeps its time, whichever node of a cluster it is from."""
    span = Span(60, 10, 12)

    assert expected == [*_read_floats(pack("<3d", *amounts), own, span)]
    assert (0.0, 0.0, 0.0) == _read_floats(b"", own, span)
