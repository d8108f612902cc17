"""Which limits a request is under, and what each of them is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from coo_middleware.core.demand import KINDS, Demand, Kind
from coo_middleware.core.limits import Take

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.core.quotas import LimitRule, Subject

# Callers choose paths and models, and a path may be long.
_MOST_REMEMBERED: Final = 512
_SHOWN: Final = re.compile(r"[A-Za-z0-9._:/@+-]{1,64}")


@dataclass(frozen=True, slots=True)
class Subjects:
    """What a limit can be kept of. `caller` is a plan's: a digest; `key` the name of a provider's key."""

    caller: str
    model: str
    path: str
    provider: str
    key: str


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit as one request meets it: there may be `quota` of a kind in any `window_seconds`; where these are 0, at
    the same time. `rule` is the name of its rule, `label` what callers see, `name` what the store counts it under.
    """

    rule: str
    label: str
    name: str
    kind: Kind
    quota: float
    window_seconds: float
    counts_hits: bool

    def take(self, demand: Demand) -> Take:
        """What a call takes of it."""
        return Take(self.name, self.quota, self.window_seconds, demand.of(self.kind))


class LimitRules:
    """Finds the limits that some rules set. The case of a model does not count: providers differ there, limits do not.

    A limit's name tells the rule, the kind, the window and who it is kept of: a value that is long, or not plain, and
    every path, since a path may hold a credential, by a digest alone.
    """

    __slots__ = ("_find", "_match", "_rules")

    def __init__(self, rules: Iterable[LimitRule]) -> None:
        self._rules: Final = tuple(_Matcher(rule) for rule in rules)
        self._match: Final = lru_cache(_MOST_REMEMBERED)(self._match_anew)
        self._find: Final = lru_cache(_MOST_REMEMBERED)(self._find_anew)

    def applies(self, path: str, model: str, provider: str) -> bool:
        """Whether there is any limit for such requests."""
        return bool(self._rules and self._match(path, model, provider))

    def find(self, subjects: Subjects) -> tuple[Limit, ...]:
        """The limits of a request, in the order of the rules."""
        return self._find(subjects) if self._rules else ()

    def _find_anew(self, subjects: Subjects) -> tuple[Limit, ...]:
        fitting = self._match(subjects.path, subjects.model, subjects.provider)
        return tuple(limit for matcher in fitting for limit in matcher.limits(subjects))

    def _match_anew(self, path: str, model: str, provider: str) -> tuple[_Matcher, ...]:
        folded = fold_model(model)
        return tuple(each for each in self._rules if each.matches(path, folded, provider))


class _Matcher:
    __slots__ = ("_amounts", "_counts_hits", "_name", "_patterns", "_per")

    def __init__(self, rule: LimitRule) -> None:
        self._name: Final = rule.name
        self._per: Final = rule.per
        self._counts_hits: Final = rule.count_hits
        told = (rule.path, fold_model(rule.model), rule.provider)
        self._patterns: Final = tuple(
            (place, re.compile(translate(pattern))) for place, pattern in enumerate(told) if pattern != "*"
        )
        kinds = [kind for kind in KINDS if getattr(rule, kind)]
        self._amounts: Final = tuple(_describe(rule, kind, alone=len(kinds) == 1) for kind in kinds)

    def matches(self, *values: str) -> bool:
        return all(pattern.match(values[place]) for place, pattern in self._patterns)

    def limits(self, subjects: Subjects) -> list[Limit]:
        whose = "".join(f":{each}={_value(each, subjects)}" for each in self._per)
        return [
            Limit(
                rule=self._name,
                label=label,
                name=begin + whose,
                kind=kind,
                quota=quota,
                window_seconds=window,
                counts_hits=self._counts_hits and kind == "requests",
            )
            for label, begin, kind, quota, window in self._amounts
        ]


def fold_model(model: str) -> str:
    """The one spelling of a model's name by which it is limited."""
    return model.strip().casefold()


def _describe(rule: LimitRule, kind: Kind, *, alone: bool) -> tuple[str, str, Kind, float, float]:
    """A limit's label, the beginning of its name, its kind, its quota and its window."""
    window = 0.0 if kind == "concurrency" else float(rule.window_seconds)
    label = rule.name if alone else f"{rule.name}:{kind}"
    return label, f"rule:{rule.name}:{kind}:{window}", kind, float(getattr(rule, kind)), window


def _value(subject: Subject, subjects: Subjects) -> str:
    if subject == "path":
        return _digest(subjects.path)
    if subject == "model":
        return _show(fold_model(subjects.model))
    if subject == "key":
        # Keys of two providers may have one name.
        return f"{_show(subjects.provider)},{_show(subjects.key)}"
    value: str = getattr(subjects, subject)
    return _show(value)


def _show(value: str) -> str:
    return value if _SHOWN.fullmatch(value) else _digest(value)


def _digest(value: str) -> str:
    return "~" + sha256(value.encode(errors="surrogatepass")).hexdigest()[:32]
