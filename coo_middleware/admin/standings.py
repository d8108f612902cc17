"""`GET /limits`: the limits that are configured, and how those stand of which the store can be asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from coo_middleware.core.limit_rules import LimitRules, Subjects
from coo_middleware.core.limits import Take
from coo_middleware.core.pools import Pools
from coo_middleware.core.providers import FallbackPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from coo_middleware.admin.room import Asked, Room
    from coo_middleware.config import Config
    from coo_middleware.core.limits import Level
    from coo_middleware.core.quotas import LimitRule
    from coo_middleware.core.standing import Standing
    from coo_middleware.stores import RuntimeStore

MOST_KEYS: Final = 1000

_AT_ONCE: Final = 100
_LEASE_SECONDS: Final = 1.0
_NOBODY: Final = Subjects("", "", "", "", "")


@dataclass(frozen=True, slots=True)
class _Shown:
    """A limit as it is shown; without a name where nobody can be asked how it stands."""

    label: str
    limit: float
    window_seconds: float
    name: str = ""

    def tell(self, levels: Mapping[str, Level]) -> dict[str, object]:
        level = levels.get(self.name)
        return {
            "label": self.label,
            "limit": self.limit,
            "window_seconds": self.window_seconds,
            "used": level.used if level else None,
            "reset_seconds": level.reset_seconds if level else None,
        }


async def answer_limits(room: Room, _asked: Asked) -> Mapping[str, object]:
    """The limits of each key, and of each rule. Raises StoreError."""
    rules = room.config.policy.limits.rules
    by_key = [(each, _list_key(each, rules)) for each in _list_standings(room.config)[:MOST_KEYS]]
    by_rule = [(rule, _list_rule(rule)) for rule in rules]
    levels = await _read_levels(room.store, [shown for _, limits in (*by_key, *by_rule) for shown in limits])
    return {
        "is_kept": levels is not None,
        "keys": [
            {"provider": each.key.provider, "key": each.key.id, "limits": _tell(limits, levels)}
            for each, limits in by_key
        ],
        "rules": [_tell_rule(rule) | {"limits": _tell(limits, levels)} for rule, limits in by_rule],
    }


def _list_standings(config: Config) -> list[Standing]:
    policy = config.policy
    pools = Pools(
        config.llm_providers, FallbackPolicy(enabled=False), policy.cooldown_seconds, policy.cooldown_max_seconds
    )
    names = dict.fromkeys(each.id for each in config.llm_providers if each.api_keys or each.keys)
    return [standing for name in names for standing in pools.find(name)[0].standings]


def _list_key(standing: Standing, rules: Iterable[LimitRule]) -> list[_Shown]:
    """The limits of a key, and what the rules per key are for it, whatever the path and the model."""
    own = [_Shown(each.kind, each.limit, each.window_seconds, each.name) for each in standing.limits]
    fitting = [replace(rule, path="*", model="*") for rule in rules if "key" in rule.per and _is_plain(rule)]
    subjects = replace(_NOBODY, provider=standing.key.provider, key=standing.key.id)
    found = LimitRules(fitting).find(subjects)
    return [*own, *(_Shown(each.label, each.quota, each.window_seconds, each.name) for each in found)]


def _list_rule(rule: LimitRule) -> list[_Shown]:
    """The limits of a rule; how they stand only where they are of all requests together."""
    found = LimitRules([replace(rule, path="*", model="*", provider="*")]).find(_NOBODY)
    return [_Shown(each.label, each.quota, each.window_seconds, "" if rule.per else each.name) for each in found]


def _is_plain(rule: LimitRule) -> bool:
    """Whether it has one limit for each key of a provider."""
    return {*rule.per} <= {"key", "provider"}


async def _read_levels(store: RuntimeStore, limits: Iterable[_Shown]) -> dict[str, Level] | None:
    """How they stand. The first choice is empty, and so what is asked for fits and takes nothing."""
    takes = [Take(each.name, each.limit, each.window_seconds, 0.0) for each in limits if each.name]
    takes = [*{take.name: take for take in takes}.values()]
    levels: dict[str, Level] = {}
    for begin in range(0, max(1, len(takes)), _AT_ONCE):
        some = tuple(takes[begin : begin + _AT_ONCE])
        admission = await store.reserve(token_hex(8), [(), some], _LEASE_SECONDS)
        if admission is None:
            return None
        levels |= zip((take.name for take in some), admission.levels[1], strict=True)
    return levels


def _tell(limits: Sequence[_Shown], levels: Mapping[str, Level] | None) -> list[dict[str, object]]:
    return [limit.tell(levels or {}) for limit in limits]


def _tell_rule(rule: LimitRule) -> dict[str, object]:
    return {"name": rule.name, "per": [*rule.per], "path": rule.path, "model": rule.model, "provider": rule.provider}
