"""The settings of limits, as the core uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from annotated_types import Ge, Le, MaxLen

from coo_middleware.core.policy import STRICT, StrictSettings
from coo_middleware.core.providers import Amount

Subject: TypeAlias = Literal["caller", "model", "path", "provider", "key"]


@dataclass(frozen=True, slots=True)
class LimitRule:
    """One rule under `policy.limits.rules`. Each amount is a limit of its own; 0 is none."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    name: Annotated[str, MaxLen(64)]
    """By what name callers see it: letters, digits, `-`, `_` and `.`."""
    per: tuple[Subject, ...] = ()
    """Each of what has limits of its own; empty: all requests together. `key` is the provider's key."""
    path: Annotated[str, MaxLen(2048)] = "*"
    """Paths that the rule is for; `*` stands for any text, slashes too, and `?` for one character."""
    model: Annotated[str, MaxLen(256)] = "*"
    """Models that it is for, written as the paths are."""
    provider: Annotated[str, MaxLen(200)] = "*"
    """Providers that it is for, written as the paths are."""
    window_seconds: Annotated[float, Ge(1), Le(3_024_000)] = 60.0
    """How long the window is, in seconds."""
    requests: Amount = 0
    """Requests in any window."""
    tokens: Amount = 0
    """Tokens, input and output together, in any window."""
    input_tokens: Amount = 0
    """Input tokens in any window."""
    output_tokens: Amount = 0
    """Output tokens in any window."""
    cost: Annotated[float, Ge(0), Le(1_000_000_000)] = 0.0
    """US dollars in any window: a budget."""
    concurrency: Amount = 0
    """Calls at the same time."""
    count_hits: bool = False
    """Reused responses count as `requests` too, and are refused as others are."""


@dataclass(frozen=True, slots=True)
class LimitsPolicy:
    """Settings under `policy.limits`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    rules: tuple[LimitRule, ...] = ()
    """The limits of callers, models, paths, providers and keys."""
    on_store_error: Literal["local", "open", "closed"] = "local"
    """While the store is away: `local` keeps the limits in this process, each divided by `expected_replicas`; `open`
    keeps none, `closed` refuses with 503."""
    expected_replicas: Annotated[int, Ge(1), Le(100_000)] = 1
    """How many processes share the limits."""
    lease_seconds: Annotated[float, Ge(1), Le(3600)] = 30.0
    """After so many seconds without a sign of life the reservations of a process are given back."""
    default_output_tokens: Annotated[int, Ge(1), Le(10_000_000)] = 1024
    """Output that is reserved for a call of which nothing is known, neither its bound nor others like it."""
    headers: bool = True
    """Tell callers how their limits stand: `RateLimit`, `RateLimit-Policy`, `x-ratelimit-*`."""
