"""core/rules.py and core/plan.py: what holds on which path."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.directives import Directives
from coo_middleware.core.format import Route
from coo_middleware.core.plan import Plan, Planner, Target
from coo_middleware.core.policy import CachePolicy, CallerPolicy
from coo_middleware.core.routes import RoutePolicy
from coo_middleware.core.rules import CACHE_SETTINGS, Rules, cache_settings
from coo_middleware.formats.chat import CHAT
from tests.plans import BEARER, CONTENT, HEADERS, JSON_TYPE, make_plan

POLICY = CachePolicy(ttl_seconds=10)
OTHER = (b"authorization", b"Bearer other")
RED, BLUE = (b"x-team", b"red"), (b"x-team", b"blue")
TAIL = "/v1/chat/completions"


def plan(
    path: str, *fields: tuple[bytes, bytes], rules: tuple[RoutePolicy, ...] = (), content: bytes = CONTENT
) -> Plan:
    planner = Planner(POLICY, routes=rules)
    return planner.plan(Route(CHAT, "openai"), Target(path.encode(), b"", (JSON_TYPE, *fields)), content)


def test_without_rules_the_policy_holds() -> None:
    """Where no rule speaks of the cache, the plan's policy is the very one that was given."""
    silent = Rules(POLICY, (RoutePolicy("/x/*", format="chat"), RoutePolicy("/y/*", provider="p")))

    assert POLICY is Rules(POLICY).find("/x/y").policy is silent.find("/x/y").policy
    assert POLICY is plan(TAIL, rules=(RoutePolicy("/x/*", ttl_seconds=5),)).policy


def test_each_setting_is_the_first_rules_that_sets_it() -> None:
    """Of the rules that fit, the first with a value counts, for each setting by itself."""
    rules = Rules(
        POLICY,
        (
            RoutePolicy("/a/*", ttl_seconds=60),
            RoutePolicy("/a/b/*", enabled=False, ttl_seconds=5),
            RoutePolicy("*", normalize="strict", enabled=True, stale_if_error_seconds=0),
        ),
    )

    assert replace(POLICY, ttl_seconds=60, normalize="strict") == rules.find("/a/c").policy
    assert replace(POLICY, ttl_seconds=60, enabled=False, normalize="strict") == rules.find("/a/b/c").policy
    assert replace(POLICY, normalize="strict") == rules.find("/z").policy


def test_every_setting_can_be_ruled() -> None:
    """Each setting of a rule, false and 0 among them, takes the place of the policy's own."""
    rule = RoutePolicy(
        enabled=False,
        ttl_seconds=1.5,
        stale_while_revalidate_seconds=0.0,
        stale_if_error_seconds=3.0,
        scope="shared",
        normalize="loose",
    )
    policy = Rules(CachePolicy(stale_while_revalidate_seconds=9), (rule,)).find("/x").policy

    assert set(CACHE_SETTINGS) == set(cache_settings(rule))
    assert cache_settings(rule) == {name: getattr(policy, name) for name in CACHE_SETTINGS}


def test_what_holds_is_made_once() -> None:
    """Paths under the same rules have one and the same policy."""
    rules = Rules(POLICY, (RoutePolicy("/a/*", ttl_seconds=60),))

    assert rules.find("/a/1") is rules.find("/a/2")


def test_a_path_is_switched_off_and_on() -> None:
    """`enabled` of a rule decides for its paths, either way."""
    rules = (RoutePolicy("/off/*", enabled=False),)

    assert ("disabled", b"") == (plan("/off" + TAIL, rules=rules).bypass, plan("/off" + TAIL, rules=rules).digest)
    assert plan("/on" + TAIL, rules=rules).digest
    assert "disabled" == make_plan(policy=CachePolicy(enabled=False)).bypass
    on = Planner(CachePolicy(enabled=False), routes=(RoutePolicy(enabled=True),))
    assert on.plan(Route(CHAT, "openai"), Target(TAIL.encode(), b"", HEADERS), CONTENT).digest


def test_a_path_counts_decoded() -> None:
    """A rule is matched with the path as the app sees it, and not with its escapes."""
    rules = (RoutePolicy("/off/*", enabled=False),)

    assert "disabled" == plan("/%6fff" + TAIL, rules=rules).bypass


SCOPES = (
    RoutePolicy("/shared/*", scope="shared"),
    RoutePolicy("/teams/*", scope="header:X-Team"),
    RoutePolicy("/own/*", scope="credentials"),
)


def test_one_paths_scope_holds_there_and_nowhere_else() -> None:
    """Shared paths are everyone's, a tenant's path its tenants', and all others stay each caller's own."""
    shared = {plan("/shared" + TAIL, *each, rules=SCOPES).digest for each in ([BEARER, RED], [OTHER, BLUE], [])}
    teams = {plan("/teams" + TAIL, *each, rules=SCOPES).digest for each in ([BEARER, RED], [OTHER, RED])}
    blue = plan("/teams" + TAIL, BEARER, BLUE, rules=SCOPES).digest

    assert (1, 1) == (len(shared), len(teams))
    assert blue not in teams
    for path in ("/own" + TAIL, TAIL, "/shared-not" + TAIL):
        assert 3 == len({plan(path, *each, rules=SCOPES).digest for each in ([BEARER, RED], [OTHER, RED], [RED])})
        assert plan(path, BEARER, RED, rules=SCOPES).digest == plan(path, BEARER, BLUE, rules=SCOPES).digest


