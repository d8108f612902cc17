"""core/key.py: the digest of a cache key, and who is asking."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.key import ScopeError, caller_digest, caller_identity, digest_parts, public_query
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.request import HeadReader

Fields = list[tuple[bytes, bytes]]

READER = HeadReader(CachePolicy())

# Few letters, and those that delimit, so that parts run into each other wherever the encoding lets them.
raw = st.text("ab1:", max_size=4).map(str.encode)
parts = st.lists(st.tuples(raw, raw), max_size=4)


def identity(fields: Fields, query: bytes = b"") -> tuple[tuple[bytes, bytes], ...]:
    return caller_identity(READER.read(fields), query)


@given(parts, parts)
def test_digests_are_equal_only_for_equal_parts(one: Fields, other: Fields) -> None:
    """No byte that moves over a border between two parts gives the same digest."""
    assert (one == other) == (digest_parts(one) == digest_parts(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([(b"a", b"bc")], [(b"ab", b"c")]),
        ([(b"a", b"b"), (b"c", b"d")], [(b"a", b"b1:c1:d")]),
        ([(b"a", b"")], [(b"", b"a")]),
        ([(b"a", b""), (b"b", b"")], [(b"a", b"b")]),
        ([], [(b"", b"")]),
        ([(b"a", b"1"), (b"b", b"2")], [(b"b", b"2"), (b"a", b"1")]),
        ([(b"a", b"1:x1:b")], [(b"a", b""), (b"x", b"b")]),
    ],
)
def test_moved_bytes_change_the_digest(one: Fields, other: Fields) -> None:
    """What runs into its neighbour in a bare concatenation does not here."""
    assert digest_parts(one) != digest_parts(other)


def test_digest_is_sha256_over_tagged_lengths() -> None:
    """The encoding is `<tag length>:<tag><part length>:<part>`, and the digest is the whole of SHA-256."""
    assert hashlib.sha256(b"3:tag4:part0:0:").digest() == digest_parts([(b"tag", b"part"), (b"", b"")])


@pytest.mark.parametrize("spelling", [b"Bearer k", b"bearer k", b"BEARER   k", b" Bearer k\t", b"Bearer \tk "])
def test_bearer_has_one_identity(spelling: bytes) -> None:
    """A scheme's case and the white space round it say nothing about who is asking (RFC 9110 section 11.1)."""
    assert ((b"authorization", b"bearer k"),) == identity([(b"Authorization", spelling)])


@pytest.mark.parametrize("other", [b"Bearer K", b"Bearer k k", b"Basic k", b"Bearer kk", b"Bearerk k"])
def test_other_credentials_have_other_identities(other: bytes) -> None:
    """A token's case, length and scheme all count."""
    assert identity([(b"authorization", b"Bearer k")]) != identity([(b"authorization", other)])


@pytest.mark.parametrize(
    "name",
    [
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"cookie",
        b"openai-organization",
        b"openai-project",
        b"anthropic-workspace-id",
        b"x-goog-user-project",
    ],
)
def test_each_credential_field_counts(name: bytes) -> None:
    """Each field that says who is asking is part of the identity, and two values of it are two callers."""
    assert [name] == [field for field, _ in identity([(name, b"T one")])]
    assert identity([(name, b"T one")]) != identity([(name, b"T two")])


def test_same_value_in_another_field_is_another_caller() -> None:
    """The identity names the field, so a value in another one proves nothing."""
    assert identity([(b"x-api-key", b"k")]) != identity([(b"api-key", b"k")])
    assert identity([(b"x-goog-api-key", b"k")]) != identity([], b"key=k")


def test_all_credentials_count_in_any_order() -> None:
    """Two credentials in one request both count, whichever comes first."""
    both = [(b"x-api-key", b"k"), (b"authorization", b"Bearer t")]

    assert ((b"authorization", b"bearer t"), (b"x-api-key", b"k")) == identity(both) == identity(both[::-1])


