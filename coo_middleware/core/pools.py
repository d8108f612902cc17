"""Which keys a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.providers import KeySettings, ProviderKey
from coo_middleware.core.standing import make_pool, make_standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.providers import FallbackPolicy, LLMProvider
    from coo_middleware.core.standing import Pool, Standing


class Pools:
    """The keys of `providers`, each known once, whichever names lead to it. Raises ValueError for a session that is no
    length of time.
    """

    def __init__(
        self, providers: Sequence[LLMProvider], fallback: FallbackPolicy, pause: float, longest: float
    ) -> None:
        by_id: dict[str, list[Standing]] = {}
        by_type: dict[str, list[Standing]] = {}
        for provider in providers:
            keys = _make_keys(provider, pause, longest)
            by_id.setdefault(provider.id, []).extend(keys)
            by_type.setdefault(provider.type, []).extend(keys)
        named = {name: keys for name, keys in (by_type | by_id).items() if name and keys}
        self._pools: Final = {name: make_pool(keys) for name, keys in named.items()}
        others = fallback.providers[: fallback.max_providers] if fallback.enabled else ()
        self._others: Final = [self._pools[name] for name in others if name in self._pools]

    def __bool__(self) -> bool:
        """Whether there is any key."""
        return bool(self._pools)

    def find(self, name: str) -> list[Pool]:
        """The pool of the provider whose id is `name`, else of those whose type is, and behind it those that take its
        place and speak as it does. Raises LookupError for a name without keys.
        """
        if name not in self._pools:
            known = ", ".join(sorted(self._pools)) or "none, llm_providers has no keys"
            raise LookupError(f"provider: no keys are known by the name that was picked; known are: {known}")
        types = _types_of(self._pools[name])
        return [self._pools[name], *(each for each in self._others if types & _types_of(each))]


def _types_of(pool: Pool) -> set[str]:
    return {each.key.type for each in pool.standings}


def _make_keys(provider: LLMProvider, pause: float, longest: float) -> list[Standing]:
    numbered = [KeySettings(f"{provider.id}-{place}", secret) for place, secret in enumerate(provider.api_keys, 1)]
    return [
        make_standing(_make_key(provider, key), key.limits or provider.limits, pause, longest)
        for key in (*numbered, *provider.keys)
    ]


def _make_key(provider: LLMProvider, key: KeySettings) -> ProviderKey:
    return ProviderKey(provider.id, key.id, key.secret, provider.type, provider.base_url, provider.model)
