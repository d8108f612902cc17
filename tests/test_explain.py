"""What two requests differ in, told from the very parts of their keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.contrast import ABSENT, WITHHELD
from coo_middleware.core.explain import Asked, Difference, ask, compare, explain, explain_untouched
from coo_middleware.core.format import Route
from coo_middleware.core.key import digest_parts
from coo_middleware.core.plan import Planner, Target
from coo_middleware.core.policy import CachePolicy
from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.messages import MESSAGES
from tests.plans import CONTENT, DOCUMENT, HEADERS, JSON_TYPE, TEXT

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.request import Headers

CANARY = b"Bearer sk-canary-1"
SHARED = CachePolicy(scope="shared")
ROUTE = Route(CHAT, CHAT.provider)


def asked(
    document: Document | bytes = CONTENT,
    headers: Headers = HEADERS,
    *,
    target: str = "/v1/chat/completions",
    policy: CachePolicy = TEXT,
    route: Route = ROUTE,
) -> Asked:
    """One request, in which each thing can be another."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    path, _, query = target.encode().partition(b"?")
    return ask(Planner(policy), route, Target(path, query, headers), content)


def told(a: Asked, b: Asked) -> list[tuple[str, str]]:
    """Where two requests differ, and whether it counts."""
    return [(each.where, each.verdict) for each in compare(a, b)]


def with_field(name: bytes, value: bytes, policy: CachePolicy = TEXT) -> Asked:
    return asked(headers=(*HEADERS, (name, value)), policy=policy)


def test_the_parts_are_those_of_the_digest() -> None:
    """What is explained is what was digested: there is one list of parts."""
    one = asked()

    assert one.plan.digest == digest_parts(one.parts)


def test_a_request_is_explained_by_its_parts() -> None:
    """The explanation of a request names its key and each part of it."""
    one = explain(asked())

    settings = [f"request {name}" for name in ("schema", "namespace", "scope", "caller", "format", "normalize")]
    names = [*settings, "request path", "request query", "stream", "messages", "model"]
    assert names == [part.name for part in one.parts]
    assert (None, "openai", "m", "chat", False) == (one.bypass, one.provider, one.model, one.format, one.stream)
    assert "1" + asked().plan.digest.hex() == one.key


def test_a_bypass_is_explained() -> None:
    """A request that bypasses has no key, and the reason in words."""
    one = explain(asked({**DOCUMENT, "store": True}))

    assert one.bypass is not None
    assert ("", (), "stored-completion") == (one.key, one.parts, one.bypass.token)
    assert [] == compare(asked({**DOCUMENT, "store": True}), asked())


def test_what_is_not_looked_at_is_explained() -> None:
    """A request that passes untouched has the reason for it and nothing else."""
    one = explain_untouched("not-post")

    assert one.bypass is not None
    assert ("", "not-post") == (one.key, one.bypass.token)


def test_wishes_are_told() -> None:
    """What a request asks of the cache stands beside its key."""
    assert ("no-cache", "max-age=60") == explain(with_field(b"cache-control", b"no-cache, max-age=60")).wishes


@pytest.mark.parametrize(
    ("b", "where", "verdict"),
    [
        ({**DOCUMENT, "temperature": 0.2}, "temperature", "counts"),
        ({**DOCUMENT, "messages": [{"role": "user", "content": "ho"}]}, "messages[0].content", "counts"),
        ({**DOCUMENT, "messages": [{"role": "user", "content": " hi\n"}]}, "messages[0].content", "normalized"),
        ({**DOCUMENT, "user": "u"}, "user", "left-out"),
        ({**DOCUMENT, "stream": True}, "stream", "left-out"),
        ({**DOCUMENT, "stream_options": {"include_usage": True}}, "stream_options", "left-out"),
        ({**DOCUMENT, "": 1}, '[""]', "counts"),
        (dict(reversed(DOCUMENT.items())), "request content", "normalized"),
        (CONTENT + b"\n", "request content", "normalized"),
    ],
)
def test_a_difference_in_the_content_has_its_place_and_weight(b: Document | bytes, where: str, verdict: str) -> None:
    """One difference is told once, with whether it counts, and the keys are equal exactly where none does."""
    assert [(where, verdict)] == told(asked(), asked(b))
    assert (verdict != "counts") == (asked().plan.digest == asked(b).plan.digest)


