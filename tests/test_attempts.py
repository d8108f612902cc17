"""Attempts: the keys of one request, and what became of each."""

import asyncio
from email.utils import formatdate
from time import time as wall_time

import httpx
import pytest

from coo_middleware.attempts import Attempts
from coo_middleware.config import MetricsPolicy, Policy
from coo_middleware.core.demand import Demand
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.outcome import Usage
from coo_middleware.core.providers import KeyLimits, LLMProvider, Pricing, ProviderKey, RetryPolicy
from coo_middleware.core.quotas import LimitRule, LimitsPolicy
from coo_middleware.core.record import ErrorType
from coo_middleware.stores.memory import MemoryStore
from tests.keys import PATH, PLAN, Room, openai

USAGE = Usage(100, 50)


def begin(room: Room, demand: Demand | None = None) -> Attempts:
    return Attempts(room.balancer, PLAN, PATH, demand)


def wait_of(room: Room, key: ProviderKey) -> float:
    (standing,) = (each for each in room.balancer._pools.find("openai")[0].standings if each.key == key)
    return standing.health.wait(room.time.now)


def used(room: Room) -> tuple[float, float]:
    """Requests and tokens that count in the limits of the first key."""
    assert isinstance(room.store, MemoryStore)
    tallies = room.store._ledger.tallies
    found = [
        tally.used
        for name, tally in tallies.items()
        if name in ("key:openai:openai-1:req_per_min", "key:openai:openai-1:tokens_per_min")
    ]
    return found[0], found[1]


async def test_a_failed_key_is_not_given_again() -> None:
    """After a failure the next pick is another key, and when all have failed there is none."""
    room = Room([openai(3)])
    attempts, keys = begin(room), []
    for _ in range(3):
        key = await attempts.pick("openai")
        attempts.report(key, "miss", status=500)
        keys.append(key.id)
    with pytest.raises(LimitedError):
        await attempts.pick("openai")

    assert {"openai-1", "openai-2", "openai-3"} == {*keys}


async def test_a_callers_fault_leaves_the_key_to_others() -> None:
    """A key that answered 400 is not given to this request again, and does not rest."""
    room = Room([openai(1)])
    attempts = begin(room)
    attempts.report(await attempts.pick("openai"), "miss", status=400)
    with pytest.raises(LimitedError) as error:
        await attempts.pick("openai")

    assert 0 == error.value.retry_after
    assert "openai-1" == (await begin(room).pick("openai")).id


async def test_tries_are_bounded() -> None:
    """After `max_attempts` keys that failed the request is refused, for as long as the last key rests; calls that went
    well do not count.
    """
    room = Room([openai(9)], Policy(retry=RetryPolicy(max_attempts=2)))
    attempts = begin(room)
    for _ in range(5):
        attempts.report(await attempts.pick("openai"), "miss", usage=USAGE)
    for _ in range(2):
        attempts.report(await attempts.pick("openai"), "miss", status=429, retry_after=8.0)
    with pytest.raises(LimitedError) as error:
        await attempts.pick("openai")

    assert (8, ("policy.retry.max_attempts",)) == (error.value.retry_after, error.value.rules)
    assert attempts.refused is error.value


async def test_picks_without_a_report_are_bounded_too() -> None:
    """A handler that picks and picks comes to an end."""
    attempts = begin(Room([openai(2)]))
    for _ in range(3):
        await attempts.pick("openai")
    with pytest.raises(LimitedError):
        await attempts.pick("openai")


