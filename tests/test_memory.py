"""stores/memory.py: bounds, and what the contract cannot see. The contract itself runs in test_stores.py."""

import gc
import tracemalloc
from itertools import count, product

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from coo_middleware.core.limits import Take
from coo_middleware.stores import LATENCY, Increment, RuntimeStore, StoreSettings
from coo_middleware.stores.memory import ENTRY_BYTES, MemoryStore
from coo_middleware.testing import Clock
from tests.store_machine import TTL, StoreMachine

KIB = bytes(1024)


class MemoryMachine(StoreMachine):
    """The model against memory."""

    async def make(self, clock: Clock) -> RuntimeStore:
        return MemoryStore(usage_ttl_seconds=TTL, clock=clock)


def test_memory_agrees_with_a_model() -> None:
    """After any calls in any order, with time passing between them, the store reads what a plain log would."""
    run_state_machine_as_test(MemoryMachine, settings=settings(max_examples=100, stateful_step_count=30))


async def keys_left(store: MemoryStore, keys: str) -> str:
    """Which of `keys` still have a response."""
    return "".join([key for key in keys if await store.get_cache(key) is not None])


async def test_settings_reach_the_store() -> None:
    """The store's limits are those of `storage.runtime`."""
    store = MemoryStore.from_settings(StoreSettings(usage_ttl_seconds=5, max_bytes=70_000, max_entries=2))
    for key, length in (("a", 10), ("b", 10), ("c", 10), ("d", 70_000)):
        await store.set_cache(key, bytes(length), 10)

    assert (5, "bc") == (store._usage_ttl, await keys_left(store, "abcd"))


async def test_least_recently_used_response_leaves_beyond_max_entries() -> None:
    """Of more responses than `max_entries` those stay that were read or stored last."""
    store = MemoryStore(max_entries=3)
    for key in "abc":
        await store.set_cache(key, b"value", 10)
    await store.get_cache("a")
    await store.set_cache("b", b"again", 10)
    await store.set_cache("d", b"value", 10)

    assert "abd" == await keys_left(store, "abcd")


async def test_least_recently_used_response_leaves_beyond_max_bytes() -> None:
    """What responses take, their keys and the bookkeeping included, stays within `max_bytes`."""
    store = MemoryStore(max_bytes=5000)
    for key in "abc":
        await store.set_cache(key, KIB, 10)
    await store.get_cache("a")
    await store.set_cache("d", KIB, 10)
    assert "acd" == await keys_left(store, "abcd")

    await store.set_cache("k" * 1500, b"", 10)
    assert "cd" == await keys_left(store, "abcd")


async def test_response_larger_than_max_bytes_is_not_stored() -> None:
    """It replaces its own predecessor, which would be out of date, and pushes nobody else out."""
    store = MemoryStore(max_bytes=5000)
    await store.set_cache("a", b"old", 10)
    await store.set_cache("b", b"value", 10)
    await store.set_cache("a", bytes(5000), 10)
    await store.set_cache("c", bytes(5000), 10)

    assert "b" == await keys_left(store, "abc")


async def test_expired_responses_make_room_first() -> None:
    """A response that expired takes no room from a fresh one, however recently it was used."""
    clock = Clock()
    store = MemoryStore(max_entries=2, clock=clock)
    await store.set_cache("fresh", b"value", 10)
    await store.set_cache("brief", b"value", 1)
    clock.advance(1)
    await store.set_cache("new", b"value", 10)

    assert [b"value", b"value"] == [await store.get_cache("fresh"), await store.get_cache("new")]


async def test_time_that_passes_within_an_operation_does_no_harm() -> None:
    """A response that expires between any two looks at the clock never makes an operation fail."""
    looks = count()
    store = MemoryStore(max_entries=1, clock=lambda: next(looks) / 2)
    for first, second in product((0.1, 0.6, 1.1, 1.6, 2.1), repeat=2):
        await store.set_cache("a", b"value", first)
        await store.set_cache("b", b"value", second)
        assert await store.get_cache("a") is None
        assert await store.get_cache("b") in (None, b"value")
        await store.delete_cache("b")


