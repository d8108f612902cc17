"""Settlements reach the store once each, whatever it does meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coo_middleware import settlements as module
from coo_middleware.core.limits import Settlement, Take
from coo_middleware.settlements import Settlements
from coo_middleware.stores import StoreError
from coo_middleware.testing import Clock
from tests.remote import Remote, make_recorder, used

if TYPE_CHECKING:
    import pytest

TAKE = Take("tokens", 1000.0, 60.0, 100.0)


def settle(ticket: str, amount: float = 10.0) -> Settlement:
    return Settlement(ticket, (Take("tokens", 1000.0, 60.0, amount),))


async def reserve(store: Remote, *tickets: str) -> None:
    for ticket in tickets:
        await store.reserve(ticket, ((TAKE,),), 30.0)


async def until_settled(store: Remote, count: int) -> None:
    async with asyncio.timeout(10):
        while len(store.settled) < count:  # noqa: ASYNC110 -- the store offers no event to wait for
            await asyncio.sleep(0.001)


async def test_a_settlement_leaves_by_itself() -> None:
    """Nobody has to ask: what is added is sent in the next turn of the loop."""
    store = Remote(Clock())
    settlements = Settlements(store, make_recorder(store))
    await reserve(store, "a")
    settlements.add(settle("a"))
    await until_settled(store, 1)

    assert [10.0] == await used(store, TAKE)


async def test_what_gathers_meanwhile_leaves_together() -> None:
    """While one batch is under way others gather, and go in one batch behind it."""
    store = Remote(Clock())
    settlements = Settlements(store, make_recorder(store))
    store.gate = asyncio.Event()
    settlements.add(settle("a"))
    first = asyncio.create_task(settlements.send())
    await asyncio.sleep(0)
    for ticket in "bcd":
        settlements.add(settle(ticket))
    store.gate.set()
    await first

    assert [1, 3] == store.batches
    assert set() == settlements.names()


async def test_a_lost_reply_settles_once() -> None:
    """A batch whose fate is unknown is sent again, and counts once."""
    store = Remote(Clock())
    recorder = make_recorder(store)
    settlements = Settlements(store, recorder)
    await reserve(store, "a")
    settlements.add(settle("a"))
    store.loses_replies = True
    lost = await settlements.send()
    store.loses_replies = False
    sent = await settlements.send()

    assert (False, True) == (lost, sent)
    assert ["a", "a"] == [each.ticket for each in store.settled]
    assert [10.0] == await used(store, TAKE)
    assert {"store_errors": 1} == recorder.counts


async def test_an_outage_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be sent is sent when the store is back, without anybody asking."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)
    store = Remote(Clock())
    settlements = Settlements(store, make_recorder(store))
    await reserve(store, "a")
    store.fault = StoreError("away")
    settlements.add(settle("a"))
    await settlements.send()
    store.fault = None
    await until_settled(store, 1)

    assert [10.0] == await used(store, TAKE)


async def test_an_outage_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest settlement is dropped, and counted; the newest are sent."""
    monkeypatch.setattr(module, "_MOST_UNSENT", 3)
    store = Remote(Clock())
    recorder = make_recorder(store)
    settlements = Settlements(store, recorder)
    for ticket in "abcde":
        settlements.add(settle(ticket))
    await settlements.send()

    assert ["c", "d", "e"] == [each.ticket for each in store.settled]
    assert 2 == recorder.counts["settlements_dropped"]


async def test_a_batch_is_bounded() -> None:
    """Many settlements leave in several batches, none of which is too much for one deadline."""
    store = Remote(Clock())
    settlements = Settlements(store, make_recorder(store))
    for number in range(600):
        settlements.add(settle(f"{number}"))
    await settlements.send()

    assert [256, 256, 88] == store.batches


async def test_what_no_store_takes_holds_nothing_up() -> None:
    """A batch that the store refuses as invalid is reported and not sent again."""
    store = Remote(Clock())
    recorder = make_recorder(store)
    settlements = Settlements(store, recorder)
    store.fault = ValueError("never")
    settlements.add(settle("a"))
    dropped = await settlements.send()
    store.fault = None
    settlements.add(settle("b"))
    await settlements.send()

    assert dropped
    assert ["b"] == [each.ticket for each in store.settled]
    assert {"store_errors": 1} == recorder.counts


async def test_a_batch_that_is_cancelled_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives up waiting loses nothing: the batch goes again."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)
    store = Remote(Clock())
    settlements = Settlements(store, make_recorder(store))
    await reserve(store, "a")
    settlements.add(settle("a"))
    sending = asyncio.create_task(settlements.send())
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await until_settled(store, 1)

    assert [10.0] == await used(store, TAKE)


def test_a_loop_that_stops_in_mid_batch_holds_nothing_up() -> None:
    """What a loop had under way when it ended, the next one sends."""
    store = Remote(Clock())
    settlements = Settlements(store, make_recorder(store))

    async def hang() -> None:
        store.gate = asyncio.Event()
        settlements.add(settle("a"))
        task = asyncio.ensure_future(settlements.send())
        await asyncio.sleep(0)
        assert not task.done()

    async def send() -> bool:
        store.gate = None
        settlements.add(settle("b"))
        return await settlements.send()

    asyncio.run(hang())
    sent = asyncio.run(send())

    assert sent
    assert ["a", "b"] == [each.ticket for each in store.settled]


async def test_what_is_stopped_stays_silent() -> None:
    """After `stop` nothing is tried until something is added."""
    store = Remote(Clock())
    settlements = Settlements(store, make_recorder(store))
    store.fault = StoreError("away")
    settlements.add(settle("a"))
    await settlements.send()
    settlements.stop()
    before = len(store.calls)
    await asyncio.sleep(0.001)

    assert before == len(store.calls)
    assert settlements._timer._handle is None