def test_nobody_is_the_empty_identity() -> None:
    """A request without any credential is anonymous."""
    assert () == identity([(b"host", b"x"), (b"user-agent", b"y")], b"a=1")


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")], b""),
        ([(b"Authorization", b"Bearer a"), (b"authorization", b"Bearer b")], b""),
        ([(b"x-api-key", b"a"), (b"x-api-key", b"b")], b""),
        ([(b"authorization", b"")], b""),
        ([(b"authorization", b"  ")], b""),
        ([(b"authorization", b"Bearer")], b""),
        ([(b"authorization", b"Bearer ")], b""),
        ([(b"authorization", b"sk-bare")], b""),
        ([(b"authorization", b"AWS4-HMAC-SHA256 SignedHeaders=host")], b""),
        ([(b"authorization", b"AWS4-HMAC-SHA256 Credential=/20261123/us-east-1")], b""),
        ([(b"x-api-key", b"")], b""),
        ([(b"cookie", b" ")], b""),
        ([(b"cookie", b"a=1"), (b"cookie", b"")], b""),
        ([], b"key="),
        ([], b"key"),
        ([], b"key=a&key=b"),
        ([], b"key=a&k%65y=a"),
    ],
)
def test_ambiguous_credentials_are_refused(fields: Fields, query: bytes) -> None:
    """A credential that is sent twice or empty says nobody."""
    with pytest.raises(ScopeError):
        identity(fields, query)


def test_aws_signature_counts_as_its_access_key_id() -> None:
    """An AWS signature changes with every request; the identity is its access key id and nothing else."""
    one = b"AWS4-HMAC-SHA256 Credential=AKID1/20261123/us-east-1/bedrock/aws4_request, Signature=aa"
    later = b"aws4-hmac-sha256  Credential=AKID1/20261124/eu-west-1/bedrock/aws4_request, Signature=bb"
    other = one.replace(b"AKID1", b"AKID2")

    assert ((b"authorization", b"aws4-hmac-sha256 AKID1"),) == identity([(b"authorization", one)])
    assert identity([(b"authorization", one)]) == identity([(b"authorization", later)])
    assert identity([(b"authorization", one)]) != identity([(b"authorization", other)])


def test_cookies_may_come_in_several_fields() -> None:
    """HTTP/2 may split Cookie into fields (RFC 9113 section 8.2.3); all of them count."""
    split = [(b"cookie", b"a=1"), (b"cookie", b"b=2")]

    assert tuple(split) == identity(split)
    assert identity(split) != identity(split[:1])


@given(st.binary(max_size=200))
def test_any_credential_is_an_identity_or_refused(value: bytes) -> None:
    """No bytes in a credential field raise anything but ScopeError."""
    try:
        found = identity([(b"authorization", value), (b"cookie", value)], value)
    except ScopeError:
        return
    assert all(part for _, part in found)


@given(st.tuples(raw, raw), st.tuples(raw, raw))
def test_two_credentials_never_share_a_digest(one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
    """Callers are told apart by everything that they show."""
    first, second = (tuple(zip((b"authorization", b"x-api-key"), values, strict=True)) for values in (one, other))

    assert (one == other) == (caller_digest(first, b"s") == caller_digest(second, b"s"))


def test_secret_changes_the_caller_digest() -> None:
    """Without the secret a guess at a credential cannot be tested against a digest."""
    known = ((b"authorization", b"bearer k"),)

    assert 32 == len(caller_digest(known, b""))
    assert 3 == len({caller_digest(known, secret) for secret in (b"", b"one", b"other")})


@pytest.mark.parametrize(
    ("query", "public"),
    [
        (b"", b""),
        (b"alt=sse", b"alt=sse"),
        (b"key=s3cret", b""),
        (b"alt=sse&key=s3cret", b"alt=sse"),
        (b"k%65y=s3cret&alt=sse", b"alt=sse"),
        (b"%4bEY=s3cret", b""),
        (b"KEY=s3cret&b=1&a=2", b"b=1&a=2"),
        (b"key", b""),
        (b"keys=1&monkey=2&a=key", b"keys=1&monkey=2&a=key"),
        (b"a=1&&b=%zz", b"a=1&&b=%zz"),
        (b"%E2%84%AAey=kelvin", b"%E2%84%AAey=kelvin"),
        (b"\xff=1", b"\xff=1"),
    ],
)
def test_public_query_has_no_credential(query: bytes, public: bytes) -> None:
    """What is a credential, however it is spelled, goes; every other byte stays as it came."""
    assert public == public_query(query)


@pytest.mark.parametrize("query", [b"key=s3cret", b"a=1&k%65y=s3cret", b"KEY=s3cret&b=2"])
def test_query_s_credential_says_who_is_asking(query: bytes) -> None:
    """What goes from the query counts for the scope."""
    assert ((b"?key", b"s3cret"),) == identity([], query)
