"""Calls are admitted by all limits or by none, settled once, and told how their limits stand."""

from __future__ import annotations

import asyncio
import timeit
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.demand import NOTHING, Demand
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.limits import Take
from coo_middleware.core.providers import LLMProvider, Pricing
from coo_middleware.core.quotas import LimitRule, LimitsPolicy
from coo_middleware.limiter import Limiter, Permit
from coo_middleware.prices import Prices
from coo_middleware.reservations import Reservations
from coo_middleware.stores import StoreAwayError, StoreError
from coo_middleware.testing import Clock
from tests.plans import JSON_TYPE, make_plan
from tests.remote import Remote, make_recorder, used

if TYPE_CHECKING:
    from coo_middleware.core.limits import Takes
    from coo_middleware.core.plan import Plan

PATH = "/v1/chat/completions"
SECRET = "sk-do-not-tell"
PLAN = make_plan(headers=(JSON_TYPE, (b"authorization", b"Bearer " + SECRET.encode())))
OTHER = make_plan(headers=(JSON_TYPE, (b"authorization", b"Bearer another")))
DEMAND = Demand(1.0, 30.0, 10.0)
# A thousandth of a dollar for a token of either kind.
PROVIDERS = (LLMProvider("openai", pricing=Pricing(input_token_cost=1.0, output_token_cost=1.0)),)

REQUESTS = LimitRule("requests", per=("caller",), requests=2)
TOKENS = LimitRule("tokens", tokens=100)
CALLS = LimitRule("calls", per=("caller",), concurrency=1)
BUDGET = LimitRule("budget", cost=0.1, window_seconds=3600.0)
WIDE = (
    replace(REQUESTS, requests=100),
    replace(TOKENS, tokens=10_000),
    replace(CALLS, concurrency=9),
    replace(BUDGET, cost=9.0),
)
HITS = LimitRule("hits", per=("caller",), requests=2, tokens=100, count_hits=True)


class Desk:
    """A limiter with its store, and what is used there."""

    def __init__(self, *rules: LimitRule, pooled: bool = False, **settings: object) -> None:
        self.clock = Clock()
        self.store = Remote(self.clock)
        policy = replace(LimitsPolicy(rules=rules), **settings)  # type: ignore[arg-type]
        self.reservations = Reservations(self.store, policy, make_recorder(self.store), clock=self.clock)
        self.limiter = Limiter(policy, self.reservations, Prices(PROVIDERS), pooled=pooled, clock=self.clock)

    async def admit(self, plan: Plan = PLAN, demand: Demand = DEMAND, reused: Permit | None = None) -> Permit:
        return await self.limiter.admit(plan, PATH, demand, reused)

    async def refuse(self, plan: Plan = PLAN, demand: Demand = DEMAND, reused: Permit | None = None) -> LimitedError:
        with pytest.raises(LimitedError) as caught:
            await self.admit(plan, demand, reused)
        return caught.value

    async def settle(self, permit: Permit, demand: Demand) -> None:
        self.limiter.settle(permit, demand)
        await self.reservations.drain()

    async def used(self, plan: Plan = PLAN) -> list[float]:
        return await used(self.store, *takes(self.limiter, plan))

    def told(self, plan: Plan = PLAN) -> str:
        return dict(self.limiter.tell_last(plan, PATH)).get(b"ratelimit", b"").decode()


def takes(limiter: Limiter, plan: Plan) -> Takes:
    return tuple(limit.take(DEMAND) for limit in limiter._find(plan, PATH))


async def test_a_call_is_settled_with_the_truth() -> None:
    """What is foreseen is taken of every limit before the call, what was used counts after it."""
    desk = Desk(REQUESTS, TOKENS, CALLS, BUDGET)
    permit = await desk.admit()
    before = await desk.used()
    await desk.settle(permit, Demand(1.0, 20.0, 5.0, 0.025))

    assert [1.0, 40.0, 1.0, 0.04] == before
    assert [1.0, 25.0, 0.0, 0.025] == await desk.used()


