"""Which of the cache's settings hold on which path."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.request import HeadReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.routes import RoutePolicy

# Settings of a rule that stand under the same names in the policy.
CACHE_SETTINGS: Final = (
    "enabled",
    "ttl_seconds",
    "stale_while_revalidate_seconds",
    "stale_if_error_seconds",
    "scope",
    "normalize",
)
# Rules that overlap make combinations, and callers choose their paths.
_MOST_COMBINATIONS: Final = 256


@dataclass(frozen=True, slots=True)
class Ruling:
    """What holds on a path: the policy, and who reads heads by it."""

    policy: CachePolicy
    heads: HeadReader


class Rules:
    """Finds the settings of one policy and its routes."""

    __slots__ = ("_combine", "_default", "_rules", "known")

    def __init__(self, policy: CachePolicy, routes: Sequence[RoutePolicy] = ()) -> None:
        told = [(re.compile(translate(rule.path)), cache_settings(rule)) for rule in routes]
        self._rules: Final = tuple((paths, settings) for paths, settings in told if settings)
        self._default: Final = Ruling(policy, HeadReader(policy))
        self._combine: Final = lru_cache(_MOST_COMBINATIONS)(self._rule)
        each = (self._rule((place,)).heads.known for place in range(len(self._rules)))
        self.known: Final = self._default.heads.known.union(*each)
        """The names of all fields that a head depends on somewhere, in lower case: each setting adds its own."""

    def find(self, path: str) -> Ruling:
        """What holds on `path`: of each setting the first that fits it, the policy's own where none does."""
        if not self._rules:
            return self._default
        fitting = tuple(place for place, (paths, _) in enumerate(self._rules) if paths.match(path))
        return self._combine(fitting) if fitting else self._default

    def _rule(self, fitting: tuple[int, ...]) -> Ruling:
        settings: dict[str, Any] = {}
        for place in reversed(fitting):
            settings |= self._rules[place][1]
        policy = replace(self._default.policy, **settings)
        return Ruling(policy, HeadReader(policy))


def cache_settings(rule: RoutePolicy) -> dict[str, object]:
    """What a rule says about the cache, by the setting's name."""
    said = {name: getattr(rule, name) for name in CACHE_SETTINGS}
    return {name: value for name, value in said.items() if value is not None}
