"""Reservations are settled once and held by nobody who is gone, whether the store answers or not."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.limits import Take
from coo_middleware.core.quotas import LimitsPolicy
from coo_middleware.reservations import Reservation, Reservations
from coo_middleware.stores import StoreAwayError, StoreBusyError, StoreError
from coo_middleware.stores.guard import Guard
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.stores.sqlite import SqliteStore
from coo_middleware.testing import Clock
from tests.remote import Remote, make_recorder, used

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coo_middleware.core.limits import Admission, Takes
    from coo_middleware.stores import RuntimeStore

LEASE = 30.0
REQUESTS = Take("requests", 4.0, 60.0, 1.0)
TOKENS = Take("tokens", 100.0, 60.0, 40.0)
CALLS = Take("calls", 1.0, 0.0, 1.0)
BOTH = (REQUESTS, TOKENS)


class Limitless(MemoryStore):
    """A store that keeps no limits, as one that somebody else wrote."""

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        admission: Admission | None = None
        return admission  # type: ignore[return-value]


def make(store: RuntimeStore, clock: Clock, **settings: object) -> Reservations:
    policy = replace(LimitsPolicy(lease_seconds=LEASE), **settings)  # type: ignore[arg-type]
    return Reservations(store, policy, make_recorder(store), clock=clock)


def amounts(takes: Takes, *amounts: float) -> Takes:
    return tuple(replace(take, amount=amount) for take, amount in zip(takes, amounts, strict=True))


async def test_the_truth_takes_the_place_of_what_was_reserved() -> None:
    """Until it is settled a reservation counts with what it took, after that with what was used."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    reservation = await reservations.reserve((BOTH,))
    before = await used(store, *BOTH)
    reservations.settle(reservation, amounts(BOTH, 1.0, 25.0))
    await reservations.drain()

    assert reservation.is_admitted
    assert [1.0, 40.0] == before
    assert [1.0, 25.0] == await used(store, *BOTH)


async def test_a_reservation_is_settled_once() -> None:
    """What is settled a second time stays as it is."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    reservation = await reservations.reserve((BOTH,))
    for tokens in (25.0, 70.0):
        reservations.settle(reservation, amounts(BOTH, 1.0, tokens))
        await reservations.drain()

    assert [1.0, 25.0] == await used(store, *BOTH)
    assert 1 == len(store.settled)


async def test_what_is_refused_takes_nothing() -> None:
    """A limit without room leaves the others as they were, and there is nothing to settle."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    await reservations.reserve(((replace(TOKENS, amount=90.0),),))
    refused = await reservations.reserve((BOTH,))
    reservations.settle(refused, amounts(BOTH, 1.0, 1.0))
    await reservations.drain()

    assert not refused.is_admitted
    assert () == refused.takes
    assert [0.0, 90.0] == await used(store, *BOTH)
    assert [] == store.settled


async def test_the_first_choice_with_room_is_taken(tmp_path: Path) -> None:
    """Of several choices the first that fits is taken and settled, in a store on disk as well."""
    full = (replace(TOKENS, amount=100.0),)
    other = (replace(TOKENS, name="other"),)
    async with SqliteStore(path=str(tmp_path / "limits.db")) as store:
        reservations = make(store, Clock())
        await reservations.reserve((full,))
        reservation = await reservations.reserve(((TOKENS,), other))
        reservations.settle(reservation, amounts(other, 7.0))
        await reservations.drain()
        levels = await used(store, TOKENS, *other)

    assert 1 == reservation.admission.choice
    assert other == reservation.takes
    assert [100.0, 7.0] == levels


