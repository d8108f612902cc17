"""core/plan.py: whose cache key it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.policy import CachePolicy
from tests.plans import BEARER, CONTENT, DOCUMENT, HEADERS, JSON_TYPE, asked, make_plan

secrets = st.text("abAB:=. ", min_size=1, max_size=4).map(lambda text: text.strip().encode() or b"x")
callers = st.dictionaries(
    st.sampled_from([b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"openai-project"]),
    secrets,
    max_size=2,
)


@given(callers, callers)
def test_two_credentials_never_share_a_key(one: dict[bytes, bytes], other: dict[bytes, bytes]) -> None:
    """Callers who show different credentials have different keys, and are shown differently."""
    first, second = (
        make_plan(headers=(JSON_TYPE, *((name, b"Bearer " + value) for name, value in each.items())))
        for each in (one, other)
    )

    assert (one == other) == (first.digest == second.digest) == (first.caller == second.caller)


@pytest.mark.parametrize("value", [b"bearer k", b"Bearer  k", b" BEARER k "])
def test_spelling_of_a_credential_says_nothing(value: bytes) -> None:
    """One token is one caller."""
    assert make_plan().digest == asked((b"Authorization", value))


def test_credential_in_the_query_scopes_and_does_not_select() -> None:
    """`?key=`, however it is spelled, says who is asking and is no part of the query that the key holds."""
    keyed = asked(query=b"a=1&key=one")

    assert keyed == asked(query=b"k%65y=one&a=1") == asked(query=b"KEY=one&a=1")
    assert 4 == len({keyed, asked(query=b"a=1&key=two"), asked(query=b"a=1"), asked(query=b"a=1&keys=one")})
    shared = CachePolicy(scope="shared")
    assert asked(query=b"a=1", policy=shared) == asked(query=b"a=1&k%65y=one", policy=shared)


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ([BEARER, BEARER], b""),
        ([(b"authorization", b"Bearer ")], b""),
        ([(b"authorization", b"")], b""),
        ([(b"x-api-key", b"")], b""),
        ([], b"key="),
        ([BEARER], b"key=a&key=b"),
    ],
)
@pytest.mark.parametrize("scope", ["credentials", "shared", "header:authorization"])
def test_ambiguous_credentials_bypass(scope: str, fields: list[tuple[bytes, bytes]], query: bytes) -> None:
    """A request of which nobody can say who sends it is not cached in any scope."""
    plan = make_plan(headers=(JSON_TYPE, *fields), query=query, policy=CachePolicy(scope=scope))

    assert ("credentials", "ambiguous", b"") == (plan.bypass, plan.caller, plan.digest)


def test_aws_signatures_of_one_key_share() -> None:
    """An AWS signature counts as its access key id."""
    signature = b"AWS4-HMAC-SHA256 Credential=%b/20261123/us-east-1/bedrock/aws4_request, Signature=%b"

    assert asked((b"authorization", signature % (b"A", b"1"))) == asked((b"authorization", signature % (b"A", b"2")))
    assert asked((b"authorization", signature % (b"A", b"1"))) != asked((b"authorization", signature % (b"B", b"1")))


def test_cookies_in_several_fields_scope() -> None:
    """Cookies may come in several fields, and each of them counts."""
    both = asked((b"cookie", b"a=1"), (b"cookie", b"b=2"))

    assert both
    assert 3 == len({both, asked((b"cookie", b"a=1")), asked((b"cookie", b"a=1"), (b"cookie", b"b=3"))})


def test_shared_scope_is_everyone_s() -> None:
    """With `shared`, who is asking says nothing; who it is, is shown all the same."""
    policy = CachePolicy(scope="shared")
    known, nobody = make_plan(policy=policy), make_plan(headers=(JSON_TYPE,), policy=policy)

    assert known.digest == nobody.digest
    assert nobody.caller == "anonymous" != known.caller


def test_header_scope_is_its_values() -> None:
    """With `header:<name>`, all who send the same one value share, and nobody else."""
    policy = CachePolicy(scope="header:X-Team")
    red = asked(BEARER, (b"x-team", b"red"), policy=policy)

    assert red == asked((b"authorization", b"Bearer other"), (b"X-TEAM", b"red"), policy=policy)
    assert red != asked(BEARER, (b"x-team", b"blue"), policy=policy)
    assert red != asked(BEARER, (b"x-org", b"red"), policy=CachePolicy(scope="header:x-org"))


@pytest.mark.parametrize("values", [[], [b""], [b"red", b"red"], [b"red", b"blue"]])
def test_header_scope_without_one_value_bypasses(values: list[bytes]) -> None:
    """A caller that names no tenant, or two, is not cached."""
    plan = make_plan(
        headers=(*HEADERS, *((b"x-team", each) for each in values)), policy=CachePolicy(scope="header:x-team")
    )

    assert ("scope", b"") == (plan.bypass, plan.digest)


def test_scope_headers_say_who_is_asking() -> None:
    """A field that `scope_headers` names is a credential: it scopes, and twice it is ambiguous."""
    policy = CachePolicy(scope_headers=("X-User",))
    plan = make_plan(headers=(*HEADERS, (b"x-user", b"a"), (b"x-user", b"b")), policy=policy)

    assert 3 == len(
        {asked(BEARER, *fields, policy=policy) for fields in ([], [(b"x-user", b"a")], [(b"x-user", b"b")])}
    )
    assert "credentials" == plan.bypass


def test_secret_keys_the_caller() -> None:
    """A guess at a credential cannot be tested against what is shown, or against a key, without the secret."""
    plans = [make_plan(secret=secret) for secret in ("", "one", "other")]

    assert 3 == len({plan.caller for plan in plans}) == len({plan.digest for plan in plans})
    assert [12] * 3 == [len(plan.caller) for plan in plans]


@pytest.mark.parametrize("scope", ["credentials", "shared", "header:x-team"])
@pytest.mark.parametrize("content", [CONTENT, b"{", json.dumps({**DOCUMENT, "stream": True}).encode()])
@pytest.mark.parametrize("twice", [False, True])
def test_no_plan_holds_a_secret(scope: str, content: bytes, twice: bool) -> None:
    """No credential, tenant or secret stands in any field of a plan, whether it is cached or not."""
    names = [b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"openai-organization", b"x-user", b"x-team"]
    fields = [(name, b"canary") for name in names] + [(b"authorization", b"Bearer canary")] * (1 + twice)
    policy = CachePolicy(scope=scope, scope_headers=("x-user",), key_headers=("x-team",))
    plan = make_plan(content, (JSON_TYPE, *fields), query=b"key=canary", policy=policy, secret="canary")

    assert "canary" not in repr(plan) + plan.key
