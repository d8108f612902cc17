"""The first level: entries that this process has just seen, in front of a remote store."""

from __future__ import annotations

from contextlib import suppress
from sys import getsizeof
from time import monotonic
from typing import TYPE_CHECKING, Final

from cachetools import TLRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.entry import Entry

# What an entry and one of its header fields take beside their contents, cachetools' share included, as measured with
# cachetools 8.0.
_ENTRY_BYTES: Final = 1_000
_FIELD_BYTES: Final = 160


class LocalLevel:
    """Entries by digest, bounded by `max_bytes`, the least recently used leaving first. `clock` never goes back."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = monotonic) -> None:
        self.clock: Final = clock
        self._expires = 0.0
        self._entries: Final[TLRUCache[bytes, Entry, float]] = TLRUCache(
            max_bytes, lambda _digest, _entry, _now: self._expires, clock, _size
        )

    def get(self, digest: bytes) -> Entry | None:
        """The entry, None when there is none or its time is over."""
        try:
            return self._entries[digest]
        except KeyError:
            return None

    def put(self, entry: Entry, ttl_seconds: float, asked: float | None = None) -> None:
        """Keeps `entry` for `ttl_seconds`, which is how long the store still had it when it was `asked`, by our clock,
        or has it from now on: never longer than that.
        """
        # An older one must not outlive what replaces it, and that may be too large for the whole level, or expired.
        self.forget(entry.digest)
        self._expires = (self.clock() if asked is None else asked) + ttl_seconds
        with suppress(ValueError):
            self._entries[entry.digest] = entry

    def forget(self, digest: bytes) -> None:
        """Drops the entry, if it is there."""
        self._entries.pop(digest, None)


def _size(entry: Entry) -> int:
    texts = (entry.provider, entry.key_id, entry.model, entry.format, entry.namespace, entry.caller, *entry.tags)
    fields = sum(_FIELD_BYTES + len(name) + len(value) for name, value in entry.headers)
    return _ENTRY_BYTES + len(entry.content) + fields + sum(map(getsizeof, texts))
