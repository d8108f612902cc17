"""core/freshness.py: what a stored response is good for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.directives import Directives
from coo_middleware.core.freshness import UNUSABLE, Verdict, judge
from coo_middleware.core.policy import CachePolicy
from tests.test_notice import ENTRY

GRACE = 100.0
KEPT = replace(ENTRY, grace=GRACE)
PLAIN = CachePolicy()
WHILE = CachePolicy(stale_while_revalidate_seconds=30)
ERRORS = CachePolicy(stale_if_error_seconds=60)
SERVED, REFUSED = Verdict(True, False, False, "request"), Verdict(False, False, False, "request")
STALE, OLD = Verdict(True, False, False, "stale"), Verdict(False, False, False, "stale")
RENEWED, SPARED = Verdict(True, True, False, "stale"), Verdict(False, False, True, "stale")


@pytest.mark.parametrize(
    ("age", "wishes", "policy", "verdict"),
    [
        (0, Directives(), PLAIN, SERVED),
        (9.99, Directives(), PLAIN, SERVED),
        (-9.99, Directives(), PLAIN, SERVED),
        (-10, Directives(), PLAIN, UNUSABLE),
        (-3_600, Directives(max_stale=float("inf")), PLAIN, UNUSABLE),
        (5, Directives(max_age=5), PLAIN, SERVED),
        (5.01, Directives(max_age=5), PLAIN, REFUSED),
        (-5, Directives(max_age=0), PLAIN, SERVED),
        (5, Directives(min_fresh=5), PLAIN, SERVED),
        (5.01, Directives(min_fresh=5), PLAIN, REFUSED),
        (10, Directives(), PLAIN, OLD),
        (10, Directives(max_stale=0), PLAIN, STALE),
        (15, Directives(max_stale=5), PLAIN, STALE),
        (15.01, Directives(max_stale=5), PLAIN, OLD),
        (15, Directives(max_stale=5, max_age=15), PLAIN, STALE),
        (15, Directives(max_stale=5, max_age=14), PLAIN, OLD),
        (15, Directives(max_stale=5, min_fresh=0), PLAIN, OLD),
        (109.99, Directives(max_stale=float("inf")), PLAIN, STALE),
        (110, Directives(max_stale=float("inf")), PLAIN, UNUSABLE),
        (39.99, Directives(), WHILE, RENEWED),
        (40, Directives(), WHILE, OLD),
        (40, Directives(max_stale=30), WHILE, STALE),
        (20, Directives(max_age=19), WHILE, OLD),
        (20, Directives(min_fresh=0), WHILE, OLD),
        (69.99, Directives(), ERRORS, SPARED),
        (70, Directives(), ERRORS, OLD),
        (20, Directives(max_age=1), ERRORS, SPARED),
        (20, Directives(stale_if_error=11), PLAIN, SPARED),
        (20, Directives(stale_if_error=10), ERRORS, OLD),
        (20, Directives(stale_if_error=0), ERRORS, OLD),
        (5, Directives(max_age=1), ERRORS, replace(REFUSED, spares=True)),
    ],
)
def test_a_response_is_judged(age: float, wishes: Directives, policy: CachePolicy, verdict: Verdict) -> None:
    """A response with a lifetime of 10 seconds and a grace of 100 answers as request and policy allow."""
    assert verdict == judge(replace(KEPT, created=1_000.0), wishes, policy, 1_000.0 + age)


def test_without_grace_nothing_is_stale() -> None:
    """An answer that must not be reused stale is good for nothing after its lifetime, whatever is asked."""
    assert UNUSABLE == judge(ENTRY, Directives(max_stale=60, stale_if_error=60), WHILE, ENTRY.created + 10)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-(10**6), 10**6))
def test_fresh_for_no_longer_than_two_lifetimes(created: int, ttl: int, now: int) -> None:
    """Whatever a clock said, the times at which a response is fresh span less than two lifetimes."""
    entry = replace(ENTRY, created=created, ttl=ttl)

    assert not all(judge(entry, Directives(), PLAIN, time).serves for time in (now, now + 2 * ttl))
