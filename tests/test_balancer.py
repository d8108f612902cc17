"""Balancer: which key takes the next call, when none does, and what other processes know."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from coo_middleware.balancer import Held
from coo_middleware.config import Policy
from coo_middleware.core.demand import NOTHING, Demand
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.limits import Admission, Takes
from coo_middleware.core.providers import (
    FallbackPolicy,
    HybridWeights,
    KeyLimits,
    KeySettings,
    LLMProvider,
    Pricing,
)
from coo_middleware.core.quotas import LimitRule, LimitsPolicy
from coo_middleware.stores import StoreAwayError
from coo_middleware.stores.memory import MemoryStore
from tests.keys import WISH, Room, Time, openai

ROUND = Policy(algorithm="round_robin")


async def pick(room: Room, name: str = "openai") -> Held:
    return await room.balancer.pick(name, WISH)


async def pick_ids(room: Room, count: int) -> list[str]:
    return [(await pick(room)).standing.key.id for _ in range(count)]


class Slow(MemoryStore):
    """A store that lets others run before it reserves."""

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        await asyncio.sleep(0)
        return await super().reserve(ticket, choices, lease_seconds)


class Away(MemoryStore):
    """A store that can go out of reach."""

    is_away = False

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        if self.is_away:
            raise StoreAwayError("away")
        return await super().reserve(ticket, choices, lease_seconds)


async def test_round_robin_gives_each_its_turn() -> None:
    """Each key is picked in its turn, and one that has no room is passed over without a gain for its neighbour."""
    keys = tuple(KeySettings(name, name) for name in "abc")
    narrow = KeySettings("narrow", "s", KeyLimits(req_per_min=1))
    room = Room([LLMProvider("openai", keys=(keys[0], narrow, *keys[1:]))], ROUND)
    picked = await pick_ids(room, 13)

    assert ["a", "narrow", "b", "c"] == picked[:4]
    assert {"a": 3, "b": 3, "c": 3} == Counter(picked[4:])


async def test_picks_at_the_same_moment_are_spread() -> None:
    """Calls that ask while the store has not answered do not all go to one key."""
    time = Time()
    for algorithm in ("round_robin", "least_loaded"):
        policy = Policy(algorithm=algorithm)
        room = Room([openai(4, KeyLimits(req_per_min=100))], policy, time, Slow(clock=time))
        held = await asyncio.gather(*(pick(room) for _ in range(20)))

        assert {5} == set(Counter(each.standing.key.id for each in held).values())


async def test_what_other_processes_take_counts() -> None:
    """A key whose limit another process has used is passed over by one that has never seen it."""
    time = Time()
    store = MemoryStore(clock=time)
    limits = KeyLimits(req_per_min=100)
    other, room = (Room([openai(count, limits)], Policy(), time, store) for count in (1, 2))
    await pick_ids(other, 60)
    picked = []
    for _ in range(10):
        held = await pick(room)
        room.balancer.settle(held, Demand())
        picked.append(held.standing.key.id)

    assert ["openai-1", *["openai-2"] * 9] == picked


async def test_a_limit_is_never_overshot() -> None:
    """However many ask at once, each key is given as often as its limits allow, and then it is said when to return."""
    room = Room([openai(2, KeyLimits(req_per_min=5))], store=None)
    got = await asyncio.gather(*(pick(room) for _ in range(30)), return_exceptions=True)
    held = [each for each in got if isinstance(each, Held)]
    refused = [each for each in got if isinstance(each, LimitedError)]

    assert {"openai-1": 5, "openai-2": 5} == Counter(each.standing.key.id for each in held)
    assert 20 == len(refused)
    assert all(60 <= each.retry_after <= 61 for each in refused)


async def test_a_narrow_key_is_used_by_its_part() -> None:
    """By least load, a key with a quarter of the limit takes about a quarter of the calls."""
    keys = (
        KeySettings("wide", "s", KeyLimits(req_per_min=400)),
        KeySettings("narrow", "s", KeyLimits(req_per_min=100)),
    )
    counts = Counter(await pick_ids(Room([LLMProvider("openai", keys=keys)]), 250))

    assert 45 <= counts["narrow"] <= 55


async def test_hybrid_prefers_the_cheaper_key() -> None:
    """With the weight on cost, the provider whose tokens cost less comes first."""
    dear = LLMProvider("a", "openai", api_keys=("s",), pricing=Pricing(input_token_cost=0.02, output_token_cost=0.02))
    cheap = LLMProvider(
        "b", "openai", api_keys=("s",), pricing=Pricing(input_token_cost=0.001, output_token_cost=0.001)
    )
    for policy in (
        Policy(algorithm="hybrid", priority="cost"),
        Policy(algorithm="hybrid", hybrid_weights=HybridWeights(0, 0, 0, 0, 1)),
    ):
        assert "b-1" == (await pick(Room([dear, cheap], policy))).standing.key.id


async def test_a_key_that_was_limited_rests_everywhere() -> None:
    """A key that the provider refused is not picked until the time it told is over: here at once, and by any other
    process as soon as the store knows.
    """
    time = Time()
    store = MemoryStore(clock=time)
    room, other = (Room([openai(2)], ROUND, time, store) for _ in range(2))
    held = await pick(room)
    room.balancer.judge(held, "limited", 20.0)
    assert ["openai-2"] * 3 == await pick_ids(room, 3)
    await room.settle_down()

    assert ["openai-2"] * 3 == await pick_ids(other, 3)
    time.now += 19.9
    assert ["openai-2"] * 3 == await pick_ids(other, 3)
    time.now += 0.2 + 20
    assert {"openai-1", "openai-2"} == {*await pick_ids(other, 2)}
    assert {"openai-1", "openai-2"} == {*await pick_ids(room, 2)}


async def test_when_all_rest_it_is_said_for_how_long() -> None:
    """When no key may be called, the error tells the time to the first one, whether the store knows of the rests or
    not.
    """
    room = Room([openai(2)], ROUND)
    for seconds in (30.0, 12.0):
        room.balancer.judge(await pick(room), "limited", seconds)
    with pytest.raises(LimitedError) as unshared:
        await pick(room)
    await room.settle_down()
    room.time.now += 2
    with pytest.raises(LimitedError) as shared:
        await pick(room)

    assert 12 == unshared.value.retry_after
    assert pytest.approx(10) == shared.value.retry_after


async def test_a_rest_does_not_hide_a_longer_wait() -> None:
    """A key that rests for a moment and whose limit is used up as well is told with the longer of the two."""
    room = Room([openai(1, KeyLimits(req_per_min=1))])
    room.balancer.judge(await pick(room), "limited", 2.0)
    await room.settle_down()
    with pytest.raises(LimitedError) as error:
        await pick(room)

    assert 60 <= error.value.retry_after <= 61


async def test_a_rest_is_kept_while_the_store_is_away() -> None:
    """A key that rests is not called when the store that knew of it has gone, nor when it never came to know."""
    time = Time()
    store = Away(clock=time)
    room = Room([openai(1)], ROUND, time, store)
    held = await pick(room)
    room.balancer.judge(held, "limited", 20.0)
    await room.settle_down()
    store.is_away = True
    time.now += 5
    for _ in range(2):
        with pytest.raises(LimitedError) as error:
            await pick(room)
        assert 15 == error.value.retry_after
    time.now += 15.1
    room.balancer.judge(await pick(room), "limited", 7.0)
    await room.settle_down()
    with pytest.raises(LimitedError) as error:
        await pick(room)

    assert pytest.approx(7) == error.value.retry_after
    assert 2 <= room.register.counts["store_errors"]


async def test_a_key_comes_back_little_by_little() -> None:
    """After a rest of 100 s a key takes no call at its end, no more than half of its part after 50 s more, and all of
    it after 100 s; where it is the only one it is used at once.
    """
    chance = Random(3)  # noqa: S311
    room, parts = Room([openai(2)], ROUND, chance=chance.random), []
    room.balancer.judge(await pick(room), "limited", 100.0)
    for moment in (100.01, 150.0, 200.0):
        room.time.now = 1000.0 + moment
        parts.append(Counter(await pick_ids(room, 2000))["openai-1"] / 2000)
    alone = Room([openai(1)], ROUND)
    alone.balancer.judge(await pick(alone), "limited", 100.0)
    alone.time.now += 100.01

    assert [0, 0.2, 0.5] == pytest.approx(parts, abs=0.03)
    assert ["openai-1"] == await pick_ids(alone, 1)


async def test_a_slow_key_is_tried_again() -> None:
    """By latency, calls go to the quick key; a while after, the slow one is given another chance."""
    policy = Policy(algorithm="hybrid", hybrid_weights=HybridWeights(0, 0, 0, latency=1, cost_ratio=0))
    room = Room([openai(2)], policy)
    for seconds in (1.0, 2.0):
        held = await pick(room)
        room.time.now += seconds
        room.balancer.judge(held, "sound", None)
    quick = []
    for _ in range(100):
        held = await pick(room)
        room.time.now += 1
        room.balancer.judge(held, "sound", None)
        quick.append(held.standing.key.id)

    assert ["openai-1"] * 30 == quick[:30]
    assert "openai-2" in quick


async def test_fallback_providers_take_over() -> None:
    """When the provider's keys have no room, one of the fallback providers is picked, and with the first room it is the
    provider's again.
    """
    azure = LLMProvider("azure", "openai", api_keys=("s",))
    policy = Policy(fallback=FallbackPolicy(providers=("azure",)))
    room = Room([openai(1, KeyLimits(req_per_min=2)), azure], policy)
    assert ["openai-1", "openai-1", "azure-1", "azure-1"] == await pick_ids(room, 4)
    room.time.now += 61

    assert ["openai-1"] == await pick_ids(room, 1)
    assert (True, False) == (bool(room.balancer), bool(Room([openai(0)]).balancer))


async def test_what_was_used_takes_the_place_of_what_was_held() -> None:
    """A settled call counts with its true tokens, one that was never made counts nothing, and each ends its place."""
    limits = KeyLimits(req_per_min=3, tokens_per_min=100, concurrency=1)
    room = Room([openai(1, limits)])
    held = await pick(room)
    with pytest.raises(LimitedError) as error:
        await pick(room)
    assert 1 == error.value.retry_after
    room.balancer.settle(held, NOTHING)
    held = await pick(room)
    room.balancer.settle(held, Demand(input_tokens=70, output_tokens=25))
    await room.settle_down()
    with pytest.raises(LimitedError) as error:
        await pick(room)
    load = held.standing.load(WISH.demand, 0.0, 1.0, room.time.now)

    assert 60 <= error.value.retry_after <= 61
    assert [1 / 3, 0.95, 0, 0] == [load.requests, load.tokens, load.calls_share, load.calls]


async def test_rules_per_key_are_held_too() -> None:
    """A rule under `policy.limits` that has `key` in `per` is one of the key's limits."""
    rule = LimitRule("each-key", per=("key",), requests=2)
    room = Room([openai(2)], Policy(limits=LimitsPolicy(rules=(rule,))))
    picked = await pick_ids(room, 4)
    with pytest.raises(LimitedError):
        await pick(room)

    assert {"openai-1": 2, "openai-2": 2} == Counter(picked)


async def test_a_cancelled_pick_holds_nothing() -> None:
    """A pick that is cancelled while the store is asked leaves no call in flight and no place taken."""
    time = Time()
    room = Room([openai(1, KeyLimits(concurrency=1))], Policy(), time, Slow(clock=time))
    for _ in range(5):
        task = asyncio.ensure_future(pick(room))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await room.settle_down()
    held = await pick(room)

    assert (1, 0) == (held.standing.calls, held.standing.asking)