async def test_what_was_never_made_costs_nothing() -> None:
    """A call that was given up before it reached a provider gives back all that it took."""
    desk = Desk(REQUESTS, TOKENS, CALLS, BUDGET)
    await desk.settle(await desk.admit(), NOTHING)

    assert [0.0] * 4 == await desk.used()


@pytest.mark.parametrize(
    "full", [replace(REQUESTS, requests=1), replace(TOKENS, tokens=60), CALLS, replace(BUDGET, cost=0.06)]
)
async def test_a_limit_that_refuses_consumes_none_of_the_others(full: LimitRule) -> None:
    """Whichever limit has no room, after the refusal all are as they were."""
    desk = Desk(*(full if rule.name == full.name else rule for rule in WIDE))
    permit = await desk.admit()
    before = await desk.used()
    error = await desk.refuse()

    assert permit.reservation.is_admitted
    assert (full.name,) == error.rules
    assert (full.name == "budget") == error.spent
    assert before == await desk.used()


async def test_a_refusal_says_when() -> None:
    """At the moment that a refusal tells the call is admitted, and not before."""
    desk = Desk(TOKENS)
    await desk.settle(await desk.admit(demand=Demand(1.0, 70.0)), Demand(1.0, 70.0))
    error = await desk.refuse()
    desk.clock.advance(error.retry_after - 1)
    early = await desk.refuse()
    desk.clock.advance(1)
    permit = await desk.admit()

    assert 60 <= error.retry_after <= 60 * 257 / 256
    assert 0 < early.retry_after
    assert permit.reservation.is_admitted


async def test_nobody_knows_when_a_call_ends() -> None:
    """Where calls at the same time are the limit, a refusal asks for a second, not for a lease."""
    desk = Desk(CALLS)
    permit = await desk.admit()
    error = await desk.refuse()

    assert permit.reservation.is_admitted
    assert 1.0 == error.retry_after


async def test_each_caller_has_its_own() -> None:
    """A rule per caller refuses one and not the other; two spellings of one credential are one caller."""
    desk = Desk(REQUESTS)
    spelled = make_plan(headers=(JSON_TYPE, (b"authorization", b"bearer   " + SECRET.encode())))
    for plan in (PLAN, spelled, OTHER):
        await desk.admit(plan)
    error = await desk.refuse()

    assert ("requests",) == error.rules
    assert [1.0] == await desk.used(OTHER)


async def test_names_in_the_store_tell_no_secret() -> None:
    """A limit's name has the caller's digest in it, and neither its credential nor its prompt."""
    desk = Desk(replace(TOKENS, per=("caller", "model", "path", "provider", "key")))
    [take] = takes(desk.limiter, PLAN)

    assert PLAN.caller in take.name
    assert SECRET not in take.name
    assert "hi" not in take.name


async def test_what_has_no_rule_is_not_asked_for() -> None:
    """A request that no rule fits costs no round trip, and no field is told."""
    desk = Desk(replace(REQUESTS, path="/v2/*"), replace(TOKENS, model="other"))
    permit = await desk.admit()
    desk.limiter.settle(permit, DEMAND)

    assert not desk.limiter.applies(PLAN, PATH)
    assert desk.limiter.applies(PLAN, "/v2/chat/completions")
    assert () == desk.limiter.tell(permit)
    assert [] == desk.store.calls


async def test_rules_per_key_are_the_balancers_where_keys_are_pooled() -> None:
    """With a pool a rule per key takes nothing at the gate, and of each key what the balancer reserves."""
    rule = LimitRule("keys", per=("key",), provider="openai", tokens=100)
    desk = Desk(rule, pooled=True)
    found = {
        (provider, key): desk.limiter.key_takes(PLAN, PATH, provider, key, DEMAND)
        for provider in ("openai", "anthropic")
        for key in ("k1", "k2")
    }

    assert not desk.limiter.applies(PLAN, PATH)
    assert (Take("rule:keys:tokens:60.0:key=openai,k1", 100.0, 60.0, 40.0),) == found["openai", "k1"]
    assert found["openai", "k1"] != found["openai", "k2"]
    assert () == found["anthropic", "k1"]


