"""Health: when a key rests, for how long, and how it comes back."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.health import Fading, Health, Latency, Verdict, judge_attempt
from coo_middleware.core.record import ErrorType


def make_health() -> Health:
    return Health(pause=5.0, longest=300.0)


@pytest.mark.parametrize(
    ("verdict", "status", "error_type"),
    [
        ("sound", 200, ""),
        ("limited", 429, "status"),
        ("refused", 401, "status"),
        ("refused", 402, "status"),
        ("refused", 403, "status"),
        ("failed", 500, "status"),
        ("failed", 529, "status"),
        ("failed", 408, "status"),
        ("failed", 0, "exception"),
        ("failed", 200, "in_stream"),
        ("failed", 200, "cut"),
        ("unknown", 400, "status"),
        ("unknown", 404, "status"),
        ("unknown", 200, "client_disconnect"),
        ("unknown", 429, "limited"),
    ],
)
def test_whose_fault_it_is(verdict: Verdict, status: int, error_type: ErrorType) -> None:
    """429, what is wrong with the credentials, and what the provider failed in are the key's; all else is not."""
    assert verdict == judge_attempt(status, error_type)


def test_a_rest_is_doubled_in_a_row_and_bounded() -> None:
    """Each rest without a success in between is twice as long as the last, at most the longest; a success ends that."""
    health, now, rests = make_health(), 0.0, []
    for _ in range(8):
        rests.append(health.note("limited", now, now, None))
        now = health.until
    health.note("sound", now, now + 1, None)

    assert [5, 10, 20, 40, 80, 160, 300, 300] == rests
    assert 5 == health.note("limited", now + 1, now + 1, None)


@pytest.mark.parametrize(("told", "seconds"), [(17.5, 17.5), (4000.0, 300.0), (0.0, 5.0), (None, 5.0)])
def test_what_the_provider_says_counts(told: float | None, seconds: float) -> None:
    """A key rests for as long as the provider says, the longest at most; where it says nothing, or 0, as configured."""
    health = make_health()

    assert seconds == health.note("limited", 0.0, 1.0, told)
    assert seconds == health.wait(1.0)


def test_bad_credentials_rest_for_longest() -> None:
    """A key that is refused rests for the longest time at once."""
    assert 300 == make_health().note("refused", 0.0, 1.0, None)


def test_calls_under_way_together_count_as_one() -> None:
    """Failures of calls that began before the rest did do not make the next one longer, nor do their successes end the
    row.
    """
    health = make_health()
    rests = [health.note("limited", began, 10.0, None) for began in (9.0, 9.1, 9.2)]
    health.note("sound", 9.3, 11.0, None)

    assert [5, 5, 5] == rests
    assert 10 == health.note("limited", 15.0, 15.0, None)


def test_a_rest_is_not_cut_short() -> None:
    """A shorter rest that begins during a longer one changes nothing."""
    health = make_health()
    health.rest(60.0, 0.0)
    health.rest(5.0, 1.0)

    assert 59 == health.wait(1.0)


def test_an_idle_key_rests_at_its_first_failure() -> None:
    """One failure of a key that is hardly called is enough."""
    health = make_health()
    health.note("sound", 0.0, 0.0, None)

    assert 5 == health.note("failed", 10.0, 10.0, None)


def test_a_busy_key_may_fail_now_and_then() -> None:
    """A key of which one call in fifty fails never rests; one that fails altogether does within two seconds."""
    health = make_health()
    rests = [
        health.note("sound" if place % 50 else "failed", place / 20, place / 20, None) for place in range(30, 2000)
    ]
    failures = [health.note("failed", 99 + place / 20, 99 + place / 20, None) for place in range(40)]

    assert 0 == max(rests)
    assert 5 <= max(failures)


def test_it_comes_back_little_by_little() -> None:
    """After a rest the strength grows from 0 to 1 in the time that the rest took."""
    health = make_health()
    assert 1 == health.strength(0.0)
    health.rest(10.0, 0.0)

    assert [0, 0, 0.25, 1, 1] == [health.strength(now) for now in (5.0, 10.0, 12.5, 20.0, 99.0)]


def test_nothing_is_learnt_from_what_nobody_knows() -> None:
    """A client that left, or a request that was wrong, changes nothing."""
    health = make_health()
    health.note("unknown", 0.0, 1.0, 60.0)

    assert make_health() == health


def test_errors_fade() -> None:
    """The error share is that of the last calls, and goes to 0 where there are none."""
    health = make_health()
    for _ in range(99):
        health.note("failed", 0.0, 0.0, None)

    assert pytest.approx(0.99) == health.error_share(0.0)
    assert 0.01 > health.error_share(100.0)


def test_the_latency_follows_and_forgives() -> None:
    """The first measurement is the average, a later one moves it, and an idle key's goes to 0."""
    latency = Latency()
    assert 0 == latency.read(5.0)
    latency.add(8.0, 5.0)
    assert 8 == latency.read(5.0)
    latency.add(2.0, 5.0)
    assert pytest.approx(7.4) == latency.read(5.0)
    latency.add(2.0, 105.0)

    assert pytest.approx(2, rel=1e-3) == latency.read(105.0)
    assert pytest.approx(2 * exp(-5), rel=1e-3) == latency.read(405.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), max_size=30))
def test_a_fading_sum_is_what_is_left_of_each(amounts: list[tuple[float, float]]) -> None:
    """The sum is that of all amounts, each faded by its own age."""
    fading, now, expected = Fading(10.0), 0.0, 0.0
    for amount, pause in amounts:
        now += pause
        expected = expected * exp(-pause / 10) + amount
        fading.add(amount, now)

    assert pytest.approx(expected) == fading.read(now)
