"""The settings of providers, their keys, and of how calls are shared among these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypeAlias

from annotated_types import Ge, Le, MaxLen

from coo_middleware.core.policy import STRICT, StrictSettings

Algorithm: TypeAlias = Literal["least_loaded", "round_robin", "hybrid"]
Priority: TypeAlias = Literal["balanced", "cost", "req", "token"]
Amount: TypeAlias = Annotated[int, Ge(0), Le(1_000_000_000_000)]
Weight: TypeAlias = Annotated[float, Ge(0), Le(1_000)]
Price: TypeAlias = Annotated[float, Ge(0), Le(1_000_000)]


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Settings under `llm_providers[].limits`: what each of its keys may do. 0 is no limit."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    req_per_min: Amount = 0
    """Requests in any 60 seconds."""
    tokens_per_min: Amount = 0
    """Tokens, input and output together, in any 60 seconds."""
    concurrency: Amount = 0
    """Calls at the same time."""
    session_limit: Amount = 0
    """Tokens in any `session_type`."""
    session_type: Annotated[str, MaxLen(16)] = "1h"
    """How long a session is: a number and s, m, h or d, such as `5m`, `1h` or `1d`."""
    max_tokens: Amount = 0
    """The most tokens that one call is reserved."""


@dataclass(frozen=True, slots=True)
class Pricing:
    """Settings under `llm_providers[].pricing`, in US dollars per 1,000 tokens. Where both are 0 the published prices
    count, with the extra `cost`.
    """

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    input_token_cost: Price = 0.0
    """What 1,000 input tokens cost."""
    output_token_cost: Price = 0.0
    """What 1,000 output tokens cost."""
    cache_read_token_cost: Price | None = None
    """What 1,000 input tokens cost that the provider read from its own prompt cache; as other input when not given."""
    currency: Literal["USD"] = "USD"
    """All prices are in one currency."""


@dataclass(frozen=True, slots=True)
class KeySettings:
    """One key under `llm_providers[].keys`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    id: Annotated[str, MaxLen(200)]
    """By what name it is counted."""
    secret: Annotated[str, MaxLen(8192)] = field(repr=False)
    """The key itself."""
    limits: KeyLimits | None = None
    """Its own limits, in the place of the provider's."""


@dataclass(frozen=True, slots=True)
class LLMProvider:
    """One provider under `llm_providers`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    id: Annotated[str, MaxLen(200)]
    """By what name it is picked and counted."""
    type: Annotated[str, MaxLen(200)] = ""
    """What it speaks: `openai`, `anthropic`, … A pick by type chooses among all providers of it."""
    base_url: Annotated[str, MaxLen(2048)] = ""
    """Where it is, for the handler."""
    model: Annotated[str, MaxLen(256)] = ""
    """The model to ask it for, for the handler."""
    api_keys: tuple[Annotated[str, MaxLen(8192)], ...] = field(default=(), repr=False)
    """Its keys, counted as `<id>-1`, `<id>-2` and so on."""
    keys: tuple[KeySettings, ...] = ()
    """Its keys, where they have names or limits of their own."""
    limits: KeyLimits = field(default_factory=KeyLimits)
    """What each of its keys may do."""
    pricing: Pricing = field(default_factory=Pricing)
    """What its tokens cost."""


@dataclass(frozen=True, slots=True)
class HybridWeights:
    """Settings under `policy.hybrid_weights`: what speaks against a key, and how much."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    token_ratio: Weight = 0.2
    """The used share of its tokens."""
    req_ratio: Weight = 0.2
    """The used share of its requests."""
    error_score: Weight = 0.2
    """The share of its calls that failed lately."""
    latency: Weight = 0.2
    """How slow it is beside the slowest."""
    cost_ratio: Weight = 0.2
    """How dear it is beside the dearest."""


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """Settings under `policy.fallback`: who is picked when no key of a provider may be."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    enabled: bool = True
    """Go on to `providers`."""
    max_providers: Annotated[int, Ge(0), Le(100)] = 2
    """So many of them at most."""
    providers: tuple[Annotated[str, MaxLen(200)], ...] = ()
    """Their ids or types, in this order; one of another type than the provider's is left out."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Settings under `policy.retry`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    max_attempts: Annotated[int, Ge(1), Le(100)] = 3
    """How many keys one request is given, one after another."""


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """What `pick` gives: with which `secret` to call whom. `id` is its name, fit to be shown; `type`, `base_url` and
    `model` are the provider's, as configured.
    """

    provider: str
    id: str
    secret: str = field(repr=False)
    type: str = ""
    base_url: str = ""
    model: str = ""