@pytest.mark.parametrize(("path", "bypass"), [("/teams", "scope"), ("/own", ""), ("/shared", ""), ("", "")])
def test_a_tenant_is_asked_for_only_where_it_scopes(path: str, bypass: str) -> None:
    """A request without a tenant bypasses the cache on a tenants' path, and nowhere else."""
    assert bypass == plan(path + TAIL, BEARER, rules=SCOPES).bypass


requests = st.tuples(
    st.sampled_from(["/shared" + TAIL, "/teams" + TAIL, "/own" + TAIL, TAIL]),
    st.sampled_from([BEARER, OTHER]),
    st.sampled_from([RED, BLUE]),
)


@given(requests, requests)
def test_keys_are_equal_only_within_a_scope(
    one: tuple[str, tuple[bytes, bytes], tuple[bytes, bytes]],
    other: tuple[str, tuple[bytes, bytes], tuple[bytes, bytes]],
) -> None:
    """Two requests have one key exactly where their path is one and its scope does not tell their callers apart."""
    first, second = (plan(path, caller, team, rules=SCOPES) for path, caller, team in (one, other))
    told = {"shared": True, "header:X-Team": one[2] == other[2], "credentials": one[1] == other[1]}

    assert (one[0] == other[0] and told[first.policy.scope]) == (first.digest == second.digest)


def test_a_rules_scope_and_preset_are_in_the_key() -> None:
    """The same request on the same path has another key under another scope or preset."""
    keys = {plan(TAIL, BEARER, rules=(RoutePolicy(scope=scope),)).digest for scope in ("shared", "credentials")}
    presets = {plan(TAIL, BEARER, rules=(RoutePolicy(normalize=each),)).digest for each in ("strict", "text", "loose")}

    assert 4 == len(keys | presets)
    assert make_plan().digest == plan(TAIL, BEARER, rules=(RoutePolicy(ttl_seconds=99),)).digest


def test_a_rules_preset_normalizes() -> None:
    """What counts as equal is what the path's preset says."""
    shouted = CONTENT.replace(b"hi", b"HI")
    rules = (RoutePolicy("/loose/*", normalize="loose"),)

    assert plan("/loose" + TAIL, rules=rules).digest == plan("/loose" + TAIL, rules=rules, content=shouted).digest
    assert plan(TAIL, rules=rules).digest != plan(TAIL, rules=rules, content=shouted).digest


def test_a_rules_lifetime_bounds_what_callers_ask_for() -> None:
    """A caller may shorten the lifetime that holds on the path, and not lengthen it."""
    rules = (RoutePolicy("/long/*", ttl_seconds=500),)
    asking = (b"x-coo-ttl", b"1000")

    assert 500 == plan("/long" + TAIL, asking, rules=rules).directives.ttl
    assert 10 == plan(TAIL, asking, rules=rules).directives.ttl


def test_a_callers_namespace_is_part_of_the_key() -> None:
    """Namespaces of callers are apart, within the policy's and from it, and within the caller's scope."""
    named = [make_plan(headers=(*HEADERS, (b"X-Coo-Namespace", name))).digest for name in (b"a", b"b", b" a ")]
    foreign = make_plan(headers=(JSON_TYPE, OTHER, (b"x-coo-namespace", b"a"))).digest
    configured = make_plan(policy=CachePolicy(namespace="a")).digest
    both = make_plan(headers=(*HEADERS, (b"x-coo-namespace", b"a")), policy=CachePolicy(namespace="a")).digest

    assert named[0] == named[2]
    assert 6 == len({*named, foreign, configured, both, make_plan().digest})


def test_steering_is_no_other_part_of_the_key() -> None:
    """How to use the cache is no part of what is asked."""
    fields = [(b"cache-control", b"no-cache"), (b"x-coo-cache", b"read"), (b"x-coo-ttl", b"5"), (b"x-coo-tags", b"t")]
    steered = make_plan(headers=(*HEADERS, *fields))

    assert make_plan().digest == steered.digest
    assert Directives(no_cache=True, no_write=True, ttl=5, tags=("t",)) == steered.directives
    ignored = CachePolicy(callers=CallerPolicy(controls=()))
    assert make_plan().digest == make_plan(headers=(*HEADERS, (b"x-coo-namespace", b"a")), policy=ignored).digest


@given(st.text(max_size=40))
def test_any_path_has_its_settings(path: str) -> None:
    """No path raises, line ends among them, and a rule for all is a rule for each."""
    rules = Rules(POLICY, (RoutePolicy("*", ttl_seconds=3), RoutePolicy("/[a?", enabled=False)))

    assert 3 == rules.find(path).policy.ttl_seconds
