"""StoreContract: what every store promises, named after the promises."""

# ruff: noqa: S101, SIM300 -- this module is tests
from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

from coo_middleware.stores import MAX_KEY_BYTES, Increment, RuntimeStore
from coo_middleware.testing.calls import DAY, INVALID, LATENCIES, REQ, Call, read
from coo_middleware.testing.limits import LimitPromises
from coo_middleware.testing.purges import PurgePromises
from coo_middleware.testing.series import SeriesPromises

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_BINARY: Final = bytes(range(256)) * 4096
NAMES: Final = ("a", "a:b", "b:a", "a%3Ab", "a/b", "..", "*", "ключ", "a b\r\n\x00", "")


class Clock:
    """Wall-clock seconds that stand still until `advance`."""

    def __init__(self, now: float = 1_700_000_000.25) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass."""
        self.now += seconds


class OnAsyncio:
    """Runs a contract's tests on asyncio, whatever else is installed."""

    pytestmark: ClassVar = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"


class StoreContract(PurgePromises, LimitPromises, SeriesPromises, OnAsyncio, ABC):
    """What every store promises. Override `make`, and `advance` where the clock is not enough."""

    usage_ttl_seconds: ClassVar[float] = 60.0

    @abstractmethod
    async def make(self, clock: Clock) -> RuntimeStore:
        """A new store without any data, not opened yet, whose usage counters live `usage_ttl_seconds`."""

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

    @pytest.mark.parametrize("call", INVALID.values(), ids=INVALID)
    async def test_invalid_arguments_are_refused(self, store: RuntimeStore, call: Call) -> None:
        """What no store can keep faithfully raises ValueError, whatever the store."""
        with pytest.raises(ValueError):  # noqa: PT011 -- each store has its own words
            await call(store)

    async def test_usage_counter_reads_0_before_its_first_increment(self, store: RuntimeStore) -> None:
        """A counter, its windows and its total are 0 when there is nothing."""
        assert (0, 0, 0) == await read(store, *REQ)

    async def test_usage_counter_adds_up(self, store: RuntimeStore) -> None:
        """A counter, its window and its total are the sum of what was added, fractions and corrections included."""
        for delta in (1, 2.5, -0.75, 0):
            await store.increment_usage(*REQ, delta)

        assert (2.75, 2.75, 2.75) == await read(store, *REQ)

    async def test_usage_counter_lives_from_its_first_increment(self, clock: Clock, store: RuntimeStore) -> None:
        """A later increment does not prolong the period; exactly at its end the counter reads 0."""
        await store.increment_usage(*REQ, 1)
        await self.advance(clock, self.usage_ttl_seconds / 2)
        await store.increment_usage(*REQ, 2)
        assert 3 == await store.get_usage(*REQ)
        await self.advance(clock, self.usage_ttl_seconds / 2)

        assert 0 == await store.get_usage(*REQ)

    async def test_usage_counter_starts_a_new_period_after_its_end(self, clock: Clock, store: RuntimeStore) -> None:
        """An increment after the end counts alone, for a full period."""
        await store.increment_usage(*REQ, 1)
        await self.advance(clock, self.usage_ttl_seconds * 1.5)
        await store.increment_usage(*REQ, 2)
        await self.advance(clock, self.usage_ttl_seconds / 2)

        assert 2 == await store.get_usage(*REQ)

    async def test_usage_counter_set_starts_its_period_anew(self, clock: Clock, store: RuntimeStore) -> None:
        """A value that was set lives a full period, takes increments, and then reads 0."""
        await store.increment_usage(*REQ, 1)
        await self.advance(clock, self.usage_ttl_seconds / 2)
        await store.set_usage(*REQ, 45)
        await store.increment_usage(*REQ, 5)
        await self.advance(clock, self.usage_ttl_seconds / 2)
        assert 50 == await store.get_usage(*REQ)
        await self.advance(clock, self.usage_ttl_seconds / 2)

        assert 0 == await store.get_usage(*REQ)

    async def test_usage_counter_set_leaves_window_and_total(self, store: RuntimeStore) -> None:
        """What is set is no traffic."""
        await store.increment_usage(*REQ, 1)
        await store.set_usage(*REQ, 45)

        assert (45, 1, 1) == await read(store, *REQ)

    async def test_usage_counters_are_apart(self, store: RuntimeStore) -> None:
        """Every three names are a counter of their own, whatever characters they hold."""
        counters = [*product(NAMES, NAMES[:3], NAMES[:3])]
        for number, counter in enumerate(counters, 1):
            await store.increment_usage(*counter, number)

        assert [*range(1, len(counters) + 1)] == [await store.get_usage(*counter) for counter in counters]

    @pytest.mark.parametrize("window", [1, 2, 60, 120, 121, 3_600, 7_200, 7_201, DAY, 35 * DAY])
    async def test_window_holds_the_last_seconds(self, clock: Clock, store: RuntimeStore, window: int) -> None:
        """An increment counts for the whole window, and no longer than one bucket more."""
        bucket = 1 if window <= 120 else 60 if window <= 7_200 else 3_600
        await store.increment_usage(*REQ, 3)
        await self.advance(clock, window - 1)
        assert 3 == await store.get_usage_in_window(*REQ, window)
        await self.advance(clock, bucket + 2)

        assert 0 == await store.get_usage_in_window(*REQ, window)

    async def test_window_leaves_out_what_is_older(self, clock: Clock, store: RuntimeStore) -> None:
        """Each window sums its own last seconds, long after the counter's period."""
        for delta in (1, 2, 4):
            await store.increment_usage(*REQ, delta)
            await self.advance(clock, 50)

        assert [0, 4, 6, 7] == [await store.get_usage_in_window(*REQ, window) for window in (45, 55, 110, 7_000)]

    async def test_total_outlives_every_period(self, clock: Clock, store: RuntimeStore) -> None:
        """A total holds what no shorter window holds any more."""
        await store.increment_usage(*REQ, 1)
        await self.advance(clock, 34 * DAY)
        await store.increment_usage(*REQ, 2)

        assert (2, 2, 3) == await read(store, *REQ)

    async def test_latency_is_a_mean(self, store: RuntimeStore) -> None:
        """Each increment of `latency` is one sample, and what is read is the mean."""
        for sample in (100, 200, 600):
            await store.increment_usage(*LATENCIES, sample)

        assert pytest.approx((300, 300, 300)) == await read(store, *LATENCIES)

    async def test_latency_is_a_mean_of_the_window(self, clock: Clock, store: RuntimeStore) -> None:
        """Samples that left the period or the window leave the mean."""
        await store.increment_usage(*LATENCIES, 100)
        await self.advance(clock, self.usage_ttl_seconds + 62)
        await store.increment_usage(*LATENCIES, 300)

        assert pytest.approx((300, 300, 200)) == await read(store, *LATENCIES)

    async def test_latency_set_is_one_sample(self, store: RuntimeStore) -> None:
        """A latency that was set weighs as much as one increment."""
        await store.set_usage(*LATENCIES, 100)
        await store.increment_usage(*LATENCIES, 300)

        assert pytest.approx(200) == await store.get_usage(*LATENCIES)

    async def test_atomic_increments_are_not_lost_by_concurrency(self, store: RuntimeStore) -> None:
        """As many increments as were made at the same time are counted."""
        await asyncio.gather(*(store.increment_usage(*REQ, 1) for _ in range(100)))

        assert (100, 100, 100) == await read(store, *REQ)

    async def test_atomic_batch_counts_every_increment(self, store: RuntimeStore) -> None:
        """A batch adds the sum of its samples to each counter; a mean knows how many they were."""
        await store.apply(
            "writer", 1, [Increment(*REQ, 2, samples=2), Increment(*LATENCIES, 900, samples=3), Increment(*REQ, 1)]
        )
        await store.increment_usage(*LATENCIES, 700)

        assert (3, 3, 3) == await read(store, *REQ)
        assert pytest.approx((400, 400, 400)) == await read(store, *LATENCIES)

    async def test_atomic_batch_is_refused_as_a_whole(self, store: RuntimeStore) -> None:
        """Nothing of a batch with an invalid increment is counted, and its number stays free."""
        with pytest.raises(ValueError):  # noqa: PT011 -- each store has its own words
            await store.apply("writer", 1, [Increment(*REQ, 1), Increment(*REQ, float("nan"))])
        await store.apply("writer", 1, [Increment(*REQ, 2)])

        assert (2, 2, 2) == await read(store, *REQ)

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
        keys = [*NAMES, "k" * MAX_KEY_BYTES, "é" * (MAX_KEY_BYTES // 2), "k" * (MAX_KEY_BYTES - 1)]
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

    async def test_cache_tells_no_more_time_than_is_left(self, clock: Clock, store: RuntimeStore) -> None:
        """What a first level is told about a response is never more than its time to live."""
        await store.set_cache("key", b"value", 600)
        await self.advance(clock, 100)
        found = await store.get_cache_with_ttl("key")

        assert found is not None
        assert b"value" == found[0]
        assert 0 <= found[1] <= 500.5
        assert await store.get_cache_with_ttl("nothing") is None

    async def test_cache_takes_the_last_value_and_its_ttl(self, clock: Clock, store: RuntimeStore) -> None:
        """Storing again replaces the value and starts a time to live of its own, longer or shorter."""
        await store.set_cache("longer", b"old", 1)
        await store.set_cache("longer", b"new", 5)
        await store.set_cache("shorter", b"old", 5)
        await store.set_cache("shorter", b"new", 1)
        await self.advance(clock, 2)

        assert [b"new", None] == [await store.get_cache("longer"), await store.get_cache("shorter")]

    async def test_claim_is_granted_to_whoever_has_it(self, store: RuntimeStore) -> None:
        """Work that nobody leads is whose claims it, as often as it is claimed; what is not held may be released."""
        await store.release("key", "a")
        claimed = [await store.claim("key", "a", 10) for _ in range(3)]
        await store.release("key", "a")

        assert ["a", "a", "a", "b"] == [*claimed, await store.claim("key", "b", 10)]

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
