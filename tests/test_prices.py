"""prices.py: what calls cost, by configured prices and by published ones."""

from __future__ import annotations

import socket
import subprocess
import sys
from timeit import repeat
from typing import NoReturn

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from coo_middleware.core.demand import Demand
from coo_middleware.core.outcome import Usage
from coo_middleware.core.providers import LLMProvider, Pricing
from coo_middleware.prices import Prices

USAGE = Usage(1000, 100, cache_read_tokens=500)
CHEAP = Pricing(input_token_cost=0.5, output_token_cost=1.0)
DEAR = Pricing(input_token_cost=5.0, output_token_cost=10.0, cache_read_token_cost=0.5)


@pytest.fixture
def unpublished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published prices are not installed."""
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)


def test_configured_prices_are_of_a_thousand_tokens(unpublished: None) -> None:
    """What was read from the provider's cache has its own price where it is configured, else that of all input."""
    prices = Prices([LLMProvider("cheap", pricing=CHEAP), LLMProvider("dear", pricing=DEAR)])

    assert 0.5 + 0.1 == pytest.approx(prices.cost("cheap", "any", USAGE))
    assert 2.5 + 0.25 + 1.0 == pytest.approx(prices.cost("dear", "any", USAGE))


def test_a_provider_s_own_prices_go_before_those_of_its_type(unpublished: None) -> None:
    """A provider is found by its id; one that is not configured by its type, in any of its names."""
    prices = Prices([LLMProvider("first", "gemini", pricing=CHEAP), LLMProvider("second", "gemini", pricing=DEAR)])

    costs = [prices.cost(name, "m", Usage(1000, 0)) for name in ("first", "second", "gemini", "gcp.gemini", "Google")]
    assert [0.5, 5.0, 0.5, 0.5, 0.5] == costs


def test_a_configured_provider_without_prices_has_not_another_one_s(unpublished: None) -> None:
    """Where a provider of the same type is priced, that says nothing of one that is configured without prices."""
    prices = Prices([LLMProvider("bought", "openai", pricing=DEAR), LLMProvider("own", "openai")])

    assert prices.cost("own", "gpt-4o", USAGE) is None


def test_without_published_prices_a_cost_is_unknown(unpublished: None) -> None:
    """Where nothing is configured and nothing installed, no cost is made up."""
    prices = Prices()
    prices.open()

    assert prices.cost("openai", "gpt-4o", USAGE) is None
    assert Demand(1.0, 10.0, 5.0) == prices.price("openai", "gpt-4o", Demand(1.0, 10.0, 5.0))


@pytest.mark.parametrize("provider", ["openai", "azure.ai.openai", "azure", "openrouter"])
def test_published_prices_count_where_none_are_configured(provider: str) -> None:
    """A price is found by the names of OpenTelemetry and by those of gateways; half of this input was cached."""
    model = "openai/gpt-4o" if provider == "openrouter" else "gpt-4o"

    assert 0.0025 * 0.5 + 0.00125 * 0.5 + 0.001 == pytest.approx(Prices().cost(provider, model, USAGE))


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-3-5-sonnet-20241022"),
        ("gcp.gemini", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "gemini-2.5-pro"),
        ("aws.bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("mistral_ai", "mistral-large-latest"),
        ("cohere", "command-r-plus"),
        ("deepseek", "deepseek-chat"),
        ("groq", "llama-3.3-70b-versatile"),
        ("x_ai", "grok-3"),
        ("moonshot_ai", "kimi-k2"),
        ("perplexity", "sonar"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3-0324"),
        ("cerebras", "llama-3.3-70b"),
    ],
)
def test_our_names_of_providers_have_published_prices(provider: str, model: str) -> None:
    """What this package calls a provider finds its prices."""
    cost = Prices().cost(provider, model, USAGE)

    assert cost is not None
    assert cost > 0


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "no-such-model", USAGE),
        ("vllm", "gpt-4o", USAGE),
        ("my-openai", "gpt-4o", USAGE),
        ("openai", "whisper-1", USAGE),
        ("openai", "gpt-4o", Usage(None, None)),
    ],
)
def test_what_has_no_price_is_unknown(provider: str, model: str, usage: Usage) -> None:
    """Unknown is not zero: neither for a model, nor a provider, nor what is not paid by the token, nor a usage."""
    assert Prices().cost(provider, model, usage) is None


def test_costs_are_those_of_the_publisher() -> None:
    """For each published model and tier the cost is the one that the publisher's own package reckons."""
    prices, compared = Prices(), 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            for usage in (Usage(10, 500, 3, 4), Usage(300_000, 2000, 100_000, 50_000)):
                cost = prices.cost(provider.id, model.id, usage)
                if cost is not None:
                    assert cost == pytest.approx(publisher_s_cost(provider.id, model.id, usage)), model.id
                    compared += 1

    assert compared > 3000


def publisher_s_cost(provider: str, model: str, usage: Usage) -> float:
    told = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    return float(genai_prices.calc_price(told, model, provider_id=provider).total_price)


def test_a_provider_s_type_finds_its_published_prices() -> None:
    """A provider with a name of its own and no prices has those that are published for its type."""
    prices = Prices([LLMProvider("eu", "gemini")])

    assert prices.cost("gcp.gemini", "gemini-2.5-pro", USAGE) == prices.cost("eu", "gemini-2.5-pro", USAGE) is not None


def test_a_demand_is_priced() -> None:
    """What a call will take has its cost beside its tokens, with parts of tokens rounded up."""
    demand = Prices([LLMProvider("p", pricing=CHEAP)]).price("p", "m", Demand(1.0, 999.5, 100.0))

    assert Demand(1.0, 999.5, 100.0, cost=0.6) == demand


def test_the_network_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published prices come with the package that publishes them."""

    def refuse(*_: object) -> NoReturn:
        raise OSError

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)

    assert Prices().cost("openai", "gpt-4o", USAGE) is not None


def test_published_prices_load_when_they_are_needed() -> None:
    """Neither the import of this package nor configured prices load them."""
    program = (
        "import sys, coo_middleware\n"
        "from coo_middleware.core.outcome import Usage\n"
        "from coo_middleware.core.providers import LLMProvider, Pricing\n"
        "from coo_middleware.prices import Prices\n"
        "prices = Prices([LLMProvider('p', pricing=Pricing(1.0))])\n"
        "assert prices.cost('p', 'm', Usage(1, 1)) == 0.001\n"
        "assert 'genai_prices' not in sys.modules\n"
        "prices.open()\n"
        "assert 'genai_prices' in sys.modules\n"
    )

    assert 0 == subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode


def test_models_that_callers_make_up_are_forgotten() -> None:
    """What is remembered of models is bounded, and the publisher's package remembers none of them."""
    prices, snapshot = Prices(), get_snapshot()
    known = len(snapshot._lookup_cache) + len(snapshot._provider_cache)
    for number in range(5000):
        prices.cost("deepseek", f"made-up-{number}", USAGE)

    assert 0 < len(prices._found) <= 4096
    assert known == len(snapshot._lookup_cache) + len(snapshot._provider_cache)


@pytest.mark.parametrize("model", ["gpt-4o", "no-such-model"])
def test_a_known_price_is_cheap_to_use(model: str) -> None:
    """A cost takes some microseconds once its model was found, also where no price was."""
    prices = Prices()
    prices.cost("openai", model, USAGE)

    assert min(repeat(lambda: prices.cost("openai", model, USAGE), number=200, repeat=5)) / 200 < 5e-5