async def test_an_attempt_is_recorded_where_it_belongs() -> None:
    """Each report makes one record, for the key that was reported, with its own duration, error and cost."""
    pricing = Pricing(input_token_cost=0.01, output_token_cost=0.02)
    provider = LLMProvider("openai", "openai", api_keys=("a", "b"), pricing=pricing)
    room = Room([provider], Policy(algorithm="round_robin"))
    attempts = begin(room)
    first = await attempts.pick("openai")
    room.time.now += 2
    attempts.report(first, "bypass", status=503)
    second = await attempts.pick("openai")
    attempts.report(second, "miss", status=200, usage=USAGE, duration=0.5)
    failed, sound = room.register.records

    assert ("openai", "openai-1", 503, "status", 2.0, "bypass") == (
        *(failed.provider, failed.key_id, failed.status, failed.error_type),
        *(failed.duration, failed.cache_status),
    )
    assert ("openai-2", 200, "", 0.5, USAGE) == (
        *(sound.key_id, sound.status, sound.error_type),
        *(sound.duration, sound.usage),
    )
    assert pytest.approx(0.002) == sound.cost
    assert ({"attempt"}, {True}, {"chat"}) == tuple(
        {getattr(each, name) for each in room.register.records} for name in ("stored", "asked", "operation")
    )


async def test_without_metrics_nothing_is_recorded() -> None:
    """Where metrics are off, an attempt is settled and judged all the same."""
    room = Room([openai(1)], Policy(metrics=MetricsPolicy(enabled=False)))
    attempts = begin(room)
    key = await attempts.pick("openai")
    attempts.report(key, "miss", status=429)

    assert ([], 5) == (room.register.records, wait_of(room, key))


@pytest.mark.parametrize(
    ("status", "error_type", "error", "rest"),
    [
        (0, "exception", TimeoutError(), 5),
        (0, "client_disconnect", asyncio.CancelledError(), 0),
        (404, "status", None, 0),
        (200, "", None, 0),
    ],
)
async def test_an_error_is_told_by_its_kind(
    status: int, error_type: ErrorType, error: BaseException | None, rest: float
) -> None:
    """An exception without an answer lets the key rest, a cancelled call does not, and a bare report went well."""
    room = Room([openai(1)])
    attempts = begin(room)
    key = await attempts.pick("openai")
    attempts.report(key, "miss", status=status or None, error=error)

    assert (status, error_type) == (room.register.records[0].status, room.register.records[0].error_type)
    assert rest == wait_of(room, key)


async def test_an_exception_tells_its_answer() -> None:
    """An exception of an HTTP client brings its status and its Retry-After along."""
    room = Room([openai(1)])
    attempts = begin(room)
    key = await attempts.pick("openai")
    response = httpx.Response(429, headers={"retry-after-ms": "2500"}, request=httpx.Request("POST", "https://a.test"))
    attempts.report(key, "miss", error=httpx.HTTPStatusError("", request=response.request, response=response))

    assert (429, 2.5) == (room.register.records[0].status, wait_of(room, key))


@pytest.mark.parametrize(("told", "rest"), [("7", 7), ("date", 90), ("soon", 5)])
async def test_retry_after_may_be_the_field(told: str, rest: float) -> None:
    """The value of the header field can be handed on as it is: seconds, a date, or what cannot be read."""
    room = Room([openai(1)])
    attempts = begin(room)
    key = await attempts.pick("openai")
    told = formatdate(wall_time() + 90, usegmt=True) if told == "date" else told
    attempts.report(key, "miss", status=429, retry_after=told)

    assert pytest.approx(rest, abs=2) == wait_of(room, key)


async def test_a_report_counts_once() -> None:
    """A second report of an attempt changes nothing, and one of a key that was not picked is refused."""
    room = Room([openai(2)])
    attempts = begin(room)
    key = await attempts.pick("openai")
    attempts.report(key, "miss", usage=USAGE)
    attempts.report(key, "miss", status=500)
    with pytest.raises(ValueError, match="report what pick returned"):
        attempts.report(ProviderKey("openai", "mine", "secret"), "miss")

    assert (1, 0) == (len(room.register.records), wait_of(room, key))


LIMITS = KeyLimits(req_per_min=100, tokens_per_min=10_000)


