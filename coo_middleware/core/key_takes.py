"""What a call takes of the limits of a provider's key."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

from coo_middleware.core.demand import Kind
from coo_middleware.core.fullness import is_full
from coo_middleware.core.limits import Take
from coo_middleware.core.session import read_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.demand import Demand
    from coo_middleware.core.limits import Admission, Level, Takes
    from coo_middleware.core.providers import KeyLimits

_MINUTE: Final = 60.0
_LONGEST_NAME: Final = 300
# Of calls under way nobody can know when they end, and a lease may run on.
_SOON_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class KeyLimit:
    """One limit of one key: `name` is the store's for it."""

    name: str
    kind: Kind
    limit: float
    window_seconds: float


KeyLimitList: TypeAlias = tuple[KeyLimit, ...]


def list_limits(provider: str, key_id: str, limits: KeyLimits) -> KeyLimitList:
    """The limits that a key has; ValueError for a session that is no length of time."""
    session = read_session(limits.session_type) if limits.session_limit else 0.0
    amounts: tuple[tuple[str, Kind, float, float], ...] = (
        ("req_per_min", "requests", limits.req_per_min, _MINUTE),
        ("tokens_per_min", "tokens", limits.tokens_per_min, _MINUTE),
        (f"session_limit:{session:.0f}", "tokens", limits.session_limit, session),
        ("concurrency", "concurrency", limits.concurrency, 0.0),
    )
    key = f"key:{_fit(provider)}:{_fit(key_id)}"
    return tuple(
        KeyLimit(f"{key}:{name}", kind, float(limit), window) for name, kind, limit, window in amounts if limit
    )


def take_all(limits: KeyLimitList, demand: Demand, most_tokens: float = 0.0) -> Takes:
    """What a call takes of them; of tokens `most_tokens` at most, unless that is 0."""
    tokens = min(demand.tokens, most_tokens) if most_tokens else demand.tokens
    amounts = {"tokens": tokens, "requests": demand.requests, "concurrency": demand.concurrency}
    return tuple(Take(each.name, each.limit, each.window_seconds, amounts[each.kind]) for each in limits)


def begin_rest(provider: str, key_id: str) -> Take:
    """What keeps a key from being picked, for as long as its lease runs. The limit is never reached: of several rests,
    as several processes may begin them, the longest counts.
    """
    return Take(_rest_name(provider, key_id), 1e6, 0.0, 1.0)


def heed_rest(provider: str, key_id: str) -> Take:
    """What does not fit while a key rests, and takes nothing while it does not."""
    return Take(_rest_name(provider, key_id), 0.5, 0.0, 0.0)


def compare_limits(pool: Sequence[KeyLimitList]) -> list[float]:
    """How much each key of a pool may do beside the one that may do most: 1 where no limit of its own is narrower."""
    widest: dict[tuple[Kind, float], float] = {}
    for limit in (each for limits in pool for each in limits):
        sort = (limit.kind, limit.window_seconds)
        widest[sort] = max(widest.get(sort, 0.0), limit.limit)
    return [
        min((each.limit / widest[each.kind, each.window_seconds] for each in limits), default=1.0) for limits in pool
    ]


def find_wait(choices: Sequence[Takes], admission: Admission) -> float:
    """After how many seconds to ask again for what was refused."""
    bounds = (_find_bound(takes, levels) for takes, levels in zip(choices, admission.levels, strict=False))
    return min([admission.wait_seconds, *bounds])


def _find_bound(takes: Takes, levels: Sequence[Level]) -> float:
    full = [(take, level) for take, level in zip(takes, levels, strict=False) if is_full(take, level)]
    waits = (_SOON_SECONDS if take.amount and not take.window_seconds else level.reset_seconds for take, level in full)
    return max(waits, default=inf)


def _rest_name(provider: str, key_id: str) -> str:
    return f"cool:{_fit(provider)}:{_fit(key_id)}"


def _fit(name: str) -> str:
    quoted = quote(name, safe="")
    return quoted if len(quoted) <= _LONGEST_NAME else sha256(name.encode()).hexdigest()
