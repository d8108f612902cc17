"""Cache looks into the first level, then into the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from coo_middleware.cache import Cache
from coo_middleware.core.entry import Entry, EntryError, pack_entry
from coo_middleware.core.sealing import Sealer
from coo_middleware.core.shape import Shape
from coo_middleware.stores.memory import MemoryStore

if TYPE_CHECKING:
    from coo_middleware.core.plan import Plan


class Elsewhere(MemoryStore):
    """A store in another process, as far as we know; it counts what is asked of it."""

    in_process = False

    def __init__(self, left: float = 10.0) -> None:
        super().__init__()
        self.left = left
        self.asked = 0

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        self.asked += 1
        value = await self.get_cache(key)
        return None if value is None else (value, self.left)


class Key:
    """As much of a plan as a look-up needs."""

    digest = b"d" * 32
    key = "1" + digest.hex()


PLAN = cast("Plan", Key())
ENTRY = Entry(PLAN.digest, 1.0, 10.0, "openai", "key1", "m", "openai.chat", Shape(stream=False), None, (), b"{}")


async def test_a_hot_hit_costs_no_round_trip() -> None:
    """What the store gave once, this process gives itself afterwards."""
    store = Elsewhere()
    cache = Cache(store, 1_000_000)
    entry = replace(ENTRY, generation=await cache.begin())
    await cache.store(PLAN.key, entry)

    assert [entry] * 3 == [await cache.look_up(PLAN) for _ in range(3)]
    assert 1 == store.asked


async def test_an_own_entry_is_there_at_once() -> None:
    """An entry that was kept is found before the store has it."""
    store = Elsewhere()
    cache = Cache(store, 1_000_000)
    entry = replace(ENTRY, generation=await cache.begin())
    cache.keep(entry)

    assert entry is await cache.look_up(PLAN)
    assert 0 == store.asked


@pytest.mark.parametrize(("local_max_bytes", "left"), [(0, 10.0), (1_000_000, 0.0)])
async def test_every_look_up_asks_the_store(local_max_bytes: int, left: float) -> None:
    """Without a first level, or with a store that cannot tell for how long it will have an entry, nothing is kept."""
    store = Elsewhere(left)
    cache = Cache(store, local_max_bytes)
    entry = replace(ENTRY, generation=await cache.begin())
    await Cache(store, 0).store(PLAN.key, entry)

    assert [entry, entry] == [await cache.look_up(PLAN) for _ in range(2)]
    assert (0 if not local_max_bytes else 2) == store.asked


async def test_a_store_in_the_process_needs_no_first_level() -> None:
    """A memory store is asked each time, and it alone says what there is."""
    cache = Cache(MemoryStore(), 1_000_000)
    cache.keep(replace(ENTRY, generation=await cache.begin()))

    assert await cache.look_up(PLAN) is None


@pytest.mark.parametrize("keys", [(), (bytes(range(32)),)])
async def test_a_response_in_memory_is_opened_once(keys: tuple[bytes, ...]) -> None:
    """A hot entry is the same object each time, encrypted at rest or not; one that was stored anew is the new one, and
    one that was deleted or purged is gone.
    """
    store = MemoryStore()
    cache, sealer = Cache(store, 1_000_000, Sealer(keys)), Sealer(keys)
    entry = replace(ENTRY, generation=await cache.begin())
    await cache.store(PLAN.key, entry)
    first, second = [await cache.look_up(PLAN) for _ in range(2)]
    assert entry == first
    assert first is second
    newer = replace(entry, content=b"newer")
    await cache.store(PLAN.key, newer)
    assert newer == await cache.look_up(PLAN)
    await store.delete_cache(sealer.name(PLAN.key))
    assert await cache.look_up(PLAN) is None
    await cache.store(PLAN.key, newer)
    assert newer == await cache.look_up(PLAN)
    await store.purge(["model:m"])

    assert await cache.look_up(PLAN) is None


async def test_what_is_not_there_or_is_no_entry() -> None:
    """A missing or deleted value is a miss, and a value that is no entry of this key an error."""
    store = Elsewhere()
    cache = Cache(store, 1_000_000)

    assert await cache.look_up(PLAN) is None
    await store.set_cache(PLAN.key, b"", 10)
    assert await cache.look_up(PLAN) is None
    await store.set_cache(PLAN.key, pack_entry(ENTRY)[:-1], 10)
    with pytest.raises(EntryError):
        await cache.look_up(PLAN)