def test_a_part_that_is_also_normalized_is_told_as_it_counts() -> None:
    """A place that counts is not told a second time for what was normalized in it."""
    message: Document = {"role": "user", "content": [{"type": "text", "text": " ho "}]}

    found = compare(asked(), asked({**DOCUMENT, "messages": [message]}))

    assert [Difference("messages[0].content", "counts", "hi", "ho")] == found


def test_the_order_of_a_schemas_members_counts() -> None:
    """In tools the order of members counts, and that is what is told."""
    orders: list[Document] = [{"a": 1, "b": 2}, {"b": 2, "a": 1}]
    a, b = (asked({**DOCUMENT, "tools": [{"type": "function", "parameters": order}]}) for order in orders)

    assert [("tools[0].parameters", "counts", True)] == [(e.where, e.verdict, e.is_order) for e in compare(a, b)]


def test_another_caller_is_told_and_no_credential() -> None:
    """Different credentials are one difference, without their names' values, and no header beside it."""
    assert [Difference("request caller", "counts", WITHHELD, WITHHELD)] == compare(
        asked(), asked(headers=(JSON_TYPE, (b"Authorization", CANARY), (b"x-api-key", CANARY)))
    )


def test_credentials_that_do_not_count_are_told_as_such() -> None:
    """Where everyone shares, another credential is a header field that is left out of the key."""
    b = asked(headers=(JSON_TYPE, (b"authorization", CANARY)), policy=SHARED)

    assert [Difference("header authorization", "left-out", WITHHELD, WITHHELD)] == compare(asked(policy=SHARED), b)


def test_a_credential_that_is_a_part_is_never_shown() -> None:
    """A field that says who is asking and selects the answer as well has no value here."""
    policy = CachePolicy(scope="shared", key_headers=("authorization",))
    b = asked(headers=(JSON_TYPE, (b"authorization", CANARY)), policy=policy)

    assert [Difference("header authorization", "counts", WITHHELD, WITHHELD)] == compare(asked(policy=policy), b)


@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [
        (b"openai-beta", b"x", b"y", [("header openai-beta", "counts")]),
        (b"openai-beta", b"x,y", b"y, x", [("header openai-beta", "normalized")]),
        (b"User-Agent", b"x", b"y", [("header user-agent", "left-out")]),
        (b"cache-control", b"no-cache", b"max-age=1", [("header cache-control", "left-out")]),
        (b"x-coo-namespace", b"x", b"y", [("request named", "counts")]),
    ],
)
def test_header_fields_have_their_weight(name: bytes, a: bytes, b: bytes, expected: list[tuple[str, str]]) -> None:
    """A field that selects the answer counts, its order may be normalized, and any other is left out."""
    assert expected == told(with_field(name, a), with_field(name, b))


def test_path_and_query_are_parts() -> None:
    """Another path, another public query and another format are told; a credential in the query is another caller."""
    assert [Difference("request path", "counts", "/v1/chat/completions", "/v2")] == compare(
        asked(), asked(target="/v2")
    )
    assert [("request query", "counts")] == told(asked(), asked(target="/v1/chat/completions?a=1"))
    assert [("request caller", "counts")] == told(asked(), asked(target="/v1/chat/completions?key=sk"))
    assert ("request format", "counts") in told(asked(), asked(route=Route(MESSAGES, "anthropic")))


def test_a_header_that_only_one_has_is_absent_in_the_other() -> None:
    """A part that only one request has is told as absent in the other one."""
    assert [Difference("header openai-beta", "counts", ABSENT, "x")] == compare(
        asked(), with_field(b"openai-beta", b"x")
    )


MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 1, 1.0, 0.5]),
        "user": st.sampled_from(["a", "b"]),
        "stream": st.booleans(),
        "stop": st.sampled_from(["\n", ["\n"], ["\n", "x"]]),
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["user", "assistant", "tool"]),
                    "content": st.sampled_from(["x", " x", "X\r\n"]),
                }
            ),
            max_size=3,
        ),
    },
)


@given(MEMBERS, MEMBERS, st.sampled_from(["strict", "text", "loose"]), st.booleans())
def test_keys_differ_exactly_where_something_counts(a: Document, b: Document, preset: str, cross_shape: bool) -> None:
    """For any two requests and any preset, a difference counts if and only if the keys differ."""
    policy = CachePolicy(normalize=preset, cross_shape=cross_shape)  # type: ignore[arg-type]
    one, other = (asked({"model": "m", **each}, policy=policy) for each in (a, b))
    counts = any(each.verdict == "counts" for each in compare(one, other))

    assert (one.plan.digest != other.plan.digest) == counts
    assert (one.plan.content != other.plan.content) == bool(compare(one, other))
