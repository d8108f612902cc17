"""core/memo.py: a repeated request has its plan without being parsed, and nobody has another's."""

from __future__ import annotations

import gzip
import json
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.batch import make_batch
from coo_middleware.core.memo import LONGEST, MAX_BYTES, MAX_PLANS, Memo
from coo_middleware.core.plan import Planner, Target
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.routes import RoutePolicy
from coo_middleware.formats import FORMATS, recognise
from tests.plans import BEARER, CONTENT, HEADERS, JSON_TYPE

if TYPE_CHECKING:
    from coo_middleware.core.batch import Batch
    from coo_middleware.core.format import Route
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.request import Headers

CHAT = "/v1/chat/completions"
ROUTES = (
    RoutePolicy("/teams/*", scope="header:X-Team"),
    RoutePolicy("/off/*", enabled=False),
    RoutePolicy("/loose/*", normalize="loose", provider="mine"),
)


def route_of(path: str) -> Route:
    route = recognise(path)
    assert route is not None
    return route


class Proxy:
    """Requests to one memo, and what its planner alone says of them."""

    def __init__(self, policy: CachePolicy | None = None, routes: tuple[RoutePolicy, ...] = ()) -> None:
        self.planner = Planner(policy or CachePolicy(), routes=routes)
        self.memo = Memo(self.planner)

    def plan(
        self,
        content: bytes = CONTENT,
        headers: Headers = HEADERS,
        path: str = CHAT,
        query: bytes = b"",
        fault: str = "",
    ) -> tuple[Plan, Batch | None]:
        return self.memo.plan(route_of(path), Target(path.encode(), query, headers), content, fault)

    def plan_anew(
        self,
        content: bytes = CONTENT,
        headers: Headers = HEADERS,
        path: str = CHAT,
        query: bytes = b"",
        fault: str = "",
    ) -> tuple[Plan, Batch | None]:
        target = Target(path.encode(), query, headers)
        plan, parts = self.planner.plan_in_parts(route_of(path), target, content, fault)
        return plan, make_batch(plan, parts)

    def recalls(self, content: bytes = CONTENT, headers: Headers = HEADERS, path: str = CHAT) -> bool:
        """Whether the second plan for a request is the very first one."""
        return self.plan(content, headers, path)[0] is self.plan(bytes(bytearray(content)), list(headers), path)[0]


CONTENTS = st.sampled_from(
    [
        CONTENT,
        CONTENT + b" ",
        b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"m","input":["a","b"]}',
        b'{"model":"m","input":"a"}',
        b'{"model":"m","messages":"none"}',
        b'{"model":',
        gzip.compress(CONTENT, mtime=0),
        b"",
    ]
)
FIELDS = st.sampled_from(
    [
        JSON_TYPE,
        (b"Content-Type", b"application/json"),
        (b"content-type", b"text/plain"),
        (b"content-encoding", b"gzip"),
        BEARER,
        (b"authorization", b"Bearer other"),
        (b"x-api-key", b"k"),
        (b"x-team", b"red"),
        (b"x-team", b"blue"),
        (b"openai-beta", b"a"),
        (b"cache-control", b"no-store"),
        (b"cache-control", b"max-age=5"),
        (b"x-coo-namespace", b"n"),
        (b"range", b"bytes=0-1"),
        (b"x-request-id", b"1"),
        (b"x-request-id", b"2"),
    ]
)
PATHS = st.sampled_from(
    [CHAT, "/teams" + CHAT, "/off" + CHAT, "/loose" + CHAT, "/v1/embeddings", "/v1/messages"]
    + [f"/v1beta/models/{model}:{verb}" for model in "ab" for verb in ("generateContent", "streamGenerateContent")]
)
QUERIES = st.sampled_from([b"", b"key=a", b"key=b", b"api-version=1"])
REQUESTS = st.tuples(
    CONTENTS,
    st.lists(FIELDS, max_size=4).map(lambda more: (JSON_TYPE, *more)) | st.lists(FIELDS, max_size=3),
    PATHS,
    QUERIES,
    st.sampled_from(["", "", "", "aborted"]),
)


