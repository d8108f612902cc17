"""core/freshness.py: what a stored response is good for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.directives import Directives
from coo_middleware.core.freshness import UNUSABLE, Verdict, judge
from tests.test_notice import ENTRY

if TYPE_CHECKING:
    from coo_middleware.core.entry import Entry

PLAIN = replace(ENTRY, created=1_000.0)
LASTING = replace(PLAIN, stale_if_error=100.0)
WHILE = replace(LASTING, stale_while_revalidate=30.0)
ERRORS = replace(PLAIN, stale_if_error=60.0)
BRIEF = replace(PLAIN, stale_while_revalidate=30.0)
NEVER = Directives(stale_if_error=0)
FRESH, REFUSED = Verdict(True, False, False, "request"), Verdict(False, False, False, "request")
STALE, OLD = Verdict(True, False, False, "stale"), Verdict(False, False, False, "stale")
RENEWED, SPARED = Verdict(True, True, False, "stale"), Verdict(False, False, True, "stale")


def sparing(verdict: Verdict) -> Verdict:
    return replace(verdict, spares=True)


@pytest.mark.parametrize(
    ("age", "wishes", "entry", "verdict"),
    [
        (0, Directives(), PLAIN, FRESH),
        (9.99, Directives(), PLAIN, FRESH),
        (-9.99, Directives(), PLAIN, FRESH),
        (-10, Directives(), PLAIN, UNUSABLE),
        (-3_600, Directives(max_stale=float("inf")), LASTING, UNUSABLE),
        (5, Directives(max_age=5), PLAIN, FRESH),
        (5.01, Directives(max_age=5), PLAIN, REFUSED),
        (-5, Directives(max_age=0), PLAIN, FRESH),
        (5, Directives(min_fresh=5), PLAIN, FRESH),
        (5.01, Directives(min_fresh=5), PLAIN, REFUSED),
        (10, Directives(), PLAIN, UNUSABLE),
        (10, Directives(), LASTING, SPARED),
        (10, NEVER, LASTING, OLD),
        (10, replace(NEVER, max_stale=0), LASTING, STALE),
        (15, Directives(max_stale=5), LASTING, sparing(STALE)),
        (15.01, replace(NEVER, max_stale=5), LASTING, OLD),
        (15, replace(NEVER, max_stale=5, max_age=15), LASTING, STALE),
        (15, replace(NEVER, max_stale=5, max_age=14), LASTING, OLD),
        (15, replace(NEVER, max_stale=5, min_fresh=0), LASTING, OLD),
        (109.99, Directives(max_stale=float("inf")), LASTING, sparing(STALE)),
        (110, Directives(max_stale=float("inf")), LASTING, UNUSABLE),
        (39.99, NEVER, WHILE, RENEWED),
        (39.99, Directives(), WHILE, sparing(RENEWED)),
        (40, NEVER, WHILE, OLD),
        (40, replace(NEVER, max_stale=30), WHILE, STALE),
        (20, replace(NEVER, max_age=19), WHILE, OLD),
        (20, replace(NEVER, min_fresh=0), WHILE, OLD),
        (39.99, Directives(), BRIEF, RENEWED),
        (40, Directives(), BRIEF, UNUSABLE),
        (69.99, Directives(), ERRORS, SPARED),
        (70, Directives(), ERRORS, UNUSABLE),
        (20, Directives(max_age=1), ERRORS, SPARED),
        (20, Directives(stale_if_error=11), BRIEF, sparing(RENEWED)),
        (20, Directives(stale_if_error=10), ERRORS, OLD),
        (20, NEVER, ERRORS, OLD),
        (5, Directives(max_age=1), ERRORS, sparing(REFUSED)),
    ],
)
def test_a_response_is_judged(age: float, wishes: Directives, entry: Entry, verdict: Verdict) -> None:
    """A response with a lifetime of 10 seconds answers as the request allows, and stale as it was stored to."""
    assert verdict == judge(entry, wishes, 1_000.0 + age)


def test_without_grace_nothing_is_stale() -> None:
    """An answer that must not be reused stale is good for nothing after its lifetime, whatever is asked."""
    assert UNUSABLE == judge(PLAIN, Directives(max_stale=60, stale_if_error=60), 1_010.0)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-(10**6), 10**6))
def test_fresh_for_no_longer_than_two_lifetimes(created: int, ttl: int, now: int) -> None:
    """Whatever a clock said, the times at which a response is fresh span less than two lifetimes."""
    entry = replace(ENTRY, created=created, ttl=ttl)

    assert not all(judge(entry, Directives(), time).serves for time in (now, now + 2 * ttl))
