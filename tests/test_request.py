"""core/request.py: a request's head."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.request import Head, HeadReader, is_json, is_multipart, keyed_fields

Fields = list[tuple[bytes, bytes]]

NOBODY = Head(
    credentials=(),
    selecting=(),
    tenant=(),
    steering=(),
    content_types=(),
    coding=b"",
    ranged=False,
)


def read(fields: Fields, policy: CachePolicy | None = None) -> Head:
    return HeadReader(policy or CachePolicy()).read(fields)


def test_other_fields_are_passed_over() -> None:
    """What says nothing to us is no part of a head, and an empty header section is one."""
    assert NOBODY == read([]) == read([(b"host", b"x"), (b"X-Stainless-Retry-Count", b"1"), (b"accept", b"*/*")])


def test_each_field_has_its_place() -> None:
    """Fields are found whatever the case of their names, and repeated ones are kept."""
    head = read(
        [
            (b"Authorization", b"Bearer k"),
            (b"COOKIE", b"a=1"),
            (b"cookie", b"b=2"),
            (b"Anthropic-Version", b"2023-06-01"),
            (b"Cache-Control", b"no-cache"),
            (b"cache-control", b"max-age=5"),
            (b"Content-Type", b"application/json"),
            (b"content-type", b"text/plain"),
            (b"X-Team", b"red"),
            (b"x-team", b"blue"),
        ],
        CachePolicy(scope="header:X-Team"),
    )

    assert (
        Head(
            credentials=((b"authorization", b"Bearer k"), (b"cookie", b"a=1"), (b"cookie", b"b=2")),
            selecting=((b"anthropic-version", b"2023-06-01"),),
            tenant=(b"red", b"blue"),
            steering=((b"cache-control", b"no-cache"), (b"cache-control", b"max-age=5")),
            content_types=(b"application/json", b"text/plain"),
            coding=b"",
            ranged=False,
        )
        == head
    )


@pytest.mark.parametrize(
    "name", [b"anthropic-version", b"anthropic-beta", b"openai-beta", b"accept-language", b"idempotency-key"]
)
def test_each_selecting_field_is_kept(name: bytes) -> None:
    """A field that changes the answer is part of a head."""
    assert ((name, b"v"),) == read([(name, b"v")]).selecting


@pytest.mark.parametrize("name", [b"anthropic-beta", b"openai-beta"])
def test_order_in_a_list_of_features_says_nothing(name: bytes) -> None:
    """Two lists of the same features are equal, whatever their order and white space."""
    assert ((name, b"a,b"),) == read([(name, b"b , a")]).selecting == read([(name, b"a,b")]).selecting


def test_order_of_fields_says_nothing_between_names() -> None:
    """The order of fields counts within one name only (RFC 9110 section 5.3)."""
    one: Fields = [(b"openai-beta", b"x"), (b"accept-language", b"de"), (b"accept-language", b"en")]
    moved = [one[1], one[0], one[2]]
    swapped = [one[0], one[2], one[1]]

    assert read(one).selecting == read(moved).selecting
    assert read(one).selecting != read(swapped).selecting


def test_policy_adds_fields() -> None:
    """`scope_headers` are credentials and `key_headers` select, whatever the case of either name."""
    head = read([(b"x-user", b"u"), (b"X-Mode", b"m")], CachePolicy(scope_headers=("X-User",), key_headers=("x-MODE",)))

    assert ((b"x-user", b"u"),) == head.credentials
    assert ((b"x-mode", b"m"),) == head.selecting


@pytest.mark.parametrize("name", ["content-type", "content-encoding", "cache-control", "range", "authorization"])
def test_field_counts_in_each_of_its_ways(name: str) -> None:
    """A field with a meaning of its own is a credential, a selecting one and the scope as well, as the policy says."""
    policy = CachePolicy(scope=f"header:{name}", scope_headers=(name,), key_headers=(name,))
    field = (name.encode(), b"v")
    head = read([field], policy)

    assert ((field,), (field,), (b"v",)) == (head.credentials, head.selecting, head.tenant)
    assert (name == "range", name == "content-encoding") == (head.ranged, head.coding == b"v")


@pytest.mark.parametrize(
    ("codings", "coding"),
    [
        ([], b""),
        ([b"gzip"], b"gzip"),
        ([b"identity", b"br"], b"identity,br"),
        ([b"gzip, zstd", b"br"], b"gzip, zstd,br"),
    ],
)
def test_coded_content_is_told(codings: list[bytes], coding: bytes) -> None:
    """Several Content-Encoding fields are one list, in the order in which they came (RFC 9110 section 5.3)."""
    assert coding == read([(b"content-encoding", each) for each in codings]).coding


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"multipart/form-data; boundary=x", True),
        (b"Multipart/Mixed", True),
        (b"application/json", False),
        (b"x-multipart/form-data", False),
    ],
)
def test_a_form_is_told(value: bytes, *, expected: bool) -> None:
    """A form with files is told by its media type, in any case."""
    assert expected == is_multipart(read([(b"content-type", value)]))


@pytest.mark.parametrize("name", [b"range", b"Range", b"if-range", b"If-Range"])
def test_range_is_told(name: bytes) -> None:
    """A wish for a part is seen."""
    assert read([(name, b"bytes=0-1")]).ranged


@pytest.mark.parametrize(
    ("types", "json"),
    [
        ([b"application/json"], True),
        ([b"Application/JSON"], True),
        ([b" application/json ; charset=UTF-8"], True),
        ([b'application/json;charset="utf-8"'], True),
        ([b"application/json; charset=utf8"], True),
        ([b"application/json;"], True),
        ([], False),
        ([b""], False),
        ([b"text/plain"], False),
        ([b"text/json"], False),
        ([b"application/vnd.api+json"], False),
        ([b"multipart/form-data; boundary=x"], False),
        ([b"application/json; charset=iso-8859-1"], False),
        ([b"application/json; utf-8"], False),
        ([b"application/json; charset=utf-8; charset=utf-16"], False),
        ([b"application/json; boundary=x"], False),
        ([b"application/json, text/plain"], False),
        ([b"application/json", b"application/json"], False),
        ([b"application/json\x00"], False),
    ],
)
def test_json_is_told(types: list[bytes], json: bool) -> None:
    """Content is JSON when exactly one Content-Type says so, in UTF-8 or without a charset."""
    assert json == is_json(read([(b"content-type", media) for media in types]))


@given(st.lists(st.tuples(st.sampled_from([b"Cookie", b"range", b"openai-beta"]) | st.binary(), st.binary())))
def test_any_fields_are_read(fields: Fields) -> None:
    """No bytes in a name or a value raise, line ends and NUL among them."""
    cookies = [value for name, value in fields if name.lower() == b"cookie"]

    assert cookies == [value for name, value in read(fields).credentials if name == b"cookie"]


def test_thousand_fields_are_read() -> None:
    """The one field that counts is found among any number of others."""
    fields: Fields = [(b"x-%d" % number, b"v" * 100) for number in range(1_000)]

    assert (((b"cache-control", b"no-store"),), ()) == (
        read([*fields, (b"CACHE-CONTROL", b"no-store")]).steering,
        read(fields).credentials,
    )


def test_other_gateways_fields_steer_where_they_are_understood() -> None:
    """Our own fields always steer, those of other gateways only with `compat_headers`; the order stays."""
    fields: Fields = [(b"X-Coo-TTL", b"5"), (b"Helicone-Cache-Enabled", b"false"), (b"pragma", b"no-cache")]
    steering = tuple((name.lower(), value) for name, value in fields)

    assert (steering[0], steering[2]) == read(fields).steering
    assert steering == read(fields, CachePolicy(compat_headers=True)).steering


@pytest.mark.parametrize(
    ("policy", "keyed", "foreign"),
    [
        (CachePolicy(), {b"authorization", b"cookie", b"openai-beta"}, {b"accept", b"host", b"x-team", b"credentials"}),
        (CachePolicy(scope_headers=("X-User",), key_headers=("Accept",)), {b"x-user", b"accept"}, {b"host"}),
        (CachePolicy(scope="shared", key_headers=("Host",)), {b"openai-beta", b"host"}, {b"cookie", b"authorization"}),
        (CachePolicy(scope="header:X-Team", scope_headers=("x-user",)), {b"x-team"}, {b"authorization", b"x-user"}),
    ],
)
def test_it_is_known_what_a_key_tells_apart(policy: CachePolicy, keyed: set[bytes], foreign: set[bytes]) -> None:
    """Selecting fields are in every key; credentials only where they scope, and a tenant's where it does."""
    assert keyed <= keyed_fields(policy)
    assert foreign.isdisjoint(keyed_fields(policy))
