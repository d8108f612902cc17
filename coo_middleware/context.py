"""What a handler finds at `scope["state"]["coo"]` (Starlette: `request.state.coo`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coo_middleware.core.record import CacheStatus


class CooContext:
    """One request as the middleware sees it, for the handler to read and to correct.

    `cache_status` is "miss" or "bypass" while the handler runs, "hit" where a layer outside looks afterwards.
    `provider` and `key_id` say who does the work and with which key: set them when the app chooses; they name the
    counters, so give a key's name, never the key. `ttl` is the freshness lifetime of this answer in seconds, None for
    the configured one.
    """

    __slots__ = ("_ttl", "cache_status", "is_bypassed", "key_id", "provider")

    def __init__(self, cache_status: CacheStatus, provider: str, key_id: str) -> None:
        self.cache_status: CacheStatus = cache_status
        self.provider = provider
        self.key_id = key_id
        self.is_bypassed = False
        self._ttl: float | None = None

    @property
    def ttl(self) -> float | None:
        """The freshness lifetime of this answer in seconds; ValueError for one that is not above 0."""
        return self._ttl

    @ttl.setter
    def ttl(self, seconds: float | None) -> None:
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ValueError("ttl: must be a number of seconds above 0; call bypass() to keep an answer out")
        self._ttl = seconds

    def bypass(self) -> None:
        """Keeps this answer out of the cache."""
        self.is_bypassed = True
