"""core/plan.py: from a request to a cache key, or to the reason why it bypasses the cache."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.directives import Directives
from coo_middleware.core.format import Route
from coo_middleware.core.plan import Planner, Target
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.shape import Shape
from coo_middleware.formats.chat import CHAT
from tests.plans import BEARER, CONTENT, DOCUMENT, HEADERS, JSON_TYPE, TEXT, asked, digest, make_plan

if TYPE_CHECKING:
    from coo_middleware.core.document import Json
    from coo_middleware.core.request import Headers

ROUTE = Route(CHAT, "openai")


def test_everything_that_selects_changes_the_key() -> None:
    """Each of path, query, namespace, format, preset, scope, caller and selecting fields gives another key."""
    selecting = [b"anthropic-version", b"anthropic-beta", b"openai-beta", b"accept-language", b"idempotency-key"]
    plans = [
        make_plan(),
        make_plan(path=b"/v1/chat/completions/"),
        make_plan(path=b"/v2/chat/completions"),
        make_plan(query=b"api-version=1"),
        make_plan(query=b"api-version=2"),
        make_plan(policy=CachePolicy(namespace="n")),
        make_plan(policy=CachePolicy(normalize="strict")),
        make_plan(policy=CachePolicy(normalize="loose")),
        make_plan(policy=CachePolicy(scope="shared")),
        make_plan(policy=CachePolicy(scope="header:authorization")),
        make_plan(secret="s"),
        make_plan(headers=(JSON_TYPE,)),
        make_plan(headers=(JSON_TYPE, (b"authorization", b"Bearer other"))),
        *(make_plan(fmt=replace(CHAT, name=name)) for name in ("", "other")),
        *(make_plan(headers=(*HEADERS, (name, value))) for name in selecting for value in (b"", b"1", b"2")),
    ]

    assert [] == [plan.bypass for plan in plans if plan.bypass]
    assert len(plans) == len({plan.digest for plan in plans})


def test_operator_s_key_headers_select() -> None:
    """A field that `key_headers` names gives another key by each value, in every scope; any other says nothing."""
    for scope in ("credentials", "shared", "header:authorization"):
        policy = CachePolicy(scope=scope, key_headers=("X-Mode", "content-type"))
        plain = asked(BEARER, policy=policy)

        assert 3 == len(
            {plain, asked(BEARER, (b"x-mode", b"a"), policy=policy), asked(BEARER, (b"x-mode", b"b"), policy=policy)}
        )
        assert plain == asked(BEARER, (b"x-other", b"a"), policy=policy)
        assert (
            plain
            != make_plan(headers=((JSON_TYPE[0], b"application/json;charset=utf-8"), BEARER), policy=policy).digest
        )


def test_bytes_over_a_border_change_the_key() -> None:
    """Bytes that move from one part of a request to its neighbour give another key."""
    selecting: list[Headers] = [
        (*HEADERS, (b"openai-beta", b"ab"), (b"accept-language", b"c")),
        (*HEADERS, (b"openai-beta", b"a"), (b"accept-language", b"bc")),
        (*HEADERS, (b"openai-beta", b"abc")),
        (*HEADERS, (b"accept-language", b"c"), (b"accept-language", b"ab")),
        (*HEADERS, (b"accept-language", b"cab")),
    ]
    plans = [
        make_plan(path=b"/a", query=b"b"),
        make_plan(path=b"/ab", query=b""),
        make_plan(path=b"/", query=b"ab"),
        make_plan(path=b"/a?b", query=b""),
        make_plan(path=b"/a", policy=CachePolicy(namespace="chat")),
        make_plan(path=b"/a", fmt=replace(CHAT, name="chatchat")),
        *(make_plan(path=b"/a", headers=headers) for headers in selecting),
    ]

    assert len(plans) == len({plan.digest for plan in plans})


@pytest.mark.parametrize(("one", "other"), [(b"/v1/%2e%2e/x", b"/v1/../x"), (b"/a;p", b"/a"), (b"//a", b"/a")])
def test_path_counts_as_it_came(one: bytes, other: bytes) -> None:
    """Paths are told apart by their bytes, so that no reading of them can mislead."""
    assert make_plan(path=one).digest != make_plan(path=other).digest


def test_stream_that_is_false_is_none() -> None:
    """A request that says `"stream": false` asks for what one asks for that says nothing."""
    assert make_plan().digest == digest({**DOCUMENT, "stream": False})
    streamed = make_plan(json.dumps({**DOCUMENT, "stream": True}).encode())

    assert (False, True) == (make_plan().shape.stream, streamed.shape.stream)


NESTED = b'{"model":"m","x":' + b"[" * 64 + b"]" * 64 + b"}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not-json"),
        (b" \n", "not-json"),
        (b'{"model":', "not-json"),
        (b"[]", "not-an-object"),
        (b"null", "not-an-object"),
        (b'{"model":"a","model":"b"}', "duplicate-name"),
        (b'{"model":"a","m\\u006fdel":"b"}', "duplicate-name"),
        (b'{"model":"m","x":NaN}', "not-a-number"),
        (b'{"model":"m","x":18446744073709551616}', "number-range"),
        (b'{"model":"m","x":"\\ud800"}', "surrogate"),
        (b'{"model":"m","user":"\\ud800"}', "surrogate"),
        (b'{"model":"m","x":"\xff"}', "not-utf-8"),
        (b'\xef\xbb\xbf{"model":"m"}', "byte-order-mark"),
        (NESTED, "depth"),
        (b"{}", "model"),
        (b'{"model":null}', "model"),
        (b'{"model":1}', "model"),
        (b'{"model":["m"]}', "model"),
        (b'{"model":""}', "model"),
        (b'{"model":"%s"}' % (b"m" * 257), "model"),
        (b'{"model":"a\\nb"}', "model"),
        (b'{"model":"a\\u0000"}', "model"),
        (b'{"model":"a\\u202eb"}', "model"),
        (b'{"model":"m","stream":"true"}', "stream"),
        (b'{"model":"m","stream":1}', "stream"),
        (b'{"model":"m","stream":null}', "stream"),
        (b'{"model":"m","messages":{}}', "messages"),
        (b'{"model":"m","store":true}', "stored-completion"),
    ],
)
def test_content_bypasses(content: bytes, reason: str) -> None:
    """Content outside the subset on which all parsers agree, or that means what we do not know, is not cached."""
    plan = make_plan(content)

    assert (reason, b"", None) == (plan.bypass, plan.digest, plan.asking)


@pytest.mark.parametrize("model", ["m" * 256, "org/модель:free", 'quo"te', "with space"])
def test_model_may_be_any_name(model: str) -> None:
    """A name that can be shown in one line of up to 256 characters is one."""
    plan = make_plan(json.dumps({**DOCUMENT, "model": model}).encode())

    assert ("", model) == (plan.bypass, plan.model)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), "content-type"),
        ([(b"content-type", b"text/plain")], "content-type"),
        ([JSON_TYPE, JSON_TYPE], "content-type"),
        ([(b"content-type", b"application/json; charset=latin-1")], "content-type"),
        ([JSON_TYPE, (b"content-encoding", b"gzip")], "content-encoding"),
        ([JSON_TYPE, (b"range", b"bytes=0-1")], "range"),
        ([JSON_TYPE, (b"if-range", b"x")], "range"),
    ],
)
def test_head_bypasses(headers: Headers, reason: str) -> None:
    """Content that is not said to be plain JSON, or of which a part is wanted, is not read at all."""
    plan = make_plan(headers=headers)

    assert (reason, b"", "") == (plan.bypass, plan.digest, plan.model)


def test_disabled_policy_bypasses_and_reads() -> None:
    """Without a cache a request is read all the same, for it is counted and asked for its usage."""
    plan = make_plan(json.dumps({**DOCUMENT, "stream": True}).encode(), policy=CachePolicy(enabled=False))

    assert ("disabled", b"", "m", True) == (plan.bypass, plan.digest, plan.model, plan.shape.stream)
    assert plan.asking is not None


def test_content_that_is_not_whole_bypasses() -> None:
    """Where the content is not all there, its fault is the reason and nothing of it is read."""
    plan = make_plan(fault="too-large")

    assert ("too-large", b"", "", False, None) == (plan.bypass, plan.digest, plan.model, plan.shape.stream, plan.asking)


def test_first_reason_is_told() -> None:
    """Of several reasons the policy's comes first, then the head's, the content's, the format's and the caller's."""
    twice = (JSON_TYPE, BEARER, BEARER)
    stored = json.dumps({**DOCUMENT, "store": True}).encode()

    assert "disabled" == make_plan(b"{", policy=CachePolicy(enabled=False)).bypass
    assert "range" == make_plan(b"{", [(b"content-encoding", b"x"), (b"range", b"x")]).bypass
    assert (
        "multipart" == make_plan(b"{", [(b"content-type", b"multipart/form-data"), (b"content-encoding", b"x")]).bypass
    )
    assert "content-encoding" == make_plan(b"{", [*HEADERS, (b"content-encoding", b"x")]).bypass
    assert "not-json" == make_plan(b"{", twice).bypass
    assert "stored-completion" == make_plan(stored, twice).bypass
    assert "credentials" == make_plan(headers=twice).bypass


