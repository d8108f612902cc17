"""core/notice.py: what an answer says about the cache."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.directives import Directives
from coo_middleware.core.entry import Entry
from coo_middleware.core.notice import (
    add_fields,
    forward_fields,
    hit_fields,
    resize_fields,
    shared_fields,
    spare_fields,
)
from coo_middleware.core.plan import Plan
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.shape import Shape
from coo_middleware.formats import FORMATS

ENTRY = Entry(
    digest=b"\0" * 32,
    created=1_000.0,
    ttl=10.0,
    provider="openai",
    key_id="k",
    model="m",
    format="chat",
    shape=Shape(stream=False),
    usage=None,
    headers=((b"content-type", b"application/json"),),
    content=b'{"a":1}',
)
PLAN = Plan(
    format=FORMATS[0],
    provider="openai",
    model="m",
    shape=Shape(stream=False),
    caller="anonymous",
    directives=Directives(),
    policy=CachePolicy(),
    digest=b"\0" * 32,
    bypass="",
    content=b"",
    asking=None,
)
BODY, STREAM = Shape(stream=False), Shape(stream=True)
# RFC 9211 section 2: members are parameters of an item (RFC 8941); `detail` is a token here.
CACHE_STATUS = re.compile(
    rb"coo; (?:hit; ttl=-?\d+|fwd=(?:miss|bypass|request|stale)(?:; fwd-status=\d+)?(?:; stored)?(?:; collapsed)?"
    rb"(?:; detail=[A-Za-z*][!#-'*+.^-z|~:/\w-]*)?)"
)


def test_hit_tells_age_and_lifetime() -> None:
    """A reused answer tells its whole seconds of age and of freshness left, and its content's length."""
    assert [
        (b"content-type", b"application/json"),
        (b"age", b"3"),
        (b"cache-status", b"coo; hit; ttl=6"),
        (b"x-coo-cache", b"HIT"),
        (b"content-length", b"7"),
    ] == hit_fields(ENTRY, 1_003.5, BODY, 7)


def test_reused_stream_tells_no_length() -> None:
    """A reused stream has the fields of a stream."""
    assert [(b"age", b"0"), (b"cache-status", b"coo; hit; ttl=10"), (b"x-coo-cache", b"HIT")] == hit_fields(
        replace(ENTRY, shape=STREAM, headers=()), 1_000.0, STREAM, 7
    )


@pytest.mark.parametrize(
    ("now", "age", "ttl"),
    [(990.0, b"0", b"20"), (1_009.9, b"9", b"0"), (1_010.0, b"10", b"0"), (2_000.0, b"1000", b"-990")],
)
def test_an_age_is_never_negative(now: float, age: bytes, ttl: bytes) -> None:
    """A clock that went back makes no age below 0; a lifetime that is over is (RFC 9211 section 2.4)."""
    fields = dict(hit_fields(ENTRY, now, BODY, 7))

    assert (age, b"coo; hit; ttl=" + ttl) == (fields[b"age"], fields[b"cache-status"])


def test_hit_fields_are_a_fresh_list() -> None:
    """A layer above that adds to one answer's fields adds to no other's."""
    hit_fields(ENTRY, 1_000.0, BODY, 7).append((b"x-mine", b"1"))

    assert (b"x-mine", b"1") not in hit_fields(ENTRY, 1_000.0, BODY, 7)


@pytest.mark.parametrize(
    ("bypass", "directives", "status", "ours"),
    [
        ("", Directives(), b"coo; fwd=miss", b"MISS"),
        ("", Directives(max_age=5, only_if_cached=True), b"coo; fwd=miss", b"MISS"),
        ("", Directives(no_cache=True), b"coo; fwd=request; detail=no-cache", b"MISS"),
        ("", Directives(no_store=True), b"coo; fwd=request; detail=no-store", b"BYPASS"),
        ("", Directives(no_store=True, no_cache=True), b"coo; fwd=request; detail=no-store", b"BYPASS"),
        ("range", Directives(), b"coo; fwd=bypass; detail=range", b"BYPASS"),
        ("range", Directives(no_store=True), b"coo; fwd=bypass; detail=range", b"BYPASS"),
    ],
)
def test_forward_tells_why(bypass: str, directives: Directives, status: bytes, ours: bytes) -> None:
    """A forwarded answer tells the first of its reasons (RFC 9211 section 2.2)."""
    plan = replace(PLAN, bypass=bypass, directives=directives)

    assert ((b"cache-status", status), (b"x-coo-cache", ours)) == forward_fields(plan)


