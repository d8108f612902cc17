"""Pools: which keys a name stands for."""

import pytest

from coo_middleware.core.pools import Pools
from coo_middleware.core.providers import FallbackPolicy, KeyLimits, KeySettings, LLMProvider

EU = LLMProvider("openai-eu", "openai", "https://eu.test", "m", api_keys=("s1", "s2"), limits=KeyLimits(req_per_min=9))
US = LLMProvider("openai-us", "openai", keys=(KeySettings("mine", "s3", KeyLimits(req_per_min=3)),))
CLAUDE = LLMProvider("claude", "anthropic", api_keys=("s4",))
EMPTY = LLMProvider("empty", "nobody")


def open_pools(*providers: LLMProvider, fallback: FallbackPolicy | None = None) -> Pools:
    return Pools(providers, fallback or FallbackPolicy(), 5.0, 300.0)


def names(pools: Pools, name: str) -> list[list[str]]:
    return [[each.key.id for each in pool.standings] for pool in pools.find(name)]


def test_an_id_stands_for_one_provider_and_a_type_for_all_of_it() -> None:
    """By its id one provider's keys are found, by the type those of all that have it."""
    pools = open_pools(EU, US, CLAUDE)

    assert [["openai-eu-1", "openai-eu-2"]] == names(pools, "openai-eu")
    assert [["openai-eu-1", "openai-eu-2", "mine"]] == names(pools, "openai")


def test_an_id_comes_before_a_type() -> None:
    """Where a name is one provider's id and others' type, it is the provider that is meant."""
    assert [["anthropic-1"]] == names(open_pools(CLAUDE, LLMProvider("anthropic", "x", api_keys=("s",))), "anthropic")


def test_a_key_is_known_once() -> None:
    """What is learnt of a key under one name is known under each."""
    pools = open_pools(EU, US)

    assert pools.find("openai")[0].standings[2] is pools.find("openai-us")[0].standings[0]


def test_a_key_has_its_own_limits_or_the_providers() -> None:
    """Limits under a key take the place of the provider's, and a handler gets all that it needs for the call."""
    first, _, mine = open_pools(EU, US).find("openai")[0].standings

    assert [9, 3] == [limit.limit for each in (first, mine) for limit in each.limits]
    assert ("openai-eu", "openai-eu-1", "s1", "openai", "https://eu.test", "m") == (
        *(first.key.provider, first.key.id, first.key.secret),
        *(first.key.type, first.key.base_url, first.key.model),
    )


def test_fallback_providers_stand_behind() -> None:
    """Behind the pool are those that take its place and speak as it does, in their order, as many as are allowed and
    have keys.
    """
    providers = ("empty", "claude", "openai-us", "azure")
    azure = LLMProvider("azure", "openai", api_keys=("s",))
    pools = open_pools(EU, US, CLAUDE, EMPTY, azure, fallback=FallbackPolicy(max_providers=4, providers=providers))
    few = open_pools(EU, US, azure, fallback=FallbackPolicy(max_providers=1, providers=providers[2:]))
    off = open_pools(EU, US, fallback=FallbackPolicy(enabled=False, providers=("openai-us",)))

    assert [["openai-eu-1", "openai-eu-2"], ["mine"], ["azure-1"]] == names(pools, "openai-eu")
    assert [["openai-eu-1", "openai-eu-2"], ["mine"]] == names(few, "openai-eu")
    assert [["openai-eu-1", "openai-eu-2"]] == names(off, "openai-eu")


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    """A name without keys raises LookupError, which tells the known names and no secret."""
    with pytest.raises(LookupError, match="known are: anthropic, claude, openai, openai-us") as error:
        open_pools(US, CLAUDE, EMPTY).find("empty")
    with pytest.raises(LookupError, match="llm_providers has no keys"):
        open_pools(EMPTY).find("openai")

    assert "s3" not in str(error.value).split()
    assert (False, True) == (bool(open_pools(EMPTY)), bool(open_pools(US)))