def test_plan_tells_the_request_s_wishes() -> None:
    """Directives are read from all of a request's Cache-Control fields, also of one that bypasses."""
    wishes = [(b"cache-control", b"max-age=5"), (b"Cache-Control", b"no-store")]

    assert Directives(no_store=True, max_age=5) == make_plan(headers=(*HEADERS, *wishes)).directives
    assert Directives(no_store=True, max_age=5) == make_plan(b"{", headers=(*HEADERS, *wishes)).directives


def test_key_is_the_schema_and_the_whole_digest() -> None:
    """The key in a store is the schema's version and all of the digest, which is never cut short."""
    plan = make_plan()

    assert f"1{plan.digest.hex()}" == plan.key
    assert 32 == len(plan.digest)


def test_directives_are_no_part_of_the_key() -> None:
    """What a request wishes of the cache says nothing about what it asks."""
    assert make_plan().digest == make_plan(headers=(*HEADERS, (b"cache-control", b"no-cache"))).digest


def test_usage_is_asked_for_in_a_stream() -> None:
    """A stream that would not tell its usage is asked for it, unless that is switched off or the format cannot."""
    content = json.dumps({**DOCUMENT, "stream": True}).encode()
    target = Target(b"/", b"", HEADERS)
    asking = make_plan(content).asking

    assert asking is not None
    assert {"include_usage": True} == json.loads(asking)["stream_options"]
    assert make_plan().asking is None
    assert make_plan(content, fmt=replace(CHAT, ask=None)).asking is None
    assert Planner(TEXT, ask_usage=False).plan(ROUTE, target, content).asking is None


