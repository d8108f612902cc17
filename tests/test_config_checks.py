"""Faults that no single setting has: in providers and their keys, limits and the balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.config import Config, ConfigError, load_config, make_config
from coo_middleware.core.providers import KeyLimits, KeySettings, LLMProvider, RetryPolicy
from coo_middleware.core.quotas import LimitRule

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "must be printable ASCII without outer space and line ends, as a header field is, got a text"
EMPTY = "is empty; set the variable that it is read from, or remove the key"
SESSION = "must be a number and s, m, h or d, from 1s to 35d, such as 5m, 1h or 1d, got a text"
TWICE = "is the name of one before it; each needs its own"
NAMELESS = "must be a printable text that is not empty"
ADDRESS = "must be an address that begins with http:// or https://, without user, password, query and space, got a text"
AMOUNTS = "requests, tokens, input_tokens, output_tokens, cost, concurrency"
UNKNOWN = "must be the id or the type of one of llm_providers, got a text"


def refusal_of(source: dict[str, object]) -> list[str]:
    """The lines of the error, without the name of the source."""
    with pytest.raises(ConfigError) as caught:
        make_config(source)
    return [line.removeprefix("config: ") for line in str(caught.value).splitlines()]


def providers(*settings: dict[str, object]) -> dict[str, object]:
    return {"llm_providers": list(settings)}


def rules(*settings: dict[str, object]) -> dict[str, object]:
    return {"policy": {"limits": {"rules": [{"name": "first", "requests": 1}, *settings]}}}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, ".id: is missing; write it down, for it has no default"),
        ({"id": ""}, f".id: {NAMELESS}"),
        ({"id": " "}, f".id: {NAMELESS}"),
        ({"id": "a\nb"}, f".id: {NAMELESS}"),
        ({"id": "first"}, f".id: {TWICE}"),
        ({"id": "a", "base_url": "api.example.com"}, f".base_url: {ADDRESS}"),
        ({"id": "a", "base_url": "https://user:password@example.com"}, f".base_url: {ADDRESS}"),
        ({"id": "a", "base_url": "https://example.com/v1?key=1"}, f".base_url: {ADDRESS}"),
        ({"id": "a", "api_keys": ["s", ""]}, f".api_keys[1]: {EMPTY}"),
        ({"id": "a", "api_keys": ["s\n"]}, f".api_keys[0]: {SECRET}"),
        ({"id": "a", "api_keys": [" s"]}, f".api_keys[0]: {SECRET}"),
        ({"id": "a", "api_keys": ["€"]}, f".api_keys[0]: {SECRET}"),
        ({"id": "a", "keys": [{"id": "k"}]}, ".keys[0].secret: is missing; write it down, for it has no default"),
        ({"id": "a", "keys": [{"id": "k", "secret": ""}]}, f".keys[0].secret: {EMPTY}"),
        ({"id": "a", "keys": [{"id": "", "secret": "s"}]}, f".keys[0].id: {NAMELESS}"),
        ({"id": "a", "keys": [{"id": "k", "secret": "s"}, {"id": "k", "secret": "t"}]}, f".keys[1].id: {TWICE}"),
        ({"id": "a", "api_keys": ["s"], "keys": [{"id": "a-1", "secret": "t"}]}, f".keys[0].id: {TWICE}"),
        (
            {"id": "a", "keys": [{"id": "k", "secrte": "s", "secret": "t"}]},
            ".keys[0].secrte: unknown name; did you mean secret?",
        ),
        ({"id": "a", "limits": {"session_type": "1w"}}, f".limits.session_type: {SESSION}"),
        (
            {"id": "a", "keys": [{"id": "k", "secret": "s", "limits": {"session_type": "36d"}}]},
            f".keys[0].limits.session_type: {SESSION}",
        ),
        (
            {"id": "a", "keys": [{"id": "k", "secret": "s", "limits": {"req_per_min": -1}}]},
            ".keys[0].limits.req_per_min: must be at least 0, got a negative number",
        ),
        ({"id": "a", "pricing": {"currency": "EUR"}}, ".pricing.currency: must be one of 'USD', got a text"),
    ],
)
def test_a_provider_that_cannot_be_used_is_refused(settings: dict[str, object], told: str) -> None:
    """Each fault of a provider and its keys is told with its place."""
    assert [f"llm_providers[1]{told}"] == refusal_of(providers({"id": "first"}, settings))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"requests": 1}, ".name: is missing; write it down, for it has no default"),
        ({"name": "", "requests": 1}, f".name: {NAMELESS}"),
        ({"name": "first", "requests": 1}, f".name: {TWICE}"),
        ({"name": "a b", "requests": 1}, ".name: must be letters, digits, hyphens, underscores and points, got a text"),
        ({"name": 'a"', "requests": 1}, ".name: must be letters, digits, hyphens, underscores and points, got a text"),
        (
            {"name": "a"},
            f": limits nothing; give it an amount above 0 of {AMOUNTS}",
        ),
        (
            {"name": "a", "tokens": 1, "count_hits": True},
            ".count_hits: counts requests; give the rule requests above 0",
        ),
        ({"name": "a", "requests": 1, "per": ["key", "key"]}, ".per: names one of them twice; remove it"),
        (
            {"name": "a", "requests": 1, "per": ["user"]},
            ".per[0]: must be one of 'caller', 'model', 'path', 'provider' or 'key', got a text",
        ),
        ({"name": "a", "requests": 1, "window_seconds": 0}, ".window_seconds: must be at least 1, got zero"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(settings: dict[str, object], told: str) -> None:
    """Each fault of a limit is told with its place."""
    assert [f"policy.limits.rules[1]{told}"] == refusal_of(rules(settings))


@pytest.mark.parametrize("name", ["", "openai", "gpt"])
def test_a_fallback_is_a_provider_that_is_configured(name: str) -> None:
    """By id or by type; a provider without a type is not the one that an empty name means."""
    source = providers({"id": "mine", "type": "anthropic"}, {"id": "other"})
    source["policy"] = {"fallback": {"providers": ["mine", "anthropic", "other", name]}}

    assert [f"policy.fallback.providers[3]: {UNKNOWN}"] == refusal_of(source)


def test_a_cooldown_is_not_longer_than_the_longest() -> None:
    """The two are compared, also where one of them is the default."""
    told = "policy.cooldown_max_seconds: must be at least cooldown_seconds"
    assert [told] == refusal_of({"policy": {"cooldown_seconds": 301}})
    assert [told] == refusal_of({"policy": {"cooldown_max_seconds": 4.5}})
    assert 5 == make_config({"policy": {"cooldown_max_seconds": 5}}).policy.cooldown_max_seconds


def test_two_providers_may_name_their_keys_alike() -> None:
    """A key's name counts within its provider."""
    keys = [{"id": "k", "secret": "s"}]
    loaded = make_config(providers({"id": "a", "keys": keys}, {"id": "b", "keys": keys})).llm_providers

    assert [(KeySettings("k", "s"),)] * 2 == [each.keys for each in loaded]