async def test_least_recently_written_counter_leaves_beyond_max_counters() -> None:
    """A flood of made-up names costs neither memory nor the counters that are in use."""
    store = MemoryStore(max_counters=2)
    await store.increment_usage("p", "busy", "req", 1)
    for number in range(100):
        await store.increment_usage("p", f"made-up-{number}", "req", 1)
        await store.increment_usage("p", "busy", "req", 1)

    assert 101 == await store.get_total("p", "busy", "req")
    assert 0 == await store.get_total("p", "made-up-98", "req")
    assert 2 == len(store._counters)


async def test_counter_that_left_is_not_listed() -> None:
    """The list has what the store has, in the order of its making, and a counter that comes back is a new one."""
    store = MemoryStore(max_counters=2)
    for key_id in "abac":
        await store.increment_usage("p", key_id, "req", 1)
    assert ["a", "c"] == [each.key_id for each in (await store.list_totals()).totals]
    await store.increment_usage("p", "b", "req", 1)

    assert [("c", 1), ("b", 1)] == [(each.key_id, each.value) for each in (await store.list_totals()).totals]
    assert 2 == len(store._numbers)


@pytest.mark.parametrize("cursor", ["a", "-1", "1.5", "٣", "1" * 19, "1\n"])
async def test_cursor_of_no_page_is_refused(cursor: str) -> None:
    """It is a number of ours, or nothing."""
    with pytest.raises(ValueError, match="cursor: must be empty, or the one of the page before"):
        await MemoryStore().list_totals(cursor)


async def test_reading_makes_no_counter() -> None:
    """Questions about unknown names leave nothing behind."""
    store = MemoryStore()
    await store.read_points([("p", "k", "req")], 60)
    await store.get_usage("p", "k", "req")
    await store.get_usage_in_window("p", "k", LATENCY, 60)
    await store.get_total("p", "k", "req")

    assert 0 == len(store._counters)


async def test_limits_that_count_nothing_leave() -> None:
    """A flood of made-up names costs memory for as long as their windows last."""
    clock = Clock()
    store = MemoryStore(clock=clock)
    for number in range(500):
        await store.reserve(f"{number}", [(Take(f"made up {number}", 1, 1, 1),)], 1)
        clock.advance(0.1)

    assert len(store._ledger.tallies) <= 50


async def test_writers_remembered_are_bounded() -> None:
    """Of more than 1,024 writers, the one that has been silent for longest is forgotten."""
    store = MemoryStore()
    for writer in ("steady", *(f"writer-{number}" for number in range(1000))):
        await store.apply(writer, 1, [])
    await store.apply("steady", 2, [])
    for number in range(1000, 1024):
        await store.apply(f"writer-{number}", 1, [])
    batch = [Increment("p", "k", "req", 1)]
    await store.apply("steady", 2, batch)
    await store.apply("writer-1", 1, batch)
    assert 0 == await store.get_total("p", "k", "req")

    await store.apply("writer-0", 1, batch)
    assert 1 == await store.get_total("p", "k", "req")
    assert 1024 == len(store._applied)


@pytest.mark.parametrize("value", [b"", bytes(2009)], ids=["empty", "2 KB"])
async def test_entry_bytes_covers_what_a_response_takes(value: bytes) -> None:
    """`max_bytes` is honest: what is counted for a response is no less than what it takes."""
    store = MemoryStore()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2000):
            await store.set_cache(f"{number:064x}", value[:-1] + b"x", 10)
        taken = (tracemalloc.get_traced_memory()[0] - before) / 2000
    finally:
        tracemalloc.stop()
    assert taken <= ENTRY_BYTES + 64 + 64 + 48 + len(value) + 16