@pytest.mark.parametrize("model", ["mistral/large", "groq/llama", "deepseek/chat", "openrouter/openai/gpt-4o"])
def test_providers_that_tell_are_not_asked(model: str) -> None:
    """Some providers tell the usage of a stream unasked, and Mistral refuses what it does not know."""
    assert make_plan(json.dumps({**DOCUMENT, "model": model, "stream": True}).encode()).asking is None


def test_asking_does_not_change_the_key() -> None:
    """The key is that of what the client sent."""
    content = json.dumps({**DOCUMENT, "stream": True}).encode()
    silent = Planner(TEXT, ask_usage=False).plan(ROUTE, Target(b"/v1/chat/completions", b"", HEADERS), content)

    assert silent.digest == make_plan(content).digest


STREAMED = json.dumps({**DOCUMENT, "stream": True}).encode()
SINGLE = CachePolicy(cross_shape=False)


def test_one_key_serves_both_shapes() -> None:
    """Where the format can turn a stream into a body, a request for either has the same key, unless told otherwise."""
    fixed = [Route(CHAT, "openai", stream=stream) for stream in (False, True)]
    alone = replace(CHAT, rendering=None)

    assert make_plan().digest == make_plan(STREAMED).digest
    assert make_plan(policy=SINGLE).digest != make_plan(STREAMED, policy=SINGLE).digest
    assert make_plan(fmt=alone).digest != make_plan(STREAMED, fmt=alone).digest
    assert 2 == len({make_plan(route=route).digest for route in fixed})


