"""Which values labels may have: those of the configuration and our own, the others being `other`; and how many."""

from __future__ import annotations

import re
from fnmatch import translate
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from coo_middleware.core.families import OTHER, is_sound
from coo_middleware.core.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.families import Family
    from coo_middleware.core.providers import LLMProvider
    from coo_middleware.core.routes import RoutePolicy

# A model without a name is counted as this one.
NAMELESS: Final = "none"


class LabelValues:
    """The names that are configured, and the patterns of models that are labels of their own."""

    __slots__ = ("_keys", "_models", "_providers")

    def __init__(
        self, providers: Sequence[LLMProvider], routes: Sequence[RoutePolicy] = (), models: Sequence[str] = ("*",)
    ) -> None:
        self._keys: Final = {(each.id, key) for each in providers for key in _name_keys(each)}
        self._providers: Final = {each.id for each in providers} | {rule.provider for rule in routes if rule.provider}
        self._models: Final = re.compile("|".join(map(translate, models)) or r"(?!)")

    def fold(self, provider: str, key: str, model: str) -> tuple[str, str, str]:
        """The values for the labels `provider`, `key` and `model`: callers choose models, and their credentials."""
        known = provider in self._providers or _is_built_in(provider)
        return (
            provider if known else OTHER,
            key if (provider, key) in self._keys else OTHER,
            model if model == NAMELESS or (is_sound(model) and self._models.match(model)) else OTHER,
        )


def rank(family: Family, values: tuple[str, ...]) -> tuple[bytes, str, tuple[str, ...]]:
    """Which label sets come before which in a ration, the same in every process; what belongs to one model stays
    together.
    """
    owner = [value for label, value in zip(family.labels, values, strict=True) if label in {"provider", "key", "model"}]
    return blake2b("\n".join(owner).encode(errors="replace"), digest_size=8).digest(), family.name, values


class Ration:
    """Lets label sets be until they make `most` series together, and folds those that come later. Those that are let
    be at one time are so for ever, so that no counter goes down.
    """

    __slots__ = ("_folded", "_folded_left", "_own", "_own_left")

    def __init__(self, most: int) -> None:
        self._own_left = most * 9 // 10
        # The rest is for the label sets of `other`.
        self._folded_left = most - self._own_left
        self._own: Final[set[tuple[str, tuple[str, ...]]]] = set()
        self._folded: Final[set[tuple[str, tuple[str, ...]]]] = set()

    def admit(self, family: Family, values: tuple[str, ...]) -> tuple[str, ...]:
        """The values under which a label set is counted: its own, else with `other` for key and model, and for the
        provider as well where even these are too many.
        """
        if (family.name, values) in self._own:
            return values
        # What does not fit counts too: behind the first of these nothing does.
        if self._own_left >= 0:
            self._own_left -= family.cost
            if self._own_left >= 0:
                self._own.add((family.name, values))
                return values
        folded = family.fold(values, "key", "model")
        if (family.name, folded) not in self._folded and self._folded_left >= 0:
            self._folded_left -= family.cost
            if self._folded_left >= 0:
                self._folded.add((family.name, folded))
        return folded if (family.name, folded) in self._folded else family.fold(values, "provider", "key", "model")


def _name_keys(provider: LLMProvider) -> list[str]:
    return [*(f"{provider.id}-{place}" for place, _ in enumerate(provider.api_keys, 1)), *(k.id for k in provider.keys)]


def _is_built_in(provider: str) -> bool:
    # A model's prefix names a provider by this very name, and not by another one's.
    return _NAMING.name("", "", f"{provider}/{OTHER}") == (provider, OTHER)


_NAMING: Final = Naming()
