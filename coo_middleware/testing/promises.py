"""What a store may promise beyond StoreContract."""

# ruff: noqa: S101, SIM300 -- this module is tests
from __future__ import annotations

import asyncio
import traceback
from abc import ABC, abstractmethod

import pytest

from coo_middleware.stores import Increment, RuntimeStore, StoreError
from coo_middleware.testing.calls import (
    DAY,
    INVALID_CLAIMS,
    LATENCIES,
    LIMIT_OPERATIONS,
    OPERATIONS,
    REQ,
    SECRET,
    SERIES_OPERATIONS,
    Call,
    read,
)
from coo_middleware.testing.contract import NAMES, Clock, OnAsyncio, StoreContract
from coo_middleware.testing.limits import calls, choose, count, settle, tokens
from coo_middleware.testing.purges import FullPurgePromises
from coo_middleware.testing.series import SharedSeriesPromises


class FullStoreContract(FullPurgePromises, StoreContract):
    """What a store promises that overrides `apply`, `get_total`, `get_cache_with_ttl`, `delete_cache`, `claim` and
    `release`, as all of ours do.
    """

    async def test_atomic_batch_is_applied_once(self, store: RuntimeStore) -> None:
        """A batch sent again, or an earlier one, changes nothing; every writer has its own numbers."""
        for writer, sequence in (("a", 1), ("a", 1), ("a", 2), ("b", 1), ("a", 1), ("a", 2)):
            await store.apply(writer, sequence, [Increment(*REQ, 1), Increment(*LATENCIES, 10)])

        assert (3, 3, 3) == await read(store, *REQ)

    async def test_cache_tells_how_much_time_is_left(self, store: RuntimeStore) -> None:
        """A first level can keep a response for nearly as long as the store does."""
        await store.set_cache("key", b"value", 600)
        found = await store.get_cache_with_ttl("key")

        assert found is not None
        assert found[1] > 500

    async def test_window_takes_a_late_increment_at_its_time(self, store: RuntimeStore) -> None:
        """What a batch brings late counts in the windows and the total of its time, in the period while it lasts."""
        ages = {1: self.usage_ttl_seconds / 2, 2: self.usage_ttl_seconds + 62, 4: 8_000, 8: 34 * DAY}
        await store.apply("writer", 1, [Increment(*REQ, delta, age=age) for delta, age in ages.items()])

        assert (1, 1, 15) == await read(store, *REQ)
        assert [3, 7, 15] == [await store.get_usage_in_window(*REQ, window) for window in (7_000, DAY, 35 * DAY)]

    async def test_usage_counter_that_a_late_increment_began_lives_a_full_period(
        self, clock: Clock, store: RuntimeStore
    ) -> None:
        """A period runs from the moment in which the store took its first increment, whatever that one's age."""
        await store.apply("writer", 1, [Increment(*REQ, 1, age=self.usage_ttl_seconds / 2)])
        await self.advance(clock, self.usage_ttl_seconds * 3 / 4)
        assert 1 == await store.get_usage(*REQ)
        await self.advance(clock, self.usage_ttl_seconds / 4)

        assert 0 == await store.get_usage(*REQ)

    async def test_total_never_expires(self, clock: Clock, store: RuntimeStore) -> None:
        """A total holds what left the longest window."""
        await store.increment_usage(*REQ, 1)
        await store.increment_usage(*LATENCIES, 100)
        await self.advance(clock, 400 * DAY)

        assert (0, 0, 1) == await read(store, *REQ)
        assert (0, 0, 100) == await read(store, *LATENCIES)

    async def test_purges_never_expire(self, clock: Clock, store: RuntimeStore) -> None:
        """However long a response lives, its purge lives longer."""
        await store.purge(["tag:a"])
        purges = await store.get_purges(0)
        await self.advance(clock, 400 * DAY)

        assert purges == await store.get_purges(0)

    async def test_cache_delete_is_at_once(self, store: RuntimeStore) -> None:
        """A deleted value is gone in the next instant."""
        await store.set_cache("key", b"value", 600)
        await store.delete_cache("key")

        assert await store.get_cache("key") is None

    @pytest.mark.parametrize("call", INVALID_CLAIMS.values(), ids=INVALID_CLAIMS)
    async def test_invalid_claims_are_refused(self, store: RuntimeStore, call: Call) -> None:
        """What no store can keep faithfully raises ValueError, whatever the store."""
        with pytest.raises(ValueError):  # noqa: PT011 -- each store has its own words
            await call(store)

    async def test_claim_tells_who_leads(self, store: RuntimeStore) -> None:
        """While a lease runs, everybody else learns whose it is, and only its owner ends it."""
        assert ["a", "a"] == [await store.claim("key", owner, 600) for owner in "ab"]
        await store.release("key", "b")
        assert "a" == await store.claim("key", "c", 600)
        await store.release("key", "a")

        assert ["c", "c"] == [await store.claim("key", owner, 600) for owner in "ca"]

    async def test_claim_lapses(self, clock: Clock, store: RuntimeStore) -> None:
        """A lease ends by itself, at its time and not before; claimed again by its owner it begins anew."""
        await store.claim("key", "a", 10)
        await self.advance(clock, 5)
        assert "a" == await store.claim("key", "a", 10)
        await self.advance(clock, 9)
        assert "a" == await store.claim("key", "b", 10)
        await self.advance(clock, 1)

        assert ["b", "b"] == [await store.claim("key", owner, 10) for owner in "ba"]

    async def test_claims_are_apart(self, store: RuntimeStore) -> None:
        """Every key has a leader of its own, whatever characters it or the owner's name holds, and no response."""
        for key in NAMES:
            assert f"of {key}" == await store.claim(key, f"of {key}", 600)

        assert [f"of {key}" for key in NAMES] == [await store.claim(key, "another", 600) for key in NAMES]
        assert [None] * len(NAMES) == [await store.get_cache(key) for key in NAMES]

    async def test_claim_is_won_by_one(self, store: RuntimeStore) -> None:
        """Of many that claim at the same time one leads, and all know which."""
        owners = [f"owner-{number}" for number in range(20)]
        [leader] = {*await asyncio.gather(*(store.claim("key", owner, 600) for owner in owners))}

        assert leader in owners


