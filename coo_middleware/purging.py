"""One purge as an operator asks for it: what it does, or would do, and to how many stored responses."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from coo_middleware.core.entry import EntryError, peek_entry
from coo_middleware.core.labels import check_labels
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.entry import Entry
    from coo_middleware.core.labels import Purges
    from coo_middleware.core.sealing import Sealer
    from coo_middleware.stores import RuntimeStore

COUNT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Purged:
    """What came of a purge. `generation` is None where nothing was purged, as in a dry run. `matched` is how many
    responses that could be reused until then lay in the store, None where they were not counted; `unreadable` are those
    of which nobody here can tell, and `is_complete` says whether all were looked at.
    """

    generation: int | None
    matched: int | None = None
    unreadable: int = 0
    is_complete: bool = False


async def purge(
    store: RuntimeStore, sealer: Sealer, labels: Sequence[str], *, dry_run: bool = False, count: bool = True
) -> Purged:
    """Purges `labels`, at once, and counts afterwards; a dry run only counts. Counting looks at every stored response,
    beside everything else that the store does, and gives up after COUNT_SECONDS. Raises ValueError for what is no
    label, and StoreError; not where all is purged and it is only the count that fails.
    """
    check_labels(labels)
    labels = [f"{kind}:{sealer.name(name)}" if kind == "key" else label for label, kind, name in map(_split, labels)]
    before = await store.get_purges(0)
    generation = None if dry_run else await store.purge(labels)
    if not count:
        return Purged(generation)
    try:
        return await _count(_Census(store, sealer, before, before.purge(labels)), generation)
    except StoreError:
        if dry_run:
            raise
        return Purged(generation)


class _Census:
    """Counts what was reusable `before` a purge and is not so `after` it."""

    def __init__(self, store: RuntimeStore, sealer: Sealer, before: Purges, after: Purges) -> None:
        self._store: Final = store
        self._sealer: Final = sealer
        self._before: Final = before
        self._after: Final = after
        self.matched = self.unreadable = 0

    async def count(self, cursor: str) -> str | None:
        """Counts one page and gives the next one's cursor, None where the store lists nothing."""
        page = await self._store.list_cache(cursor)
        if page is None:
            return None
        for name, head in page.responses:
            entry = peek_entry(head)
            if entry is not None:
                self._tally(entry)
            else:
                await self._open(name)
        return page.cursor

    async def _open(self, name: str) -> None:
        """Counts an entry that is sealed, or begins with very long names; not one that is gone meanwhile."""
        value = await self._store.get_cache(name)
        if value:
            try:
                self._tally(peek_entry(self._sealer.open(value, name.encode())))
            except EntryError:
                self.unreadable += 1

    def _tally(self, entry: Entry | None) -> None:
        if entry is None:
            self.unreadable += 1
        else:
            names = self._sealer.names
            self.matched += self._after.is_purged(entry, names) and not self._before.is_purged(entry, names)


def _split(label: str) -> tuple[str, str, str]:
    kind, _, name = label.partition(":")
    return label, kind, name


async def _count(census: _Census, generation: int | None) -> Purged:
    ends, cursor = monotonic() + COUNT_SECONDS, await census.count("")
    if cursor is None:
        return Purged(generation)
    while cursor and monotonic() < ends:
        cursor = await census.count(cursor)
    return Purged(generation, census.matched, census.unreadable, is_complete=not cursor)
