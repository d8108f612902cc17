"""Entries that were just read from a store in this process."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cachetools import LRUCache

if TYPE_CHECKING:
    from coo_middleware.core.entry import Entry

# Each is several objects that the garbage collector tracks.
_MOST: Final = 1_000


class Opened:
    """Up to 1,000 entries in up to `max_bytes`, each beside the very bytes that lay in the store. Whoever asks with
    other bytes, be they equal, finds nothing: so the store alone says what there is.
    """

    def __init__(self, max_bytes: int) -> None:
        least = max_bytes // _MOST + 1
        self._entries: Final[LRUCache[bytes, tuple[bytes, Entry]]] = LRUCache(
            max_bytes, lambda found: max(least, len(found[0]) + len(found[1].content))
        )

    def get(self, digest: bytes, sealed: bytes) -> Entry | None:
        """The entry that was read from `sealed`, if it is still here."""
        found = self._entries.get(digest)
        return found[1] if found is not None and found[0] is sealed else None

    def put(self, sealed: bytes, entry: Entry) -> None:
        """Keeps an entry that was just read from `sealed`, in place of the one before."""
        self._entries.pop(entry.digest, None)
        # One that alone is larger is not kept.
        with suppress(ValueError):
            self._entries[entry.digest] = sealed, entry
