"""`coo export`: what a store has, as lines that prove that they are whole."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex
from time import time
from typing import TYPE_CHECKING, BinaryIO, Final

from coo_middleware.cli.reading import list_totals
from coo_middleware.core.entry import EntryError, peek_entry
from coo_middleware.core.record import LATENCY, REQ
from coo_middleware.core.transfer import Counter, ExportWriter, Head, Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from coo_middleware.core.entry import Entry
    from coo_middleware.core.sealing import Sealer
    from coo_middleware.core.transfer import What
    from coo_middleware.stores import RuntimeStore, Total


@dataclass(frozen=True, slots=True)
class Exported:
    """What is in the file. `left_out` are responses that were purged, are of no use any more, or cannot be read with
    the configured keys.
    """

    id: str
    counters: int
    responses: int
    left_out: int


class Exporter:
    """Exports from `store`, in which responses lie as `sealer` has them. `step` is called after each record."""

    def __init__(self, store: RuntimeStore, sealer: Sealer, step: Callable[[], None]) -> None:
        self._store: Final = store
        self._sealer: Final = sealer
        self._step: Final = step
        self._counters = self._responses = self._left_out = 0

    async def export(self, file: BinaryIO, what: Sequence[What]) -> Exported:
        """Writes all of `what`. Raises ValueError for a store that cannot list it, StoreError and OSError."""
        head = Head(token_hex(16), time(), tuple(what))
        writer = ExportWriter(head)
        file.write(writer.head)
        if "usage" in what:
            for counter in _read_counters(await list_totals(self._store)):
                self._counters += 1
                file.write(writer.add(counter))
                self._step()
        if "cache" in what:
            async for response in self._read_responses():
                self._responses += 1
                file.write(writer.add(response))
                self._step()
        file.write(writer.end())
        return Exported(head.id, self._counters, self._responses, self._left_out)

    async def _read_responses(self) -> AsyncIterator[Response]:
        purges = await self._store.get_purges(0)
        cursor, is_last = "", False
        while not is_last:
            page = await self._store.list_cache(cursor)
            if page is None:
                raise ValueError("this store cannot list its responses; export --what usage alone")
            for key, _ in page.responses:
                found = await self._read(key)
                if found is not None and not purges.is_purged(found[0], self._sealer.names):
                    yield found[1]
                else:
                    self._left_out += 1
            cursor, is_last = page.cursor, not page.cursor

    async def _read(self, key: str) -> tuple[Entry, Response] | None:
        found = await self._store.get_cache_with_ttl(key)
        if found is None:
            return None
        value, ttl = found
        try:
            entry = peek_entry(self._sealer.open(value, key.encode()))
        except EntryError:
            return None
        if entry is None:
            return None
        # Where a store does not tell, the entry itself does.
        expires = time() + ttl if ttl > 0 else entry.created + entry.ttl + entry.grace
        return entry, Response(key, expires, value)


def _read_counters(totals: Sequence[Total]) -> Iterator[Counter]:
    """The counters that are not 0. A mean's samples are not listed, but each is one of a call."""
    calls = {(each.provider, each.key_id): each.value for each in totals if each.metric == REQ}
    for each in totals:
        samples = round(calls.get((each.provider, each.key_id), 0)) if each.metric == LATENCY else 1
        if each.value and samples > 0:
            yield Counter(each.provider, each.key_id, each.metric, each.value * samples, samples)