async def test_rules_per_key_are_the_callers_where_it_brings_one() -> None:
    """Without a pool the caller's credential is the key, and the balancer has nothing to reserve."""
    desk = Desk(LimitRule("keys", per=("key",), requests=1))
    await desk.admit()

    assert ("keys",) == (await desk.refuse()).rules
    assert (await desk.admit(OTHER)).reservation.is_admitted
    assert () == desk.limiter.key_takes(PLAN, PATH, "openai", "k1", DEMAND)


async def test_reused_responses_count_where_they_shall() -> None:
    """A hit takes a request of the rules that count hits, and nothing of their tokens or of other rules."""
    desk = Desk(HITS, REQUESTS)
    for _ in range(2):
        permit = await desk.limiter.admit_reuse(PLAN, PATH)
        assert permit is not None
        await desk.settle(permit, Demand())
    with pytest.raises(LimitedError) as caught:
        await desk.limiter.admit_reuse(PLAN, PATH)

    assert ("hits",) == caught.value.rules
    assert [2.0, 0.0, 0.0] == await desk.used()


async def test_reused_responses_cost_nothing_elsewhere() -> None:
    """Where no rule counts hits there is no permit, and the store is not asked."""
    desk = Desk(REQUESTS, TOKENS)

    assert await desk.limiter.admit_reuse(PLAN, PATH) is None
    assert [] == desk.store.calls


async def test_what_a_look_up_took_is_not_taken_again() -> None:
    """A request that was admitted as a hit might be, and then is none, counts once; it is settled with the call."""
    desk = Desk(HITS, TOKENS)
    permit = await desk.admit(reused=await desk.limiter.admit_reuse(PLAN, PATH))
    before = await desk.used()
    await desk.settle(permit, Demand(1.0, 5.0, 5.0))

    assert [1.0, 40.0, 40.0] == before
    assert [1.0, 10.0, 10.0] == await desk.used()
    assert 3 == dict(desk.limiter.tell(permit))[b"ratelimit"].count(b"r=")


@pytest.mark.parametrize("kind", ["refused", "away", "cancelled", "settled"])
async def test_what_a_look_up_took_is_given_back(kind: str) -> None:
    """Where the call is then refused, cannot be checked, is cancelled or is never made, the request does not count."""
    desk = Desk(HITS, TOKENS, on_store_error="closed")
    reused = await desk.limiter.admit_reuse(PLAN, PATH)
    if kind == "refused":
        first = await desk.admit(demand=Demand(1.0, 90.0), reused=await desk.limiter.admit_reuse(PLAN, PATH))
        await desk.refuse(reused=reused)
        desk.limiter.settle(first, NOTHING)
    elif kind == "away":
        desk.store.fault = StoreAwayError("away")
        with pytest.raises(StoreError):
            await desk.admit(reused=reused)
        desk.store.fault = None
    elif kind == "cancelled":
        task = asyncio.create_task(desk.admit(reused=reused))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    else:
        desk.limiter.settle(await desk.admit(reused=reused), NOTHING)
    await desk.reservations.drain()

    assert [0.0, 0.0, 0.0] == await desk.used()


@pytest.mark.parametrize("ticks", range(12))
async def test_who_is_cancelled_holds_nothing(ticks: int) -> None:
    """At whatever moment a request is cancelled while it asks, its limits are as they were."""
    desk = Desk(REQUESTS, TOKENS, CALLS)
    asking = asyncio.create_task(desk.admit())
    for _ in range(ticks):
        await asyncio.sleep(0)
    asking.cancel()
    [outcome] = await asyncio.gather(asking, return_exceptions=True)
    if isinstance(outcome, Permit):
        desk.limiter.settle(outcome, NOTHING)
    await desk.reservations.drain()

    assert [0.0, 0.0, 0.0] == await desk.used()


