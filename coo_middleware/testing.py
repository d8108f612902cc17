"""The contract of RuntimeStore as tests, for whoever writes a store:

    class TestMyStore(StoreContract):
        async def make(self, clock: Clock) -> RuntimeStore:
            return MyStore(usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)

StoreContract holds for every store. Add FullStoreContract for a store that overrides the defaults, SharedStoreContract
for one whose data several processes use, FailureContract for one that can be out of reach. Runs under pytest with the
plugin of anyio, which needs no configuration.

Time: a store that takes `clock` needs nothing else. Where a server expires data by itself, override `advance` to take
`seconds` off each time to live in the server as well (Redis: PEXPIRE every key to PTTL less the seconds, or delete it).
A store whose time nobody can move may sleep in `advance`, with `usage_ttl_seconds` of 2 or so, and call `pytest.skip`
for what takes too long. No test relies on an instant: before an expiry there is at least half a second, in windows a
whole one.
"""

# ruff: noqa: S101 -- this module is tests
from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from typing import ClassVar, Final, TypeAlias

import pytest

from coo_middleware.stores import LATENCY, MAX_KEY_BYTES, Increment, RuntimeStore, StoreError

SECRET: Final = "sk-contract-0123456789"  # noqa: S105 -- made up, so that a test can look for it

_Call: TypeAlias = Callable[[RuntimeStore], Awaitable[object]]