@pytest.mark.parametrize(
    ("tokens", "status", "error_type", "usage"),
    [
        (150, 200, "", USAGE),
        (40, 200, "", None),
        (40, 200, "cut", None),
        (40, 0, "client_disconnect", None),
        (0, 500, "status", None),
        (0, 0, "exception", None),
        (60, 200, "", Usage(None, 50)),
    ],
)
async def test_the_truth_is_settled(tokens: float, status: int, error_type: ErrorType, usage: Usage | None) -> None:
    """The attempt that answered counts one request, and the tokens that were used; where nobody told, those that were
    foreseen, and none where it failed.
    """
    room = Room([openai(1, LIMITS)])
    attempts = begin(room, Demand(input_tokens=10, output_tokens=30))
    await attempts.pick("openai")
    assert attempts.finish(status, error_type, usage)
    await room.settle_down()

    assert (1, tokens) == used(room)
    assert [] == room.register.records


async def test_a_budget_is_charged_what_the_call_cost() -> None:
    """A budget per key is charged by the usage, with what the provider read from its own cache at its own price."""
    pricing = Pricing(input_token_cost=10, output_token_cost=10, cache_read_token_cost=0)
    rule = LimitRule("budget", per=("key",), cost=2)
    room = Room(
        [LLMProvider("openai", "openai", api_keys=("s",), pricing=pricing)], Policy(limits=LimitsPolicy(rules=(rule,)))
    )
    for usage in (Usage(100, 50, cache_read_tokens=100), Usage(100, 50), None):
        attempts = begin(room, Demand(input_tokens=10))
        await attempts.pick("openai")
        attempts.finish(200, "", usage)
    await room.settle_down()

    assert isinstance(room.store, MemoryStore)
    (budget,) = (tally for name, tally in room.store._ledger.tallies.items() if name.startswith("rule:budget:cost"))
    assert pytest.approx(0.5 + 1.5 + 0.1) == budget.used


async def test_a_report_settles_at_once() -> None:
    """An attempt that is reported counts with what it used, before the request ends."""
    room = Room([openai(1, LIMITS)])
    attempts = begin(room)
    attempts.report(await attempts.pick("openai", 500), "miss", usage=USAGE)
    await room.settle_down()

    assert (1, 150) == used(room)
    assert not attempts.finish(200, "", None)
    assert attempts.has_picked


async def test_a_pick_that_is_not_used_counts_nothing() -> None:
    """A pick that another one follows is given back; nothing is recorded for it, and the key may be picked again."""
    room = Room([openai(1, LIMITS)])
    attempts = begin(room)
    await asyncio.gather(attempts.pick("openai", 40), attempts.pick("openai", 40))
    await attempts.pick("openai", 40)
    await room.settle_down()

    assert (1, 40) == used(room)
    assert [] == room.register.records


async def test_a_late_report_is_still_counted() -> None:
    """An attempt that was given back by another pick and is reported after all has its record."""
    room = Room([openai(2)], Policy(algorithm="round_robin"))
    attempts = begin(room)
    first = await attempts.pick("openai")
    await attempts.pick("openai")
    attempts.report(first, "miss", status=500)

    assert ["openai-1"] == [each.key_id for each in room.register.records]
    assert attempts.finish(200, "", USAGE)


async def test_tokens_are_reserved_as_told() -> None:
    """`tokens` takes the place of the estimate: of what is foreseen to be read, so much as it allows."""
    room = Room([openai(1, LIMITS)])
    for foreseen, tokens in ((10, 500), (900, 500), (0, 0)):
        attempts = begin(room, Demand(input_tokens=foreseen))
        await attempts.pick("openai", tokens)
        attempts.finish(200, "", None)
    await room.settle_down()

    assert (3, 1000) == used(room)


async def test_a_request_without_picks_finishes_nothing() -> None:
    """Where no key was picked, there is nothing to finish; a refusal is kept until a pick succeeds."""
    room = Room([openai(1, KeyLimits(concurrency=1))])
    first, second = begin(room), begin(room)
    await first.pick("openai")
    with pytest.raises(LimitedError) as error:
        await second.pick("openai")
    assert second.refused is error.value
    assert (False, False) == (second.finish(429, "limited", None), second.has_picked)
    first.finish(200, "", None)
    await second.pick("openai")

    assert second.refused is None