async def test_an_answer_tells_how_limits_stand() -> None:
    """What is left is what was left when the call was admitted; the rest of the window goes by meanwhile."""
    desk = Desk(REQUESTS, LimitRule("calls", concurrency=3))
    permit = await desk.admit()
    desk.clock.advance(20)
    told = dict(desk.limiter.tell(permit))

    assert b'"requests";q=2;w=60, "calls";q=3;qu="concurrent-requests"' == told[b"ratelimit-policy"]
    assert b'"requests";r=1;t=41, "calls";r=2' == told[b"ratelimit"]
    assert b"41s" == told[b"x-ratelimit-reset-requests"]


async def test_what_was_not_admitted_is_told_what_was_last_seen() -> None:
    """A limit that nobody asked for is whole, one that was asked for is as it stood, and after its window it is whole
    again; so is another caller's.
    """
    desk = Desk(replace(REQUESTS, requests=1))
    told = [desk.told()]
    await desk.admit()
    told += [desk.told(), desk.told(OTHER)]
    await desk.refuse()
    told.append(desk.told())
    desk.clock.advance(61)
    told.append(desk.told())

    assert ['"requests";r=1;t=0', '"requests";r=0;t=61', '"requests";r=1;t=0'] == told[:3]
    assert ['"requests";r=0;t=61', '"requests";r=1;t=0'] == told[3:]


async def test_while_the_store_is_away_its_part_is_told() -> None:
    """What is left of a limit is what this process may still give: two of four requests, one of them gone."""
    desk = Desk(replace(REQUESTS, requests=4), expected_replicas=2)
    desk.store.fault = StoreAwayError("away")
    permit = await desk.admit()

    assert b'"requests";r=1;t=61' == dict(desk.limiter.tell(permit))[b"ratelimit"]


async def test_while_limits_are_off_they_are_told_as_last_seen() -> None:
    """A call that was let through unchecked took nothing."""
    desk = Desk(REQUESTS, on_store_error="open")
    desk.store.fault = StoreAwayError("away")
    permit = await desk.admit()
    desk.store.fault = None
    await desk.settle(permit, DEMAND)

    assert b'"requests";r=2;t=0' == dict(desk.limiter.tell(permit))[b"ratelimit"]
    assert [0.0] == await desk.used()


async def test_what_is_closed_raises() -> None:
    """Where limits must be kept and cannot be, the call is not admitted."""
    desk = Desk(REQUESTS, on_store_error="closed")
    desk.store.fault = StoreAwayError("away")
    with pytest.raises(StoreAwayError):
        await desk.admit()


async def test_a_refusal_far_from_the_store_names_its_rule() -> None:
    """The local part of a limit refuses by name as the whole does."""
    desk = Desk(replace(REQUESTS, requests=4), expected_replicas=2)
    desk.store.fault = StoreAwayError("away")
    for _ in range(2):
        await desk.admit()

    assert ("requests",) == (await desk.refuse()).rules


async def test_callers_need_not_be_told() -> None:
    """With `headers` off no answer says anything of limits."""
    desk = Desk(REQUESTS, headers=False)
    permit = await desk.admit()

    assert () == desk.limiter.tell(permit)
    assert () == desk.limiter.tell_last(PLAN, PATH)


async def test_callers_without_number_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the limits that were seen the latest are remembered."""
    monkeypatch.setattr("coo_middleware.limiter._MOST_SEEN", 3)
    desk = Desk(replace(REQUESTS, per=("model",)))
    for number in range(5):
        await desk.admit(replace(PLAN, model=f"m{number}"))

    assert ["m2", "m3", "m4"] == [name.rpartition("=")[2] for name in desk.limiter._seen]


def test_what_has_no_limits_costs_next_to_nothing() -> None:
    """To find out that a request has no limits takes less than two microseconds."""
    limiter = Desk(*(LimitRule(f"r{n}", requests=1, model=f"m{n}*") for n in range(1, 50))).limiter
    seconds = min(timeit.repeat(lambda: limiter.applies(PLAN, PATH), number=10_000, repeat=5))

    assert not limiter.applies(PLAN, PATH)
    assert seconds / 10_000 < 2e-6
