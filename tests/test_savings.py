"""core/savings.py: a record is replayed as the cache would have met it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core import savings
from coo_middleware.core.outcome import Usage
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.savings import Call, Fate, Replay, Saving
from tests.plans import HEADERS, make_plan

TTL = 10.0


def make_call(time: float, text: str = "hi", *, ttl: float = TTL, control: bytes = b"", swr: float = 0.0) -> Call:
    """A call of one second, of 40 tokens and 0.05 dollars."""
    content = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    fields = ((b"cache-control", control),) if control else ()
    policy = CachePolicy(stale_while_revalidate_seconds=swr)
    return Call(make_plan(content, (*HEADERS, *fields), policy=policy), time, 1.0, ttl, Usage(30, 10), 0.05)


def fates(*calls: Call) -> list[Fate]:
    replay = Replay()
    return [replay.add(call) for call in calls]


@pytest.mark.parametrize(
    ("later", "fate"), [(0.0, "collapsed"), (0.9, "collapsed"), (1.0, "hit"), (10.9, "hit"), (11.0, "miss")]
)
def test_an_equal_request_is_shared_then_reused_then_asked_again(later: float, fate: Fate) -> None:
    """While the first call is under way it is shared, for the lifetime of its answer that is reused, and not after."""
    assert ["miss", fate] == fates(make_call(100.0), make_call(100.0 + later))


def test_another_prompt_is_another_call() -> None:
    """What has another key shares nothing; what normalization makes equal does."""
    assert ["miss", "miss", "hit"] == fates(make_call(1.0), make_call(5.0, "ho"), make_call(5.0, " hi "))


def test_what_may_not_be_stored_is_not_reused() -> None:
    """A call without a lifetime is shared while it lasts; one that fails leaves an older answer as it is."""
    assert ["miss", "collapsed", "miss"] == fates(make_call(1.0, ttl=0), make_call(1.5, ttl=0), make_call(3.0, ttl=0))
    assert ["miss", "miss", "hit"] == fates(make_call(1.0), make_call(3.0, ttl=0, control=b"no-cache"), make_call(5.0))


def test_wishes_count() -> None:
    """What the request asks of the cache is heeded as the middleware does."""
    assert ["miss", "miss"] == fates(make_call(1.0), make_call(5.0, control=b"no-cache"))
    assert ["miss", "miss"] == fates(make_call(1.0), make_call(9.0, control=b"max-age=3"))


def test_a_stale_answer_serves_and_is_made_anew() -> None:
    """Within its grace it answers, and after that the next one is fresh again."""
    calls = [make_call(time, swr=60.0) for time in (1.0, 20.0, 25.0)]

    assert ["miss", "stale", "hit"] == fates(*calls)


def test_a_request_without_a_key_bypasses() -> None:
    """It is counted as such, and answers nobody."""
    call = Call(make_plan(b"[]"), 1.0, 1.0, TTL)

    assert ["bypass", "bypass"] == fates(call, call)


def test_savings_add_up() -> None:
    """Hits and shared calls save what they would have used; a stale answer's refresh costs what it spares."""
    call, unknown = make_call(1.0), Call(make_plan(), 1.0, 1.0, TTL)
    told = Saving().add(call, "miss").add(call, "hit").add(call, "collapsed").add(call, "stale").add(unknown, "bypass")

    assert (160, 80) == (told.tokens, told.tokens_saved)
    assert [pytest.approx(0.2), pytest.approx(0.1)] == [told.cost, told.cost_saved]
    assert (5, 1, 1, 3 / 4) == (told.requests, told.unmeasured, told.unpriced, told.hit_ratio)
    assert told.join(told).tokens == 2 * told.tokens
    assert Saving().hit_ratio is None


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abc")), max_size=60))
def test_letting_go_changes_nothing(steps: list[tuple[float, str]]) -> None:
    """What is let go while a record is read would have answered nobody, and what is held is of use."""
    with pytest.MonkeyPatch.context() as patch:
        time, calls = 0.0, []
        for pause, text in steps:
            time += pause
            calls.append(make_call(time, text))
        told = fates(*calls)
        patch.setattr(savings, "_SWEPT_CALLS", 1)
        replay = Replay()

        assert told == [replay.add(call) for call in calls]
        assert all(savings._is_of_use(each, time) for each in list(replay._kept.values())[:-1])