async def test_nothing_to_take_costs_no_round_trip() -> None:
    """Where no choice takes anything the first one is admitted, and the store is not asked."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    reservation = await reservations.reserve(((), ()))
    reservations.settle(reservation, ())

    assert (0, ((), ())) == (reservation.admission.choice, reservation.admission.levels)
    assert [] == store.calls


async def test_what_cannot_be_true_counts_as_reserved() -> None:
    """A settlement with a negative amount is reported, and what was reserved counts; others are not held up."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    reservation = await reservations.reserve((BOTH,))
    reservations.settle(reservation, amounts(BOTH, 1.0, -5.0))
    await reservations.drain()

    assert [1.0, 40.0] == await used(store, *BOTH)
    assert {"internal_errors": 1} == reservations._recorder.counts


@pytest.mark.parametrize("ticks", range(16))
async def test_a_cancelled_reservation_is_given_back(ticks: int) -> None:
    """Whoever is cancelled while it asks, at whatever moment, holds nothing: not even where the store had taken it."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    asking = asyncio.create_task(reservations.reserve(((*BOTH, CALLS),)))
    for _ in range(ticks):
        await asyncio.sleep(0)
    finished = asking.done()
    asking.cancel()
    [outcome] = await asyncio.gather(asking, return_exceptions=True)
    if isinstance(outcome, Reservation):
        reservations.settle(outcome, amounts((*BOTH, CALLS), 0.0, 0.0, 0.0))
    await reservations.drain()

    assert finished == isinstance(outcome, Reservation)
    assert [0.0, 0.0, 0.0] == await used(store, *BOTH, CALLS)


async def test_what_is_lost_on_the_way_lapses() -> None:
    """A reservation that nobody holds any more is not renewed, so that its lease ends; one that is held is."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    kept = await reservations.reserve(((REQUESTS,),))
    lost: Reservation | None = await reservations.reserve(((TOKENS,),))
    assert lost is not None
    lost = None
    gc.collect()
    for _ in range(4):
        clock.advance(LEASE / 3)
        await reservations._renew()

    assert kept.is_admitted
    assert [1.0, 0.0] == await used(store, REQUESTS, TOKENS)


async def test_leases_run_on_by_themselves() -> None:
    """While a call runs its lease is renewed without anybody asking, every third of its time."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock, lease_seconds=0.006)
    reservation = await reservations.reserve(((CALLS,),))
    for _ in range(2):
        store.renewed.clear()
        async with asyncio.timeout(10):
            await store.renewed.wait()

    assert reservation.is_admitted


async def test_a_renewal_that_fails_is_tried_again() -> None:
    """One renewal that the store misses costs no reservation: the next comes before the lease ends."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    reservation = await reservations.reserve(((CALLS,),))
    for fault in (StoreError("slow"), None, None, None):
        store.fault = fault
        clock.advance(LEASE / 3)
        await reservations._renew()

    assert reservation.is_admitted
    assert [1.0] == await used(store, CALLS)


async def test_a_process_that_is_gone_holds_nothing() -> None:
    """What a process had reserved that vanished without a word is free again after the lease."""
    clock = Clock()
    store = Remote(clock)
    reservation = await make(store, clock).reserve(((*BOTH, CALLS),))
    clock.advance(LEASE - 1)
    late = await used(store, *BOTH, CALLS)
    clock.advance(1)

    assert reservation.is_admitted
    assert [1.0, 40.0, 1.0] == late
    assert [0.0, 0.0, 0.0] == await used(store, *BOTH, CALLS)


async def test_closing_settles_what_is_out() -> None:
    """Calls that are cut off by the end of the process count as reserved, and those at the same time end."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    reservation = await reservations.reserve(((*BOTH, CALLS),))
    await reservations.close()

    assert reservation.is_admitted
    assert [1.0, 40.0, 0.0] == await used(store, *BOTH, CALLS)
    assert reservations._renewal._handle is None


async def test_who_waits_for_a_call_that_has_ended_here_is_admitted() -> None:
    """One call at a time means one after the other: the next is not refused because the store has yet to hear that the
    last one ended.
    """
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    outcomes = []
    for _ in range(5):
        reservation = await reservations.reserve(((REQUESTS, CALLS),))
        outcomes.append(reservation.is_admitted)
        reservations.settle(reservation, (REQUESTS, CALLS))

    assert [True, True, True, True, False] == outcomes
    # Where a window refuses, asking again is no use.
    assert 4 + 3 + 1 == store.calls.count("reserve")


async def test_who_waits_for_a_call_under_way_is_refused() -> None:
    """A call that goes on stands in the way, and the store is asked once."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    first = await reservations.reserve(((CALLS,),))
    refused = await reservations.reserve(((CALLS,),))

    assert [True, False] == [first.is_admitted, refused.is_admitted]
    assert ["reserve", "reserve"] == store.calls


