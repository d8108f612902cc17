"""Who leads the work on a key, for the stores of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachetools import TLRUCache

from coo_middleware.stores.checks import check_claim

if TYPE_CHECKING:
    from collections.abc import Callable

# Beyond so many, the lease least recently granted ends early: its work may be done twice.
_MOST: Final = 100_000


class Claims:
    """Leases by `clock`. No operation waits, so that each is atomic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock: Final = clock
        self._held: Final[TLRUCache[str, tuple[str, float], float]] = TLRUCache(
            _MOST, lambda _key, held, _now: held[1], clock
        )

    def claim(self, key: str, owner: str, lease_seconds: float) -> str:
        """As RuntimeStore.claim."""
        check_claim(key, owner, lease_seconds)
        now = self._clock()
        # Not .get() alone: what it returns may have expired since by the clock's next look.
        holder, expires = self._held.get(key, (owner, now))
        if holder == owner or expires <= now:
            self._held[key] = owner, now + lease_seconds
            return owner
        return holder

    def release(self, key: str, owner: str) -> None:
        """As RuntimeStore.release."""
        check_claim(key, owner)
        if self._held.get(key, ("", 0.0))[0] == owner:
            self._held.pop(key, None)