class SharedStoreContract(SharedSeriesPromises, StoreContract):
    """What a store promises whose data several processes use. Override `another` too."""

    @abstractmethod
    async def another(self, clock: Clock) -> RuntimeStore:
        """A further store over the data of the one that was made, not opened yet."""

    async def test_atomic_increments_are_not_lost_by_several_stores(self, clock: Clock, store: RuntimeStore) -> None:
        """Stores that write the same counter at the same time lose nothing, and read the same."""
        async with await self.another(clock) as other:
            await asyncio.gather(*(each.increment_usage(*REQ, 1) for _ in range(50) for each in (store, other)))

            assert (100, 100, 100) == await read(store, *REQ)
            assert (100, 100, 100) == await read(other, *REQ)

    async def test_atomic_increments_outlive_the_store(self, clock: Clock) -> None:
        """What was acknowledged is there when the data is opened again."""
        async with await self.make(clock) as store:
            await store.increment_usage(*REQ, 1)
            await store.set_cache("key", b"value", 600)
        async with await self.another(clock) as other:
            assert (1, 1, 1) == await read(other, *REQ)
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

    async def test_limits_count_for_all_stores(self, clock: Clock, store: RuntimeStore) -> None:
        """Of many that reserve at the same time in several stores as many are let through as there is room for, and
        what one store reserved another one settles.
        """
        async with await self.another(clock) as other:
            takes = tokens(10), calls(40)
            found = await asyncio.gather(*(choose(each, takes) for _ in range(20) for each in (store, other)))
            assert 10 == found.count(0)
            await choose(store, (calls(1, "more"), tokens(50, "more tokens")), ticket="a")
            await settle(other, "a", calls(1, "more"), tokens(20, "more tokens"))

            assert [100, 10, 0, 20] == await count(store, *takes, calls(1, "more"), tokens(0, "more tokens"))


class LeaseContract(SharedStoreContract):
    """What a shared store promises that overrides `claim` and `release`."""

    async def test_claim_counts_for_all_stores(self, clock: Clock, store: RuntimeStore) -> None:
        """Of many that claim in several stores one leads, and what one store releases another one's caller claims."""
        async with await self.another(clock) as other:
            owners = [f"owner-{number}" for number in range(10)]
            claims = [each.claim("new", owner, 600) for owner in owners for each in (store, other)]
            [leader] = {*await asyncio.gather(*claims)}
            await other.release("new", leader)

            assert leader in owners
            assert "b" == await store.claim("new", "b", 600)