@pytest.mark.parametrize("name", ["per-caller", "A.1_b", "x" * 64])
def test_a_rule_has_a_name_that_a_header_field_can_carry(name: str) -> None:
    """Letters, digits, hyphens, underscores and points."""
    assert LimitRule(name, cost=0.5) == make_config(rules({"name": name, "cost": 0.5})).policy.limits.rules[1]


def test_nothing_said_of_a_section_in_a_list_means_its_defaults() -> None:
    """A null is the defaults where a section is always there, and none where it may be missing."""
    source = providers(
        {"id": "a", "limits": None, "pricing": None, "keys": [{"id": "k", "secret": "s", "limits": None}]}
    )
    source["policy"] = {"hybrid_weights": None, "limits": None, "retry": None}
    config = make_config(source)

    assert (LLMProvider("a", keys=(KeySettings("k", "s", None),)),) == config.llm_providers
    assert (None, RetryPolicy()) == (config.policy.hybrid_weights, config.policy.retry)


def test_keys_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables fill the lists, and one that is empty is told with its line."""
    path = tmp_path / "coo.yaml"
    path.write_text(
        'llm_providers:\n  - id: "a"\n    api_keys:\n      - "${COO_KEY_1}"\n      - "${COO_KEY_2:-}"\n'
        '    keys: [{id: "k", secret: "${COO_KEY_1}", limits: {req_per_min: 6}}]\n'
    )
    monkeypatch.setenv("COO_KEY_1", "s1")
    monkeypatch.setenv("COO_KEY_2", "s2")
    expected = LLMProvider("a", api_keys=("s1", "s2"), keys=(KeySettings("k", "s1", KeyLimits(req_per_min=6)),))
    assert Config(llm_providers=(expected,)) == load_config(path)

    monkeypatch.delenv("COO_KEY_2")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert f"{path}:5: llm_providers[0].api_keys[1]: {EMPTY}" == str(caught.value)


def test_a_config_made_by_hand_is_checked_alike() -> None:
    """What was built from the values themselves is read as strictly as a file."""
    config = Config(llm_providers=(LLMProvider("a", keys=(KeySettings("k", "s"),)), LLMProvider("b", api_keys=("",))))

    with pytest.raises(ConfigError) as caught:
        make_config(config)
    assert f"config: llm_providers[1].api_keys[0]: {EMPTY}" == str(caught.value)


WEAK = "must be at least 16 printable ASCII characters without a space, got a text"
CROOKED = "must begin with / and not end with it: letters, digits, - _ . / alone; got a text"
TOKEN = "a-token-of-16-characters"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            {"admin": {"enabled": True}},
            "admin.read_token: the admin API needs it or write_token; nobody is let in without",
        ),
        ({"admin": {"read_token": "short"}}, f"admin.read_token: {WEAK}"),
        ({"admin": {"write_token": "a token with spaces"}}, f"admin.write_token: {WEAK}"),
        (
            {"admin": {"read_token": TOKEN, "write_token": TOKEN}},
            "admin.write_token: must not be the read_token, which may not write",
        ),
        ({"admin": {"path": "coo"}}, f"admin.path: {CROOKED}"),
        ({"admin": {"path": ""}}, f"admin.path: {CROOKED}"),
        ({"exporters": {"prometheus": {"path": "/metrics/"}}}, f"exporters.prometheus.path: {CROOKED}"),
        ({"exporters": {"prometheus": {"fleet_path": "/a b"}}}, f"exporters.prometheus.fleet_path: {CROOKED}"),
        (
            {"exporters": {"prometheus": {"fleet_path": "/metrics"}}},
            "exporters.prometheus.fleet_path: must not be the path of this process's own metrics",
        ),
        ({"exporters": {"prometheus": {"token": "x" * 15}}}, f"exporters.prometheus.token: {WEAK}"),
    ],
)
def test_what_operators_look_at_is_closed_unless_it_is_opened_well(source: dict[str, object], told: str) -> None:
    """No admin API without a token, no weak token, one token for each right, and paths that can be matched."""
    assert [told] == refusal_of(source)


def test_the_fleet_may_have_no_path() -> None:
    """An empty fleet_path serves this process's metrics alone."""
    assert "" == make_config({"exporters": {"prometheus": {"fleet_path": ""}}}).exporters.prometheus.fleet_path
