"""What calls cost: by the configured prices of their provider, else by published ones, where these are installed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Final

from coo_middleware.core.outcome import Usage
from coo_middleware.core.tariff import Rate, Tariff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelPrice, Provider, TieredPrices

    from coo_middleware.core.demand import Demand
    from coo_middleware.core.providers import LLMProvider, Pricing

_MOST_MODELS: Final = 4096
# Some prices depend on the time of day.
_KEPT_SECONDS: Final = 60.0
# The names of those who publish prices, with ours and with what gateways and SDKs call them.
_PUBLISHED: Final[dict[str, tuple[str, ...]]] = {
    "openai": (),
    "anthropic": ("claude",),
    "azure": ("azure.ai.openai", "azure.ai.inference", "azure_openai", "azure_ai"),
    "aws": ("aws.bedrock", "bedrock", "bedrock_converse", "amazon"),
    "google": (
        *("gcp.gemini", "gemini", "google_genai", "google-gla"),
        *("gcp.vertex_ai", "vertex", "vertex_ai", "vertexai", "google_vertexai", "google-vertex"),
    ),
    "mistral": ("mistral_ai", "mistralai"),
    "cohere": ("cohere_chat",),
    "x-ai": ("x_ai", "xai", "grok"),
    "moonshotai": ("moonshot_ai", "moonshot"),
    "together": ("together_ai", "together-ai"),
    "fireworks": ("fireworks_ai", "fireworks-ai"),
}
_NAMES: Final = {alias: name for name, aliases in _PUBLISHED.items() for alias in aliases}


class Prices:
    """Prices calls of `providers`, and of others by the published prices. It never asks the network.

    The published prices, of the extra `cost`, load when they are first needed, which takes half a second; `open` does
    that before.
    """

    def __init__(self, providers: Sequence[LLMProvider] = ()) -> None:
        self._types: Final = {each.id: each.type or each.id for each in providers}
        priced = [each for each in providers if _is_set(each.pricing)]
        self._by_id: Final = {each.id: _tariff_of(each.pricing) for each in priced}
        # Of several with one type the first.
        self._by_type: Final = {_name(self._types[each.id]): self._by_id[each.id] for each in reversed(priced)}
        self._published: Callable[[], Sequence[Provider]] | None = None
        self._found: Final[dict[tuple[str, str], Tariff | None]] = {}
        self._forgets_at = 0.0

    def open(self) -> None:
        """Loads the published prices, where they are installed; it may run in a thread of its own."""
        self._providers()

    def cost(self, provider: str, model: str, usage: Usage) -> float | None:
        """What a call cost that took `usage`, in US dollars; None where no price is known, or no usage."""
        if usage.input_tokens is None and usage.output_tokens is None:
            return None
        tariff = self._find(provider, model)
        return None if tariff is None else tariff.cost(usage)

    def price(self, provider: str, model: str, demand: Demand) -> Demand:
        """The demand with what it will cost; 0 where no price is known."""
        usage = Usage(ceil(demand.input_tokens), ceil(demand.output_tokens))
        return replace(demand, cost=self.cost(provider, model, usage) or 0.0)

    def _find(self, provider: str, model: str) -> Tariff | None:
        now = monotonic()
        if now >= self._forgets_at or len(self._found) >= _MOST_MODELS:
            self._found.clear()
            self._forgets_at = now + _KEPT_SECONDS
        try:
            return self._found[provider, model]
        except KeyError:
            tariff = self._found[provider, model] = self._choose(provider, model)
        return tariff

    def _choose(self, provider: str, model: str) -> Tariff | None:
        """The provider's own prices; where it has none and is not configured itself, those of its type."""
        if provider in self._by_id:
            return self._by_id[provider]
        name = _name(self._types.get(provider, provider))
        if provider not in self._types and name in self._by_type:
            return self._by_type[name]
        return self._look_up(name, model)

    def _look_up(self, name: str, model: str) -> Tariff | None:
        published = self._providers()
        provider = next((each for each in published if each.id == name), None)
        # Not calc_price(), which takes long, and remembers every name of a model that anybody ever asked for.
        found = provider.find_model(model, all_providers=list(published)) if provider else None
        return None if found is None else _tariff_of_published(found.get_prices(datetime.now(UTC)))

    def _providers(self) -> Sequence[Provider]:
        if self._published is None:
            self._published = _open_published()
        return self._published()


def _name(provider: str) -> str:
    name = provider.lower()
    return _NAMES.get(name, name)


def _is_set(pricing: Pricing) -> bool:
    return bool(pricing.input_token_cost or pricing.output_token_cost)


def _tariff_of(pricing: Pricing) -> Tariff:
    read = pricing.cache_read_token_cost
    return Tariff(
        input=Rate(pricing.input_token_cost / 1000),
        output=Rate(pricing.output_token_cost / 1000),
        cache_read=None if read is None else Rate(read / 1000),
    )


def _tariff_of_published(price: ModelPrice) -> Tariff | None:
    """None where nothing is paid by the token."""
    rates = {name: _rate_of(each) for name, each in vars(price).items() if name.endswith("_mtok")}
    if not {"input_mtok", "output_mtok"} & {name for name, rate in rates.items() if rate}:
        return None
    return Tariff(
        input=rates.get("input_mtok") or Rate(0.0),
        output=rates.get("output_mtok") or Rate(0.0),
        cache_read=rates.get("cache_read_mtok"),
        cache_write=rates.get("cache_write_mtok"),
        input_audio=rates.get("input_audio_mtok"),
        output_audio=rates.get("output_audio_mtok"),
        request=float(vars(price).get("requests_kcount") or 0) / 1000,
    )


def _rate_of(price: Decimal | TieredPrices | None) -> Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return Rate(float(price) / 1e6)
    return Rate(float(price.base) / 1e6, tuple((tier.start, float(tier.price) / 1e6) for tier in price.tiers))


def _open_published() -> Callable[[], Sequence[Provider]]:
    """Reads what is published now: the application may keep it up to date, with `genai_prices.UpdatePrices`."""
    try:
        module = import_module("genai_prices.data_snapshot")
    except ImportError:
        return tuple
    read: Callable[[], DataSnapshot] = module.get_snapshot
    return lambda: read().providers
