"""The first level: entries that this process has just seen, in front of a remote store."""

from __future__ import annotations

from sys import getsizeof, maxsize
from time import monotonic
from typing import TYPE_CHECKING, Final

from coo_middleware.stores.expiring import Expiring

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.entry import Entry

# What an entry and one of its header fields take beside their contents, as measured.
_ENTRY_BYTES: Final = 1_000
_FIELD_BYTES: Final = 160


class LocalLevel:
    """Entries by digest, bounded by `max_bytes`, the least recently used leaving first. `clock` never goes back."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = monotonic) -> None:
        self.clock: Final = clock
        self._entries: Final[Expiring[bytes, Entry]] = Expiring(max_bytes, maxsize, _size)

    def get(self, digest: bytes) -> Entry | None:
        """The entry, None when there is none or its time is over."""
        found = self._entries.get(digest, self.clock())
        return found[0] if found is not None else None

    def put(self, entry: Entry, ttl_seconds: float, asked: float | None = None) -> None:
        """Keeps `entry` for `ttl_seconds`, which is how long the store still had it when it was `asked`, by our clock,
        or has it from now on: never longer than that.
        """
        now = self.clock()
        self._entries.put(entry.digest, entry, now, (now if asked is None else asked) + ttl_seconds)

    def forget(self, digest: bytes) -> None:
        """Drops the entry, if it is there."""
        self._entries.drop(digest)


def _size(_digest: bytes, entry: Entry) -> int:
    texts = (entry.provider, entry.key_id, entry.model, entry.format, entry.namespace, entry.caller, *entry.tags)
    fields = sum(_FIELD_BYTES + len(name) + len(value) for name, value in entry.headers)
    return _ENTRY_BYTES + len(entry.content) + fields + sum(map(getsizeof, texts))