@pytest.mark.parametrize("mode", ["local", "open", "closed"])
@pytest.mark.parametrize("fault", [StoreError("slow"), StoreAwayError("away"), StoreBusyError("busy")], ids=repr)
async def test_without_the_store_the_call_is_decided_as_configured(mode: str, fault: StoreError) -> None:
    """Four requests a minute among two processes: two here and no more, all of them, or none, whatever the fault is."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock, on_store_error=mode, expected_replicas=2)
    store.fault = fault
    asked = (reservations.reserve(((REQUESTS,),)) for _ in range(3))
    outcomes = [await asyncio.gather(each, return_exceptions=True) for each in asked]
    decided = [each.is_admitted if isinstance(each, Reservation) else each for [each] in outcomes]
    expected = {"local": [True, True, False], "open": [True, True, True], "closed": [fault, fault, fault]}

    assert expected[mode] == decided
    assert 3 == store.calls.count("reserve")
    assert reservations._recorder.counts["store_errors"] >= 3


async def test_local_limits_are_settled_like_others() -> None:
    """While the store is away what is used here takes the place of what was reserved here, and nothing is sent."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    store.fault = StoreAwayError("away")
    settled = await reservations.reserve(((TOKENS, CALLS),))
    reservations.settle(settled, amounts((TOKENS, CALLS), 5.0, 1.0))
    later = await reservations.reserve(((TOKENS, CALLS),))
    await reservations.drain()

    assert [45.0, 1.0] == [level.used for level in later.admission.levels[0]]
    assert ["reserve", "reserve"] == store.calls


async def test_local_leases_run_on_and_end_like_others() -> None:
    """While the store is away a call that goes on keeps its place, and one that was lost gives it back."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    store.fault = StoreAwayError("away")
    kept = await reservations.reserve(((CALLS,),))
    for _ in range(4):
        clock.advance(LEASE / 2)
        await reservations._renew()
    refused = await reservations.reserve(((CALLS,),))
    outcomes = [kept.is_admitted, refused.is_admitted]
    del kept
    gc.collect()
    clock.advance(LEASE)
    outcomes.append((await reservations.reserve(((CALLS,),))).is_admitted)

    assert [True, False, True] == outcomes


async def test_a_share_of_less_than_a_call_lets_one_through() -> None:
    """One request a minute among a hundred processes is one a minute in each, not none."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock, expected_replicas=100)
    store.fault = StoreAwayError("away")
    takes = (replace(REQUESTS, limit=1.0), CALLS)
    first, second = await reservations.reserve((takes,)), await reservations.reserve((takes,))

    assert [True, False] == [first.is_admitted, second.is_admitted]


async def test_a_store_without_limits_leaves_them_to_each_process(caplog: pytest.LogCaptureFixture) -> None:
    """Limits are kept here where the store keeps none, whatever is to be done while it is away; that is said once."""
    clock = Clock()
    reservations = make(Limitless(clock=clock), clock, on_store_error="closed", expected_replicas=2)
    outcomes = [(await reservations.reserve(((REQUESTS,),))).is_admitted for _ in range(3)]

    assert [True, True, False] == outcomes
    assert 1 == len(caplog.messages)
    assert "the store keeps no limits" in caplog.text