def test_stored_and_collapsed_are_told() -> None:
    """What is going to be stored says so, and so does what another request's call brought, under a mark of its own."""
    anew = replace(PLAN, directives=Directives(no_cache=True))

    assert ((b"cache-status", b"coo; fwd=stale; stored"), (b"x-coo-cache", b"MISS")) == forward_fields(
        PLAN, "stale", stored=True
    )
    assert ((b"cache-status", b"coo; fwd=miss; collapsed"), (b"x-coo-cache", b"COLLAPSED")) == forward_fields(
        PLAN, collapsed=True
    )
    assert (b"cache-status", b"coo; fwd=request; stored; detail=no-cache") == forward_fields(anew, stored=True)[0]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (503, b"coo; fwd=stale; fwd-status=503; detail=stale-if-error"),
        (0, b"coo; fwd=stale; detail=stale-if-error"),
    ],
)
def test_what_stands_in_tells_why(status: int, told: bytes) -> None:
    """A stale answer in place of a failure tells the failure's status where there was one (RFC 9211 section 2.3)."""
    fields = dict(spare_fields(ENTRY, 1_015.0, BODY, 7, status))

    assert (b"15", told, b"STALE") == (fields[b"age"], fields[b"cache-status"], fields[b"x-coo-cache"])


def test_a_shared_answer_tells_what_is_true_for_all() -> None:
    """Of the header section others get its type, length and when to come back: no cookie and no identifier."""
    headers = ((b"Content-Type", b"a/b"), (b"Retry-After", b"7"), (b"set-cookie", b"a=1"), (b"x-request-id", b"r"))

    assert [*headers[:2], *OURS] == shared_fields(headers, OURS, rewritten=False)


@given(
    st.floats(0, 1e12),
    st.sampled_from(["", "range", "not-utf-8", "byte-order-mark", "credentials", "stored-completion", "too-large"]),
    st.booleans(),
    st.booleans(),
)
def test_notices_keep_the_grammar(now: float, bypass: str, no_store: bool, no_cache: bool) -> None:
    """Whatever is told is a Cache-Status as RFC 9211 writes it."""
    plan = replace(PLAN, bypass=bypass, directives=Directives(no_store=no_store, no_cache=no_cache))

    assert CACHE_STATUS.fullmatch(dict(hit_fields(ENTRY, now, BODY, 7))[b"cache-status"])
    assert CACHE_STATUS.fullmatch(dict(forward_fields(plan))[b"cache-status"])


HEADERS = (
    (b"Content-Length", b"7"),
    (b"set-cookie", b"a=1"),
    (b"X-Coo-Cache", b"HIT"),
    (b"set-cookie", b"b=2"),
    (b"cache-status", b"upstream; hit"),
    (b"x-coo-cache", b"HIT"),
)
OURS = ((b"cache-status", b"coo; fwd=miss"), (b"x-coo-cache", b"MISS"))


def test_our_fields_come_last_and_once() -> None:
    """Ours follow the app's, a nearer cache's Cache-Status among them; a forged one of ours goes, all others stay."""
    assert [
        (b"Content-Length", b"7"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"cache-status", b"upstream; hit"),
        *OURS,
    ] == add_fields(HEADERS, OURS, rewritten=False)


def test_resized_answer_tells_no_length() -> None:
    """Where bytes are taken out, the length that was told goes."""
    assert [*HEADERS[1:2], *HEADERS[3:5], *OURS] == add_fields(HEADERS, OURS, rewritten=True)


def test_request_s_length_is_corrected() -> None:
    """Every Content-Length says the new length, all else stays, and none is added."""
    assert [(b"Content-Length", b"42"), *HEADERS[1:]] == resize_fields(HEADERS, 42)
    assert list(HEADERS[1:]) == resize_fields(HEADERS[1:], 42)
