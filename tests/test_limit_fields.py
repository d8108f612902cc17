"""What answers say of limits, byte by byte."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.demand import KINDS, Kind
from coo_middleware.core.limit_fields import Standing, limit_fields
from coo_middleware.core.limit_rules import Limit

# RFC 9651 section 3.1, as far as it is used: strings with parameters that are integers or strings.
_ITEM = r'"[A-Za-z0-9._:-]+"(;(q|w|r|t)=\d{1,15}|;qu="[a-z-]+")+'
_LIST = re.compile(rf"{_ITEM}(, {_ITEM})*")


def make(label: str, kind: Kind, quota: float, window: float, left: tuple[float, float]) -> Standing:
    limit = Limit("rule", label, f"rule:secret:{label}", kind, quota, window, counts_hits=False)
    return Standing(limit, *left)


def fields(*standings: Standing) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in limit_fields(standings)}


def test_no_limits_add_nothing() -> None:
    """An answer without limits has no field about them."""
    assert () == limit_fields(())


def test_requests_are_told_in_both_languages() -> None:
    """A limit of requests is a policy and a state of the IETF's draft, and three fields as OpenAI has them."""
    assert [
        (b"ratelimit-policy", b'"minute";q=60;w=60'),
        (b"ratelimit", b'"minute";r=40;t=17'),
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"40"),
        (b"x-ratelimit-reset-requests", b"17s"),
    ] == limit_fields([make("minute", "requests", 60.0, 60.0, (40.0, 16.5))])


@pytest.mark.parametrize(
    ("standing", "policy", "state"),
    [
        (make("t", "tokens", 1e5, 60.0, (412.9, 1.0)), '"t";q=100000;qu="tokens";w=60', '"t";r=412;t=1'),
        (make("i", "input_tokens", 9.0, 1.5, (9.0, 0.0)), '"i";q=9;qu="input-tokens";w=2', '"i";r=9;t=0'),
        (make("o", "output_tokens", 9.0, 1.0, (-3.0, 0.1)), '"o";q=9;qu="output-tokens";w=1', '"o";r=0;t=1'),
        (make("c", "cost", 2.5, 86400.0, (0.25, 9.0)), '"c";q=2500000;qu="usd-micros";w=86400', '"c";r=250000;t=9'),
        (make("n", "concurrency", 5.0, 0.0, (2.0, 30.0)), '"n";q=5;qu="concurrent-requests"', '"n";r=2'),
    ],
    ids=lambda each: each.limit.kind if isinstance(each, Standing) else "",
)
def test_each_kind_has_its_unit(standing: Standing, policy: str, state: str) -> None:
    """A quota unit says what is counted; costs are millionths of a dollar, and what is left is never below 0."""
    told = fields(standing)

    assert (policy, state) == (told["ratelimit-policy"], told["ratelimit"])


def test_only_the_tightest_is_told_twice() -> None:
    """All limits are in the lists; OpenAI's fields tell of the one of each kind of which least is left, and of two
    alike of the one that is whole later.
    """
    told = fields(
        make("day", "requests", 1000.0, 86400.0, (3.0, 5400.0)),
        make("minute", "requests", 60.0, 60.0, (40.0, 30.0)),
        make("hour", "requests", 10.0, 3600.0, (3.0, 90.0)),
        make("t", "tokens", 500.0, 60.0, (500.0, 0.0)),
        make("n", "concurrency", 5.0, 0.0, (1.0, 30.0)),
    )

    assert ["1000", "3", "1h30m0s"] == [
        told[f"x-ratelimit-{each}-requests"] for each in ("limit", "remaining", "reset")
    ]
    assert ["500", "500", "0s"] == [told[f"x-ratelimit-{each}-tokens"] for each in ("limit", "remaining", "reset")]
    assert 8 == len(told)
    assert 5 == told["ratelimit"].count("r=")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.0001, "1ms"),
        (0.35, "350ms"),
        (0.9991, "1s"),
        (1.0, "1s"),
        (17.2, "18s"),
        (59.5, "1m0s"),
        (90.0, "1m30s"),
        (360.0, "6m0s"),
        (3600.0, "1h0m0s"),
        (3_024_000.0, "840h0m0s"),
    ],
)
def test_times_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    """A time is rounded up, in milliseconds below a second."""
    assert text == fields(make("a", "requests", 1.0, 60.0, (0.0, seconds)))["x-ratelimit-reset-requests"]


@given(
    st.lists(
        st.builds(
            make,
            st.from_regex(r"[A-Za-z0-9._-]{1,64}(:[a-z_]+)?", fullmatch=True),
            st.sampled_from(KINDS),
            st.floats(0.001, 1e12),
            st.floats(0.01, 3_024_000.0),
            st.tuples(st.floats(-1e12, 1e12), st.floats(0, 3_024_000.0)),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_the_fields_are_structured_fields(standings: list[Standing]) -> None:
    """Whatever the amounts are, both fields are lists as RFC 9651 has them, and tell nobody whose limits they are."""
    told = fields(*standings)

    assert _LIST.fullmatch(told["ratelimit-policy"])
    assert _LIST.fullmatch(told["ratelimit"])
    assert "secret" not in "".join(told.values())
