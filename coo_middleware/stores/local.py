"""The first level: entries that this process has just seen, in front of a remote store."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from cachetools import TLRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.entry import Entry

# An entry's own fields and what cachetools keeps beside it, as measured with cachetools 8.0.
_ENTRY_BYTES: Final = 1_500


class LocalLevel:
    """Entries by digest, bounded by `max_bytes`, the least recently used leaving first. `clock` never goes back."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = monotonic) -> None:
        self._ttl = 0.0
        self._entries: Final[TLRUCache[bytes, Entry, float]] = TLRUCache(
            max_bytes, lambda _digest, _entry, now: now + self._ttl, clock, lambda e: _ENTRY_BYTES + len(e.content)
        )

    def get(self, digest: bytes) -> Entry | None:
        """The entry, None when there is none or its time is over."""
        try:
            return self._entries[digest]
        except KeyError:
            return None

    def put(self, entry: Entry, ttl_seconds: float) -> None:
        """Keeps `entry` for `ttl_seconds`, which is how long the store still has it: never longer than that."""
        self._ttl = ttl_seconds
        try:
            self._entries[entry.digest] = entry
        except ValueError:
            # Too large for the whole level; an older one must not outlive what replaced it.
            self.forget(entry.digest)

    def forget(self, digest: bytes) -> None:
        """Drops the entry, if it is there."""
        self._entries.pop(digest, None)