_REQ: Final = ("openai", "key1", "req")
_LATENCY: Final = ("openai", "key1", LATENCY)
_DAY: Final = 86_400
_BINARY: Final = bytes(range(256)) * 4096
_NAMES: Final = ("a", "a:b", "b:a", "a%3Ab", "a/b", "..", "*", "ключ", "a b\r\n\x00", "")
_OPERATIONS: Final[dict[str, _Call]] = {
    "get_usage": lambda store: store.get_usage(*_REQ),
    "set_usage": lambda store: store.set_usage(*_REQ, 1),
    "increment_usage": lambda store: store.increment_usage(*_REQ, 1),
    "get_usage_in_window": lambda store: store.get_usage_in_window(*_REQ, 60),
    "get_total": lambda store: store.get_total(*_REQ),
    "set_cache": lambda store: store.set_cache("key", b"value", 10),
    "get_cache": lambda store: store.get_cache("key"),
    "delete_cache": lambda store: store.delete_cache("key"),
    "apply": lambda store: store.apply("writer", 1, [Increment(*_REQ, 1)]),
    "ping": lambda store: store.ping(),
}
_INVALID: Final[dict[str, _Call]] = {
    "delta NaN": lambda store: store.increment_usage(*_REQ, float("nan")),
    "delta infinite": lambda store: store.increment_usage(*_REQ, float("-inf")),
    "value NaN": lambda store: store.set_usage(*_REQ, float("nan")),
    "value infinite": lambda store: store.set_usage(*_REQ, float("inf")),
    "names too long": lambda store: store.increment_usage("openai", "k" * MAX_KEY_BYTES, "req", 1),
    "name not text": lambda store: store.increment_usage("openai", "\ud800", "req", 1),
    "window 0": lambda store: store.get_usage_in_window(*_REQ, 0),
    "window too long": lambda store: store.get_usage_in_window(*_REQ, 35 * _DAY + 1),
    "ttl 0": lambda store: store.set_cache("key", b"value", 0),
    "ttl negative": lambda store: store.set_cache("key", b"value", -1),
    "ttl NaN": lambda store: store.set_cache("key", b"value", float("nan")),
    "ttl infinite": lambda store: store.set_cache("key", b"value", float("inf")),
    "key too long to store": lambda store: store.set_cache("é" * (MAX_KEY_BYTES // 2 + 1), b"value", 10),
    "key too long to read": lambda store: store.get_cache("k" * (MAX_KEY_BYTES + 1)),
    "key not text": lambda store: store.set_cache("\ud800", b"value", 10),
    "samples 0": lambda store: store.apply("w", 1, [Increment(*_REQ, 1, samples=0)]),
}


class Clock:
    """Wall-clock seconds that stand still until `advance`."""

    def __init__(self, now: float = 1_700_000_000.25) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass."""
        self.now += seconds


class _OnAsyncio:
    pytestmark: ClassVar = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"


class StoreContract(_OnAsyncio):
    """What every store promises. Override `make`, and `advance` where the clock is not enough."""

    usage_ttl_seconds: ClassVar[float] = 60.0

    async def make(self, clock: Clock) -> RuntimeStore:
        """A new store without any data, not opened yet, whose usage counters live `usage_ttl_seconds`."""
        raise NotImplementedError

    async def advance(self, clock: Clock, seconds: float) -> None:
        """Lets `seconds` pass for the store that was made."""
        clock.advance(seconds)

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    async def store(self, clock: Clock) -> AsyncIterator[RuntimeStore]:
        async with await self.make(clock) as store:
            yield store

    async def test_open_ping_and_close_may_be_repeated(self, clock: Clock) -> None:
        """A store is ready after `open`, answers `ping`, and takes a second `open` or `close` in its stride."""
        async with await self.make(clock) as store:
            await store.open()
            await store.ping()
            await store.close()

    @pytest.mark.parametrize("call", _INVALID.values(), ids=_INVALID)
    async def test_invalid_arguments_are_refused(self, store: RuntimeStore, call: _Call) -> None:
        """What no store can keep faithfully raises ValueError, whatever the store."""
        with pytest.raises(ValueError):  # noqa: PT011 -- each store has its own words
            await call(store)

    async def test_usage_counter_reads_0_before_its_first_increment(self, store: RuntimeStore) -> None:
        """A counter, its windows and its total are 0 when there is nothing."""
        assert (0, 0, 0) == await _read(store, *_REQ)

    async def test_usage_counter_adds_up(self, store: RuntimeStore) -> None:
        """A counter, its window and its total are the sum of what was added, fractions and corrections included."""
        for delta in (1, 2.5, -0.75, 0):
            await store.increment_usage(*_REQ, delta)

        assert (2.75, 2.75, 2.75) == await _read(store, *_REQ)

    async def test_usage_counter_lives_from_its_first_increment(self, clock: Clock, store: RuntimeStore) -> None:
        """A later increment does not prolong the period; exactly at its end the counter reads 0."""
        await store.increment_usage(*_REQ, 1)
        await self.advance(clock, self.usage_ttl_seconds / 2)
        await store.increment_usage(*_REQ, 2)
        assert 3 == await store.get_usage(*_REQ)
        await self.advance(clock, self.usage_ttl_seconds / 2)

        assert 0 == await store.get_usage(*_REQ)

    async def test_usage_counter_starts_a_new_period_after_its_end(self, clock: Clock, store: RuntimeStore) -> None:
        """An increment after the end counts alone, for a full period."""
        await store.increment_usage(*_REQ, 1)
        await self.advance(clock, self.usage_ttl_seconds * 1.5)
        await store.increment_usage(*_REQ, 2)
        await self.advance(clock, self.usage_ttl_seconds / 2)

        assert 2 == await store.get_usage(*_REQ)

    async def test_usage_counter_set_starts_its_period_anew(self, clock: Clock, store: RuntimeStore) -> None:
        """A value that was set lives a full period, takes increments, and then reads 0."""
        await store.increment_usage(*_REQ, 1)
        await self.advance(clock, self.usage_ttl_seconds / 2)
        await store.set_usage(*_REQ, 45)
        await store.increment_usage(*_REQ, 5)
        await self.advance(clock, self.usage_ttl_seconds / 2)
        assert 50 == await store.get_usage(*_REQ)
        await self.advance(clock, self.usage_ttl_seconds / 2)

        assert 0 == await store.get_usage(*_REQ)

    async def test_usage_counter_set_leaves_window_and_total(self, store: RuntimeStore) -> None:
        """What is set is no traffic."""
        await store.increment_usage(*_REQ, 1)
        await store.set_usage(*_REQ, 45)

        assert (45, 1, 1) == await _read(store, *_REQ)

    async def test_usage_counters_are_apart(self, store: RuntimeStore) -> None:
        """Every three names are a counter of their own, whatever characters they hold."""
        counters = [*product(_NAMES, _NAMES[:3], _NAMES[:3])]
        for number, counter in enumerate(counters, 1):
            await store.increment_usage(*counter, number)

        assert [*range(1, len(counters) + 1)] == [await store.get_usage(*counter) for counter in counters]

    @pytest.mark.parametrize("window", [1, 2, 60, 120, 121, 3_600, 7_200, 7_201, _DAY, 35 * _DAY])
    async def test_window_holds_the_last_seconds(self, clock: Clock, store: RuntimeStore, window: int) -> None:
        """An increment counts for the whole window, and no longer than one bucket more."""
        bucket = 1 if window <= 120 else 60 if window <= 7_200 else 3_600
        await store.increment_usage(*_REQ, 3)
        await self.advance(clock, window - 1)
        assert 3 == await store.get_usage_in_window(*_REQ, window)
        await self.advance(clock, bucket + 2)

        assert 0 == await store.get_usage_in_window(*_REQ, window)

    async def test_window_leaves_out_what_is_older(self, clock: Clock, store: RuntimeStore) -> None:
        """Each window sums its own last seconds, long after the counter's period."""
        for delta in (1, 2, 4):
            await store.increment_usage(*_REQ, delta)
            await self.advance(clock, 50)

        assert [0, 4, 6, 7] == [await store.get_usage_in_window(*_REQ, window) for window in (45, 55, 110, 7_000)]

    async def test_total_outlives_every_period(self, clock: Clock, store: RuntimeStore) -> None:
        """A total holds what no shorter window holds any more."""
        await store.increment_usage(*_REQ, 1)
        await self.advance(clock, 34 * _DAY)
        await store.increment_usage(*_REQ, 2)

        assert (2, 2, 3) == await _read(store, *_REQ)

    async def test_latency_is_a_mean(self, store: RuntimeStore) -> None:
        """Each increment of `latency` is one sample, and what is read is the mean."""
        for sample in (100, 200, 600):
            await store.increment_usage(*_LATENCY, sample)

        assert pytest.approx((300, 300, 300)) == await _read(store, *_LATENCY)

    async def test_latency_is_a_mean_of_the_window(self, clock: Clock, store: RuntimeStore) -> None:
        """Samples that left the period or the window leave the mean."""
        await store.increment_usage(*_LATENCY, 100)
        await self.advance(clock, self.usage_ttl_seconds + 62)
        await store.increment_usage(*_LATENCY, 300)

        assert pytest.approx((300, 300, 200)) == await _read(store, *_LATENCY)

    async def test_latency_set_is_one_sample(self, store: RuntimeStore) -> None:
        """A latency that was set weighs as much as one increment."""
        await store.set_usage(*_LATENCY, 100)
        await store.increment_usage(*_LATENCY, 300)

        assert pytest.approx(200) == await store.get_usage(*_LATENCY)

    async def test_atomic_increments_are_not_lost_by_concurrency(self, store: RuntimeStore) -> None:
        """As many increments as were made at the same time are counted."""
        await asyncio.gather(*(store.increment_usage(*_REQ, 1) for _ in range(100)))

        assert (100, 100, 100) == await _read(store, *_REQ)

    async def test_atomic_batch_counts_every_increment(self, store: RuntimeStore) -> None:
        """A batch adds the sum of its samples to each counter; a mean knows how many they were."""
        await store.apply(
            "writer", 1, [Increment(*_REQ, 2, samples=2), Increment(*_LATENCY, 900, samples=3), Increment(*_REQ, 1)]
        )
        await store.increment_usage(*_LATENCY, 700)

        assert (3, 3, 3) == await _read(store, *_REQ)
        assert pytest.approx((400, 400, 400)) == await _read(store, *_LATENCY)

    async def test_atomic_batch_is_refused_as_a_whole(self, store: RuntimeStore) -> None:
        """Nothing of a batch with an invalid increment is counted, and its number stays free."""
        with pytest.raises(ValueError):  # noqa: PT011 -- each store has its own words
            await store.apply("writer", 1, [Increment(*_REQ, 1), Increment(*_REQ, float("nan"))])
        await store.apply("writer", 1, [Increment(*_REQ, 2)])

        assert (2, 2, 2) == await _read(store, *_REQ)

    @pytest.mark.parametrize(
        "value", [b"", b"{}", "\u2028ключ".encode(), _BINARY], ids=["empty", "json", "utf-8", "1 MiB"]
    )
    async def test_cache_is_byte_for_byte(self, store: RuntimeStore, value: bytes) -> None:
        """What was stored comes back unchanged, and nothing when nothing was stored."""
        assert await store.get_cache("key") is None
        await store.set_cache("key", value, 10)

        assert value == await store.get_cache("key")

    async def test_cache_key_is_any_text(self, store: RuntimeStore) -> None:
        """Keys of any characters up to 2 KiB are apart."""
        keys = [*_NAMES, "k" * MAX_KEY_BYTES, "é" * (MAX_KEY_BYTES // 2), "k" * (MAX_KEY_BYTES - 1)]
        for number, key in enumerate(keys):
            await store.set_cache(key, b"%d" % number, 10)

        assert [b"%d" % number for number in range(len(keys))] == [await store.get_cache(key) for key in keys]

    async def test_cache_expired_means_gone(self, clock: Clock, store: RuntimeStore) -> None:
        """A response is there until its time to live is over, and gone exactly then; reading does not prolong it."""
        await store.set_cache("short", b"value", 1)
        await store.set_cache("long", b"value", 600)
        await self.advance(clock, 0.5)
        assert b"value" == await store.get_cache("short")
        await self.advance(clock, 0.5)

        assert [None, b"value"] == [await store.get_cache("short"), await store.get_cache("long")]

    async def test_cache_takes_the_last_value_and_its_ttl(self, clock: Clock, store: RuntimeStore) -> None:
        """Storing again replaces the value and starts a time to live of its own, longer or shorter."""
        await store.set_cache("longer", b"old", 1)
        await store.set_cache("longer", b"new", 5)
        await store.set_cache("shorter", b"old", 5)
        await store.set_cache("shorter", b"new", 1)
        await self.advance(clock, 2)

        assert [b"new", None] == [await store.get_cache("longer"), await store.get_cache("shorter")]

    async def test_cache_delete_forgets(self, clock: Clock, store: RuntimeStore) -> None:
        """A deleted value is not read again, a key without a value may be deleted, and a deleted key used again."""
        await store.set_cache("key", b"old", 600)
        await store.delete_cache("key")
        await store.delete_cache("nothing")
        assert b"old" != await store.get_cache("key")
        await self.advance(clock, 1)
        assert await store.get_cache("key") is None
        await store.set_cache("key", b"new", 600)

        assert b"new" == await store.get_cache("key")


class FullStoreContract(StoreContract):
    """What a store promises that overrides `apply`, `get_total` and `delete_cache`, as all of ours do."""

    async def test_atomic_batch_is_applied_once(self, store: RuntimeStore) -> None:
        """A batch sent again, or an earlier one, changes nothing; every writer has its own numbers."""
        for writer, sequence in (("a", 1), ("a", 1), ("a", 2), ("b", 1), ("a", 1), ("a", 2)):
            await store.apply(writer, sequence, [Increment(*_REQ, 1), Increment(*_LATENCY, 10)])

        assert (3, 3, 3) == await _read(store, *_REQ)

    async def test_total_never_expires(self, clock: Clock, store: RuntimeStore) -> None:
        """A total holds what left the longest window."""
        await store.increment_usage(*_REQ, 1)
        await store.increment_usage(*_LATENCY, 100)
        await self.advance(clock, 400 * _DAY)

        assert (0, 0, 1) == await _read(store, *_REQ)
        assert (0, 0, 100) == await _read(store, *_LATENCY)

    async def test_cache_delete_is_at_once(self, store: RuntimeStore) -> None:
        """A deleted value is gone in the next instant."""
        await store.set_cache("key", b"value", 600)
        await store.delete_cache("key")

        assert await store.get_cache("key") is None


class SharedStoreContract(StoreContract):
    """What a store promises whose data several processes use. Override `another` too."""

    async def another(self, clock: Clock) -> RuntimeStore:
        """A further store over the data of the one that was made, not opened yet."""
        raise NotImplementedError

    async def test_atomic_increments_are_not_lost_by_several_stores(self, clock: Clock, store: RuntimeStore) -> None:
        """Stores that write the same counter at the same time lose nothing, and read the same."""
        async with await self.another(clock) as other:
            await asyncio.gather(*(each.increment_usage(*_REQ, 1) for _ in range(50) for each in (store, other)))

            assert (100, 100, 100) == await _read(store, *_REQ)
            assert (100, 100, 100) == await _read(other, *_REQ)

    async def test_atomic_increments_outlive_the_store(self, clock: Clock) -> None:
        """What was acknowledged is there when the data is opened again."""
        async with await self.make(clock) as store:
            await store.increment_usage(*_REQ, 1)
            await store.set_cache("key", b"value", 600)
        async with await self.another(clock) as other:
            assert (1, 1, 1) == await _read(other, *_REQ)
            assert b"value" == await other.get_cache("key")

    async def test_cache_is_seen_by_other_stores(self, clock: Clock, store: RuntimeStore) -> None:
        """A response that one store keeps, replaces or deletes is so for the others."""
        async with await self.another(clock) as other:
            await store.set_cache("key", b"old", 600)
            assert b"old" == await other.get_cache("key")
            await other.set_cache("key", b"new", 600)
            assert b"new" == await store.get_cache("key")
            await other.delete_cache("key")

            assert b"new" != await store.get_cache("key")


class FailureContract(_OnAsyncio):
    """What a store promises that can be out of reach. Override `make_unreachable`."""

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        """A store, not opened yet, whose data cannot be reached, with `secret` as its password or token if it has one
        (in its address too, if it may be there).
        """
        raise NotImplementedError

    @pytest.mark.parametrize("call", _OPERATIONS.values(), ids=_OPERATIONS)
    async def test_failure_surfaces_as_store_error(self, call: _Call) -> None:
        """Every operation raises StoreError with its cause chained, and no secret in what a log would show."""
        store = await self.make_unreachable(SECRET)
        with pytest.raises(StoreError) as caught:
            async with store:
                await call(store)

        assert caught.value.__cause__ is not None
        assert SECRET not in "".join(traceback.format_exception(caught.value))


async def _read(store: RuntimeStore, provider: str, key_id: str, metric: str) -> tuple[float, float, float]:
    return (
        await store.get_usage(provider, key_id, metric),
        await store.get_usage_in_window(provider, key_id, metric, 60),
        await store.get_total(provider, key_id, metric),
    )
