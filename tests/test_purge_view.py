"""purge_view.py: how old a process's knowledge of purges may be, and what it costs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.entry import Entry
from coo_middleware.core.sealing import Sealer
from coo_middleware.core.shape import Shape
from coo_middleware.purge_view import LONGEST_SECONDS, PurgeView
from coo_middleware.stores import StoreAwayError, StoreError
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import Clock

if TYPE_CHECKING:
    from coo_middleware.core.labels import Purges


class Elsewhere(MemoryStore):
    """A store in another process, as far as we know: counts how often it is asked, and answers when it may."""

    in_process = False

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.fault: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def get_purges(self, since: int) -> Purges:
        self.asked += 1
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        return await super().get_purges(since)


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def store() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def view(store: Elsewhere, clock: Clock) -> PurgeView:
    return PurgeView(store, Sealer().names, clock)


def make_entry(generation: int) -> Entry:
    named = ("openai", "key1", "m", "openai.chat", Shape(stream=False), None, (), b"{}", 0.0, 0.0)
    return Entry(b"d" * 32, 1.0, 10.0, *named, generation, "", "c", ("a",))


async def settle() -> None:
    """Lets tasks that were started run as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_store_in_the_process_is_asked_each_time(clock: Clock) -> None:
    """A purge there counts with the next look-up."""
    store = MemoryStore()
    view = PurgeView(store, Sealer().names, clock)
    for _ in range(2):
        generation = await store.purge(["tag:a"])
        await view.refresh()
        assert generation == view.purges.generation


class Counting(MemoryStore):
    """A store in this process that reads its purges in a way of its own."""

    asked = 0

    async def get_purges(self, since: int) -> Purges:
        self.asked += 1
        return await super().get_purges(since)


async def test_what_memory_knows_is_read_plainly(clock: Clock) -> None:
    """Nothing is awaited where the purges are at hand; a store that has them otherwise is asked."""
    store, counting = MemoryStore(), Counting()
    view, other = PurgeView(store, Sealer().names, clock), PurgeView(counting, Sealer().names, clock)
    generation = await store.purge(["tag:a"])

    assert (True, False) == (view.is_recent(), other.is_recent())
    assert generation == view.purges.generation
    await other.refresh()
    assert (1, False) == (counting.asked, other.purges.generation == 0)


async def test_a_store_elsewhere_is_asked_now_and_then(view: PurgeView, store: Elsewhere, clock: Clock) -> None:
    """However many requests come, it is asked twice a second."""
    for _ in range(1000):
        await view.refresh()
        await settle()
        clock.advance(0.01)

    assert 20 == store.asked


async def test_nobody_waits_under_traffic(view: PurgeView, store: Elsewhere, clock: Clock) -> None:
    """While a copy is not too old, requests go on with it, and the next one is fetched beside them."""
    await view.refresh()
    store.may_answer.clear()
    clock.advance(LONGEST_SECONDS * 0.9)
    generation = await store.purge(["tag:a"])
    await view.refresh()
    assert generation != view.purges.generation
    store.may_answer.set()
    await settle()

    assert generation == view.purges.generation


async def test_after_a_pause_the_store_is_asked_first(view: PurgeView, store: Elsewhere, clock: Clock) -> None:
    """A process that slept does not answer from what it knew: all requests wait for one question."""
    await view.refresh()
    generation = await store.purge(["tag:a"])
    clock.advance(LONGEST_SECONDS)
    await asyncio.gather(*(view.refresh() for _ in range(10)))

    assert (generation, 2) == (view.purges.generation, store.asked)


async def test_a_copy_is_as_old_as_the_question(view: PurgeView, store: Elsewhere, clock: Clock) -> None:
    """An answer that was long under way tells how things were when it was asked for."""
    store.may_answer.clear()
    waiting = asyncio.create_task(view.refresh())
    await settle()
    clock.advance(LONGEST_SECONDS)
    store.may_answer.set()
    await waiting
    await view.refresh()

    assert 2 == store.asked


async def test_a_store_that_fails_makes_nothing_unusable(
    view: PurgeView, store: Elsewhere, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """What is known goes on to count, the fault is told once, and the purge counts when the store is back."""
    await view.refresh()
    entry = make_entry(view.purges.generation)
    await store.purge(["tag:a"])
    store.fault = StoreError("gone")
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            clock.advance(LONGEST_SECONDS)
            await view.refresh()
    assert await view.allows(entry)
    assert ["purges cannot be read, and count when they can be: StoreError"] == caplog.messages
    store.fault = None
    clock.advance(LONGEST_SECONDS)
    await view.refresh()

    assert not await view.allows(entry)


async def test_a_store_out_of_reach_is_in_the_log_already(
    view: PurgeView, store: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    """The guard told of it."""
    store.fault = StoreAwayError("away")
    await view.refresh()

    assert [] == caplog.messages


async def test_a_request_that_is_cancelled_leaves_the_others_waiting(view: PurgeView, store: Elsewhere) -> None:
    """The question is nobody's own."""
    store.may_answer.clear()
    first, second = (asyncio.create_task(view.refresh()) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    store.may_answer.set()
    await second

    assert (1, False) == (store.asked, view.purges.generation == 0)


async def test_an_entry_from_beyond_what_is_known_is_asked_for(view: PurgeView, store: Elsewhere) -> None:
    """A process that knows more has stored it: so the store is asked, and then it may be reused. One from beyond what
    the store itself knows may not.
    """
    await view.refresh()
    ahead = make_entry(await store.purge(["tag:b"]))

    assert [True, False] == [await view.allows(each) for each in (ahead, make_entry(ahead.generation + 1))]
    assert 3 == store.asked
