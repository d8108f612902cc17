"""What an hour of traffic leaves in a store, without an hour."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import pi, sin
from time import time
from typing import TYPE_CHECKING

from coo_middleware.core.key_takes import list_limits
from coo_middleware.core.limits import Take
from coo_middleware.core.outcome import Usage
from coo_middleware.core.providers import KeyLimits
from coo_middleware.core.record import CacheStatus, ErrorType, Record, count_record
from coo_middleware.core.series import count_series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coo_middleware.stores import RuntimeStore

LIMITS = KeyLimits(req_per_min=60, tokens_per_min=200_000, concurrency=8)
KEYS: Mapping[str, Sequence[str]] = {"anthropic": ["claude-1"], "openai": ["openai-1", "openai-2"]}
MODELS = {"anthropic": ["claude-sonnet-4-5"], "openai": ["gpt-5-mini", "gpt-5-mini", "gpt-5"]}
_CACHES: Sequence[CacheStatus] = ("hit", "stale", "collapsed", "miss", "bypass")
_FAULTS: Sequence[ErrorType] = ("status", "status", "limited", "cut", "client_disconnect")


@dataclass
class Clock:
    """A store's clock, which a test sets; by default it goes."""

    stopped: float = 0.0

    def __call__(self) -> float:
        return self.stopped or time()


def make_record(
    provider: str,
    key_id: str,
    model: str,
    *,
    cache: CacheStatus = "miss",
    error: ErrorType = "",
    tokens: tuple[int, int] = (300, 100),
    duration: float = 0.8,
) -> Record:
    """One request; it costs two dollars per million tokens of input and eight per million of output."""
    usage = None if error else Usage(*tokens)
    cost = None if error else (2 * tokens[0] + 8 * tokens[1]) / 1e6
    status = {"": 200, "limited": 429, "status": 503}.get(error, 200)
    asked, first = error != "limited", None if error else duration * 0.4
    return Record(
        provider, key_id, "chat", model, status, cache, usage, duration, error, "", cost=cost, asked=asked,
        first_chunk=first,
    )  # fmt: skip


async def count(store: RuntimeStore, record: Record) -> None:
    """Counts a record as the recorder does."""
    for metric, amount in (*count_record(record), *count_series(record)):
        await store.increment_usage(record.provider, record.key_id, metric, amount)


async def live_an_hour(store: RuntimeStore, clock: Clock, now: float) -> None:
    """Traffic in waves for an hour until `now`, the same each time, and limits that are half used."""
    dice = random.Random(7)  # noqa: S311 -- made-up traffic
    for minute in range(60):
        clock.stopped = now - 3600 + 60 * minute + 30
        for _ in range(round(26 * (1 + 0.5 * sin(minute * pi / 17)) * dice.uniform(0.8, 1.2))):
            await count(store, draw_record(dice))
    clock.stopped = 0.0
    await use_limits(store)


def draw_record(dice: random.Random) -> Record:
    """One request of an ordinary day."""
    provider = dice.choices(["openai", "anthropic"], [7, 3])[0]
    key, model = dice.choice(KEYS[provider]), dice.choice(MODELS[provider])
    cache = dice.choices(_CACHES, [34, 2, 8, 50, 6])[0]
    if cache in ("miss", "bypass") and dice.random() < 0.05:
        return make_record(provider, key, model, cache=cache, error=dice.choice(_FAULTS), duration=dice.uniform(0.1, 9))
    is_reused = cache in ("hit", "stale")
    duration = dice.uniform(0.0008, 0.004) if is_reused else dice.lognormvariate(-0.2, 0.6)
    tokens = (dice.randrange(120, 1800), dice.randrange(40, 700))
    return make_record(provider, key, model, cache=cache, tokens=tokens, duration=duration)


async def use_limits(store: RuntimeStore) -> None:
    """Uses the keys' limits up to different shares, for as long as a minute."""
    for number, (provider, key) in enumerate((name, key) for name, keys in KEYS.items() for key in keys):
        share = (0.35, 0.86, 0.55)[number]
        takes = [
            Take(limit.name, limit.limit, limit.window_seconds, limit.limit * share // 1)
            for limit in list_limits(provider, key, LIMITS)
        ]
        await store.reserve(f"{provider}/{key}", [tuple(takes)], 60.0)
