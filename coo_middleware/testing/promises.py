"""What a store may promise beyond StoreContract."""

# ruff: noqa: S101, SIM300 -- this module is tests
from __future__ import annotations

import asyncio
import traceback
from abc import ABC, abstractmethod

import pytest

from coo_middleware.stores import Increment, RuntimeStore, StoreError
from coo_middleware.testing.calls import DAY, LATENCIES, OPERATIONS, REQ, SECRET, Call, read
from coo_middleware.testing.contract import Clock, OnAsyncio, StoreContract


class FullStoreContract(StoreContract):
    """What a store promises that overrides `apply`, `get_total`, `get_cache_with_ttl` and `delete_cache`, as all of
    ours do.
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

    async def test_cache_delete_is_at_once(self, store: RuntimeStore) -> None:
        """A deleted value is gone in the next instant."""
        await store.set_cache("key", b"value", 600)
        await store.delete_cache("key")

        assert await store.get_cache("key") is None


class SharedStoreContract(StoreContract):
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
        store = await self.make_unreachable(SECRET)
        with pytest.raises(StoreError) as caught:
            async with store:
                await call(store)

        assert caught.value.__cause__ is not None
        assert SECRET not in "".join(traceback.format_exception(caught.value))