@pytest.mark.parametrize("mode", ["local", "open", "closed"])
async def test_a_lost_reply_holds_nothing(mode: str) -> None:
    """What the store may have taken though nobody was told is given back when it answers again, from all choices."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock, on_store_error=mode)
    other = replace(CALLS, name="other")
    store.loses_replies = True
    outcomes = await asyncio.gather(reservations.reserve(((CALLS,), (other,))), return_exceptions=True)
    taken = await used(store, CALLS)
    store.loses_replies = False
    await reservations.drain()

    assert 1 == len(outcomes)
    assert [1.0] == taken
    assert [0.0, 0.0] == await used(store, CALLS, other)
    assert [["calls", "other"]] == [[take.name for take in each.takes] for each in store.settled]


async def test_the_limits_return_to_the_store(caplog: pytest.LogCaptureFixture) -> None:
    """After an outage the store is asked again, what was settled meanwhile is sent once, and it is logged once when
    limits turned local and once when they returned.
    """
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    before = await reservations.reserve((BOTH,))
    store.fault = StoreAwayError("away")
    during = [await reservations.reserve((BOTH,)) for _ in range(2)]
    reservations.settle(before, amounts(BOTH, 1.0, 11.0))
    reservations.settle(during[0], amounts(BOTH, 1.0, 12.0))
    await reservations.drain()
    store.fault = None
    after = await reservations.reserve((BOTH,))
    await reservations.drain()

    assert [1.0, 40.0] == [level.used for level in during[0].admission.levels[0]]
    assert after.is_admitted
    assert [2.0, 51.0] == await used(store, *BOTH)
    assert [before.ticket] == [each.ticket for each in store.settled]
    assert [("coo_middleware", logging.WARNING)] * 2 == [record[:2] for record in caplog.record_tuples]
    assert ["the store is away", "the limits are kept by the store again"] == [
        message.partition(":")[0] for message in caplog.messages
    ]


async def test_an_answer_from_before_the_outage_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """What was asked while the store was well and is answered late says nothing about its return."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    early = asyncio.create_task(reservations.reserve(((REQUESTS,),)))
    await asyncio.sleep(0)
    reservations._turn("the store is away")
    await early

    assert ["the store is away"] == caplog.messages


async def test_a_store_that_hangs_costs_its_deadline_and_no_more() -> None:
    """Behind its guard a store that never answers is given up, the call is decided here, and nothing stays held."""
    clock = Clock()
    store = Remote(clock)
    guard = Guard(store, write_deadline_seconds=0.01, probe_seconds=60.0)
    reservations = make(guard, clock)
    store.gate = asyncio.Event()
    outcomes = [(await reservations.reserve(((CALLS,),))).is_admitted for _ in range(5)]
    store.gate.set()
    await guard.open()
    await reservations.drain()
    await guard.stop()

    # Nobody holds these, and still their leases run here.
    assert [True, False, False, False, False] == outcomes
    assert [0.0] == await used(store, CALLS)


def test_reservations_outlive_their_event_loop() -> None:
    """What one loop reserved another may settle."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)

    async def reserve() -> Reservation:
        return await reservations.reserve((BOTH,))

    async def settle(reservation: Reservation) -> list[float]:
        reservations.settle(reservation, amounts(BOTH, 1.0, 2.0))
        await reservations.drain()
        return await used(store, *BOTH)

    reservation = asyncio.run(reserve())

    assert [1.0, 2.0] == asyncio.run(settle(reservation))


async def test_what_is_no_limit_is_refused() -> None:
    """A take that core/limits.py refuses raises ValueError, and nothing is sent on its behalf."""
    clock = Clock()
    store = Remote(clock)
    reservations = make(store, clock)
    with pytest.raises(ValueError, match="limit must be"):
        await reservations.reserve(((replace(TOKENS, limit=0.0),),))
    await reservations.drain()

    assert [] == store.settled