@given(st.lists(REQUESTS, max_size=12))
def test_plans_are_those_that_would_be_made(
    requests: list[tuple[bytes, list[tuple[bytes, bytes]], str, bytes, str]],
) -> None:
    """Whatever came before, and from whom, every request has the plan and the batch that it has alone."""
    proxy = Proxy(routes=ROUTES)
    for each in (*requests, *requests):
        assert proxy.plan_anew(*each) == proxy.plan(*each)


MESSAGES = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text()}))


@given(MESSAGES, st.sampled_from([BEARER, (b"authorization", b"Bearer other")]), st.booleans())
def test_any_content_has_its_plan(messages: object, caller: tuple[bytes, bytes], stream: bool) -> None:
    """A content that was seen has the plan that it has alone, for either of two callers."""
    proxy = Proxy()
    content = json.dumps({"model": "m", "messages": messages, "stream": stream}).encode()
    proxy.plan(content, (JSON_TYPE, BEARER))

    assert proxy.plan_anew(content, (JSON_TYPE, caller)) == proxy.plan(content, (JSON_TYPE, caller))


def test_a_repeated_request_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before has its plan with no look into the content, though fields that say nothing differ."""
    proxy = Proxy()
    first, _ = proxy.plan(headers=(*HEADERS, (b"x-request-id", b"1")))
    monkeypatch.delattr("coo_middleware.core.plan.parse_document")
    again, _ = proxy.plan(bytes(bytearray(CONTENT)), headers=[(b"X-Request-Id", b"2"), *HEADERS])

    assert first is again


@pytest.mark.parametrize(
    "field",
    [
        (b"authorization", b"Bearer other"),
        (b"x-api-key", b""),
        (b"cookie", b"a=1"),
        (b"cache-control", b"no-cache"),
        (b"x-coo-tags", b"t"),
        (b"anthropic-version", b"1"),
        (b"content-type", b"text/plain"),
        (b"x-team", b"red"),
    ],
)
def test_a_changed_field_is_another_request(field: tuple[bytes, bytes]) -> None:
    """A request with a field that counts anywhere never has the plan of one without it."""
    proxy = Proxy(routes=ROUTES)
    plain, _ = proxy.plan()

    assert plain is not proxy.plan(headers=(*HEADERS, field))[0]
    assert plain is not proxy.plan(headers=(JSON_TYPE, field))[0]
    assert plain is proxy.plan()[0]


def test_a_changed_path_query_or_route_is_another_request() -> None:
    """Path, query and what the path says are part of what a plan is found under."""
    proxy = Proxy()
    plain, _ = proxy.plan()
    target = Target(CHAT.encode(), b"", HEADERS)

    assert plain is not proxy.plan(path="/x" + CHAT)[0]
    assert plain is not proxy.plan(query=b"a")[0]
    assert plain is not proxy.memo.plan(route_of("/models/chat/completions"), target, CONTENT)[0]
    assert plain is proxy.memo.plan(route_of(CHAT), target, CONTENT)[0]


def test_bytes_over_a_border_are_another_request() -> None:
    """Bytes that move from one part to its neighbour are no repetition."""
    proxy = Proxy()
    plans = [
        proxy.plan(headers=(*HEADERS, (b"openai-beta", b"ab"), (b"accept-language", b"c")))[0],
        proxy.plan(headers=(*HEADERS, (b"openai-beta", b"a"), (b"accept-language", b"bc")))[0],
        proxy.plan(headers=(*HEADERS, (b"openai-beta", b"abaccept-languagec")))[0],
        proxy.plan(query=b"ab")[0],
        proxy.plan(query=b"a")[0],
    ]

    assert len(plans) == len({id(plan) for plan in plans})


def test_names_of_formats_tell_them_apart() -> None:
    """No two formats have one name, under which a plan is found."""
    assert len(FORMATS) == len({fmt.name for fmt in FORMATS})


@pytest.mark.parametrize(
    ("policy", "content", "fields", "path"),
    [
        (CachePolicy(), CONTENT, [(b"cache-control", b"no-store")], CHAT),
        (CachePolicy(), CONTENT, [(b"x-coo-cache", b"off")], CHAT),
        (CachePolicy(enabled=False), CONTENT, [], CHAT),
        (CachePolicy(mode="observe"), CONTENT, [], CHAT),
        (CachePolicy(), b"no document", [], CHAT),
        (CachePolicy(), b'{"model":"m","input":["a","b"]}', [], "/v1/embeddings"),
        (CachePolicy(), CONTENT + b" " * LONGEST, [], CHAT),
    ],
)
def test_what_may_not_be_kept_is_not(
    policy: CachePolicy, content: bytes, fields: list[tuple[bytes, bytes]], path: str
) -> None:
    """Nothing is kept of what must not be stored, bypasses the cache, is only observed, is a batch or is large."""
    proxy = Proxy(policy)

    assert not proxy.recalls(content, (*HEADERS, *fields), path)
    assert 0 == len(proxy.memo._plans)


def test_no_store_leaves_nothing_behind() -> None:
    """Not even the envelope of a request with `no-store` is kept (RFC 9111 section 5.2.1.5)."""
    proxy = Proxy()
    proxy.plan(headers=(*HEADERS, (b"cache-control", b"no-store")))

    assert 0 == len(proxy.memo._envelopes)


def test_an_input_alone_is_kept() -> None:
    """A request to embed that is no batch is repeated like any other, a bracket in its text or none."""
    assert Proxy().recalls(b'{"model":"m","input":"a"}', path="/v1/embeddings")
    assert Proxy().recalls(b'{"model":"m","input":"[a]"}', path="/v1/embeddings")


def test_what_is_kept_is_bounded() -> None:
    """Many contents and long ones, from many callers, take no more than there is room for."""
    proxy = Proxy()
    for turn in range(MAX_PLANS + 100):
        content = b'{"model":"m","messages":[{"role":"user","content":"%d%b"}]}' % (turn, b"x" * (turn * 5))
        proxy.plan(content, (JSON_TYPE, (b"authorization", b"Bearer %d" % turn)))
    held = (*proxy.memo._plans._younger.values(), *proxy.memo._plans._elder.values())

    assert sum(len(plan.content) for plan, _ in held) <= MAX_BYTES
    assert sum(size for _, size in held) <= MAX_BYTES
    assert 0 < len(proxy.memo._envelopes) <= 1024


def test_no_credential_is_kept() -> None:
    """Neither in what plans are found under, nor in them."""
    proxy = Proxy()
    proxy.plan(headers=(JSON_TYPE, (b"authorization", b"Bearer sk-canary")), query=b"key=sk-canary")

    assert "sk-canary" not in repr((proxy.memo._plans._younger, proxy.memo._envelopes._younger))


def is_frozen(value: object) -> bool:
    """Whether neither a value nor anything in it can be changed."""
    if is_dataclass(value) and not isinstance(value, type):
        sealed = value.__dataclass_params__.frozen  # type: ignore[attr-defined]
        return bool(sealed) and all(is_frozen(getattr(value, each.name)) for each in fields(value))
    if isinstance(value, tuple | frozenset):
        return all(map(is_frozen, value))
    return value is None or callable(value) or isinstance(value, str | bytes | int | float)


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/messages", "/v1/responses", "/v1/rerank"])
def test_plans_can_be_shared(path: str) -> None:
    """Nothing in a plan can be changed by one of those who share it."""
    fields_of = (*HEADERS, (b"x-coo-tags", b"a,b"), (b"cache-control", b"max-age=5"))
    content = b'{"model":"m","stream":true,"input":"a","messages":[],"query":"q","documents":["a"]}'

    assert is_frozen(Proxy().plan(content, fields_of, path)[0])