class LogContract(LeaseContract):
    """What a shared store promises that overrides `append_log` and `read_log` too."""

    async def test_log_is_read_as_it_was_written(self, clock: Clock, store: RuntimeStore) -> None:
        """Each reader gets all frames in their order, from its place on, and no other log's."""
        async with await self.another(clock) as other:
            await store.append_log("a", [b"1", b"", bytes(range(256))], keep=10, ttl_seconds=600)
            await store.append_log("b", [b"2"], keep=10, ttl_seconds=600)
            place, found = await other.read_log("a", "", 0) or ("", [])
            await store.append_log("a", [b"3"], keep=10, ttl_seconds=600)

            assert [b"1", b"", bytes(range(256))] == found
            assert [b"3"] == await frames(other, "a", place)
            assert [b"1", b"", bytes(range(256)), b"3"] == await frames(other, "a", "")

    async def test_log_reader_waits_for_more(self, clock: Clock, store: RuntimeStore) -> None:
        """A reader at the end may be kept waiting, and gets what comes; where nothing comes its place stays."""
        async with await self.another(clock) as other:
            assert ("", []) == await other.read_log("a", "", 0.01)
            reading = asyncio.create_task(other.read_log("a", "", 20))
            await asyncio.sleep(0.05)
            await store.append_log("a", [b"1"], keep=10, ttl_seconds=600)
            found = await reading or ("", [])

            assert [b"1"] == (found[1] or await frames(other, "a", found[0]))

    async def test_log_keeps_its_end_for_its_time(self, clock: Clock, store: RuntimeStore) -> None:
        """Of a log that grows the last frames stay, and nothing of one that nobody wrote to for its time to live."""
        for number in range(5):
            await store.append_log("a", [b"%d" % number], keep=3, ttl_seconds=10)
        assert [b"2", b"3", b"4"] == await frames(store, "a", "")
        await self.advance(clock, 6)
        await store.append_log("a", [], keep=3, ttl_seconds=10)
        await self.advance(clock, 6)
        assert [b"2", b"3", b"4"] == await frames(store, "a", "")
        await self.advance(clock, 5)

        assert [] == await frames(store, "a", "")

    async def test_purges_are_seen_by_other_stores(self, clock: Clock, store: RuntimeStore) -> None:
        """A purge by one store is news for the others."""
        async with await self.another(clock) as other:
            before = await other.get_purges(0)
            generation = await store.purge(["tag:a"])

            assert {"tag:a": generation} == (await other.get_purges(before.generation)).labels


class FailureContract(OnAsyncio, ABC):
    """What a store promises that can be out of reach. Override `make_unreachable`."""

    @abstractmethod
    async def make_unreachable(self, secret: str) -> RuntimeStore:
        """A store, not opened yet, whose data cannot be reached, with `secret` as its password or token if it has one
        (in its address too, if it may be there).
        """

    @pytest.mark.parametrize("call", OPERATIONS.values(), ids=OPERATIONS)
    async def test_failure_surfaces_as_store_error(self, call: Call) -> None:
        """Every operation raises StoreError with its cause chained, and no secret in what a log would show."""
        await self._fail(call)

    @pytest.mark.parametrize("call", LIMIT_OPERATIONS.values(), ids=LIMIT_OPERATIONS)
    async def test_failure_of_limits_surfaces_as_store_error(self, call: Call) -> None:
        """So do those of limits, where the store keeps any."""
        if type(await self.make_unreachable(SECRET)).reserve is RuntimeStore.reserve:
            pytest.skip("this store keeps no limits")
        await self._fail(call)

    @pytest.mark.parametrize("name", SERIES_OPERATIONS)
    async def test_failure_of_series_surfaces_as_store_error(self, name: str) -> None:
        """So do lists of counters and their buckets, where the store has them."""
        if getattr(type(await self.make_unreachable(SECRET)), name) is getattr(RuntimeStore, name):
            pytest.skip("this store cannot do this")
        await self._fail(SERIES_OPERATIONS[name])

    async def _fail(self, call: Call) -> None:
        store = await self.make_unreachable(SECRET)
        with pytest.raises(StoreError) as caught:
            async with store:
                await call(store)

        assert caught.value.__cause__ is not None
        assert SECRET not in "".join(traceback.format_exception(caught.value))


async def frames(store: RuntimeStore, log: str, place: str) -> list[bytes]:
    """What a log has behind a place."""
    found = await store.read_log(log, place, 0)
    return [] if found is None else found[1]
