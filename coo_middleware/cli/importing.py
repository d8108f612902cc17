"""`coo import`: puts into a store what `coo export` wrote, once, however often it is begun."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import time
from typing import TYPE_CHECKING, Final

from coo_middleware.core.entry import Entry, EntryError, pack_entry, peek_entry, unpack_entry
from coo_middleware.core.transfer import ExportReader
from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores import Increment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.core.labels import Purges
    from coo_middleware.core.sealing import Sealer
    from coo_middleware.core.transfer import Block, Response
    from coo_middleware.stores import RuntimeStore


@dataclass(frozen=True, slots=True)
class Imported:
    """What the file held: `counters` are in the store now, and so are `responses`; `kept` are those of which it had one
    as new, `expired` are over, `unreadable` are sealed with a key that is not configured, or are no responses.
    """

    id: str = ""
    counters: int = 0
    responses: int = 0
    kept: int = 0
    expired: int = 0
    unreadable: int = 0


class Importer:
    """Imports into `store`, in which responses are to lie as `sealer` has them. Use: open it, then import."""

    def __init__(self, store: RuntimeStore, sealer: Sealer) -> None:
        self._store: Final = store
        self._sealer: Final = sealer
        self._counts: Final = dict.fromkeys(("responses", "kept", "expired", "unreadable"), 0)

    async def import_lines(self, lines: Iterable[bytes]) -> Imported:
        """Applies one block after the other, a block's counters once for each store. Raises TransferError, behind the
        last good block, for lines that are torn or altered, ValueError for a counter that is none, and StoreError.
        """
        reader, counters, purges = ExportReader(), 0, await self._store.get_purges(0)
        name = ""
        for block in reader.read(lines):
            name = reader.head.id if reader.head else ""
            if block.counters:
                await self._store.apply(f"import-{name}", block.number, _make_increments(block))
            counters += len(block.counters)
            for response in block.responses:
                self._counts[await self._put(response, purges)] += 1
        return Imported(name, counters, **self._counts)

    async def _put(self, response: Response, purges: Purges) -> str:
        """What became of a response."""
        ttl = response.expires - time()
        if ttl <= 0:
            return "expired"
        entry = self._open(response.key, response.value)
        key = entry and self._find_key(entry, response.key)
        if entry is None or not key:
            return "unreadable"
        name = self._sealer.name(key)
        known = await self._store.get_cache(name)
        there = self._open(name, known) if known else None
        if there is not None and there.created >= entry.created and not purges.is_purged(there, self._sealer.names):
            return "kept"
        # By its own generation it would count as purged in every store but the one that it comes from.
        frame = pack_entry(replace(entry, generation=purges.generation))
        await self._store.set_cache(name, self._sealer.seal(frame, name.encode()), ttl)
        return "responses"

    def _open(self, name: str, value: bytes) -> Entry | None:
        try:
            frame = self._sealer.open(value, name.encode())
            head = peek_entry(frame)
            return unpack_entry(frame, head.digest) if head else None
        except EntryError:
            return None

    def _find_key(self, entry: Entry, name: str) -> str:
        """The key of an entry that lay under `name`: that of a response or of an observation (Plan.key), else ""."""
        keys = (f"{kind}{entry.digest.hex()}" for kind in ("1", "o1"))
        return next((key for key in keys if name in self._sealer.names(key)), "")


def _make_increments(block: Block) -> list[Increment]:
    """So old that they move the totals, and no window of today."""
    return [
        Increment(each.provider, each.key_id, each.metric, each.value, each.samples, LONGEST_WINDOW)
        for each in block.counters
    ]