def test_usage_in_a_stream_is_no_part_of_the_key() -> None:
    """Whether usage is told says how an answer comes; any other option of a stream counts."""
    options: list[Json] = [{"include_usage": True}, {"include_usage": False}, {}]
    told = [digest({**DOCUMENT, "stream": True, "stream_options": each}) for each in options]
    other: list[Json] = [{"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}, None]
    others = [digest({**DOCUMENT, "stream": True, "stream_options": each}) for each in other]
    mute = replace(CHAT, strip=None)
    asking = json.dumps({**DOCUMENT, "stream_options": {"include_usage": True}}).encode()

    assert {make_plan().digest} == {*told}
    assert 2 == len({*others[:2], others[2]})
    assert make_plan().digest not in others
    assert make_plan(fmt=mute).digest != make_plan(asking, fmt=mute).digest


def test_the_shape_tells_the_usage_that_was_asked_for() -> None:
    """The client's shape is what it asked for, and the app's is what it is asked on top."""
    asking = json.dumps({**DOCUMENT, "stream": True, "stream_options": {"include_usage": True}}).encode()
    plans = [make_plan(), make_plan(STREAMED), make_plan(asking)]
    body, bare, full = Shape(stream=False), Shape(stream=True), Shape(stream=True, usage=True)

    assert [(body, body), (bare, full), (full, full)] == [(plan.shape, plan.asked) for plan in plans]


@pytest.mark.parametrize("stream", [False, True])
def test_the_path_tells_the_stream(*, stream: bool) -> None:
    """Where the path says whether it streams, the document does not."""
    route = Route(CHAT, "openai", stream=stream)

    assert [stream] * 2 == [make_plan(content, route=route).shape.stream for content in (CONTENT, STREAMED)]


def test_a_format_may_stream_unless_told_not_to() -> None:
    """Where a format streams by itself, silence asks for a stream, and has its key."""
    ollama = replace(CHAT, streams=True, rendering=None)
    silent, told = make_plan(fmt=ollama), make_plan(STREAMED, fmt=ollama)

    assert (True, silent.digest) == (silent.shape.stream, told.digest)
    assert not make_plan(json.dumps({**DOCUMENT, "stream": False}).encode(), fmt=ollama).shape.stream


def test_the_path_may_name_the_model() -> None:
    """A document needs no model where the path names it or the format has none; a bad one is a fault all the same."""
    bare = json.dumps({"messages": []}).encode()
    named = Route(CHAT, "openai", model="gpt")

    assert ("", "gpt") == (make_plan(bare, route=named).bypass, make_plan(bare, route=named).model)
    assert ("", "") == (make_plan(bare, fmt=replace(CHAT, names_model=False)).bypass, make_plan(bare).model)
    assert ("model", "model") == (make_plan(bare).bypass, make_plan(b'{"model":5}', route=named).bypass)


def test_coded_content_has_the_key_of_what_it_stands_for() -> None:
    """A content coding is no part of what is asked; the app is asked for usage in what was decoded."""
    coded = [*HEADERS, (b"content-encoding", b"gzip")]
    plan = make_plan(gzip.compress(STREAMED), coded)

    assert make_plan(STREAMED).digest == plan.digest
    assert make_plan(STREAMED).asking == plan.asking


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(CONTENT)[:-1], "content-encoding"),
        (CONTENT, "content-encoding"),
        (gzip.compress(b" " * 10_485_761), "too-large"),
        (gzip.compress(b"{"), "not-json"),
    ],
    ids=["cut", "not coded", "grows", "no JSON"],
)
def test_content_that_cannot_be_decoded_bypasses(content: bytes, reason: str) -> None:
    """Content that is not in its coding, is cut, or grows beyond the bound is the app's to judge."""
    assert reason == make_plan(content, [*HEADERS, (b"content-encoding", b"gzip")]).bypass


atoms = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
bodies = st.dictionaries(
    st.sampled_from(["model", "messages", "stream", "stream_options", "tools", "x"]),
    atoms | st.lists(atoms) | st.dictionaries(st.sampled_from(["role", "content", "include_usage"]), atoms),
)


@given(st.binary() | bodies.map(json.dumps).map(str.encode), st.lists(st.tuples(st.binary(), st.binary())), st.binary())
def test_any_request_has_a_plan(content: bytes, fields: list[tuple[bytes, bytes]], query: bytes) -> None:
    """No bytes in content, fields or query raise, and a plan has either a key or a reason."""
    plan = make_plan(content, (JSON_TYPE, *fields), query=query)

    assert (32 if plan.bypass == "" else 0) == len(plan.digest)
