"""The store's counters, as far as an answer can hold them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coo_middleware.admin.room import NotListedError
from coo_middleware.core.series import LABELS, Series, read_series
from coo_middleware.stores import Total

if TYPE_CHECKING:
    from coo_middleware.admin.queries import Filters
    from coo_middleware.stores import Counter, Points, RuntimeStore

MOST_COUNTERS: Final = 20_000
MOST_SERIES: Final = 10_000

_AT_ONCE: Final = 500
_ORDER: Final = {name: place for place, name in enumerate(LABELS)}


@dataclass(frozen=True, slots=True)
class Listing:
    """Counters with their totals; not complete where there are more than MOST_COUNTERS."""

    totals: tuple[Total, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A series of one key of a provider, and what was counted in each step of a window."""

    provider: str
    key: str
    series: Series
    values: Sequence[float]

    def label(self, name: str) -> str:
        """A label of the series, or whose it is: `provider`, `key`."""
        if name == "provider":
            return self.provider
        if name == "key":
            return f"{self.provider}/{self.key}"
        return self.series.labels[LABELS[self.series.name].index(name)]


@dataclass(frozen=True, slots=True)
class Span:
    """Lines over the same steps of `step_seconds`, the first of which began at `begins`, in seconds since 1970; None
    and 0 where there are no lines.
    """

    begins: float | None
    step_seconds: int
    lines: tuple[Line, ...]
    is_complete: bool

    @property
    def times(self) -> list[float]:
        """When each step began."""
        if self.begins is None:
            return []
        return [self.begins + place * self.step_seconds for place in range(len(self.lines[0].values))]


async def list_counters(store: RuntimeStore) -> Listing:
    """The store's counters. Raises NotListedError where it cannot list them, and StoreError."""
    totals: list[Total] = []
    cursor, begun = "", False
    while (cursor or not begun) and len(totals) < MOST_COUNTERS:
        page = await store.list_totals(cursor)
        if page is None:
            raise NotListedError("this store cannot list its counters")
        totals += page.totals
        await asyncio.sleep(0)
        cursor, begun = page.cursor, True
    return Listing(tuple(totals[:MOST_COUNTERS]), not cursor and len(totals) <= MOST_COUNTERS)


async def read_span(
    store: RuntimeStore, listing: Listing, filters: Filters, window: int, metrics: Sequence[str] = tuple(LABELS)
) -> Span:
    """What the series of `metrics` counted in the last `window` seconds, for whom `filters` let through; of too many
    the smallest are left out. Raises NotListedError where the store cannot tell, and StoreError.
    """
    found = [
        (total, series)
        for total in listing.totals
        if (series := read_series(total.metric)) is not None
        and series.name in metrics
        and filters.match(total.provider, total.key_id, series.labels[0])
    ]
    found.sort(key=lambda each: (_ORDER[each[1].name], -each[0].value))
    counters = [(total.provider, total.key_id, total.metric) for total, _ in found[:MOST_SERIES]]
    pages = await _read_pages(store, counters, window)
    values = (each for page in pages for each in _align(page, pages[0]))
    lines = tuple(
        Line(total.provider, total.key_id, series, each) for (total, series), each in zip(found, values, strict=False)
    )
    begins, step = (pages[0].begins, pages[0].step_seconds) if pages else (None, 0)
    return Span(begins, step, lines, listing.is_complete and len(found) <= MOST_SERIES)


async def _read_pages(store: RuntimeStore, counters: Sequence[Counter], window: int) -> list[Points]:
    pages = []
    for begin in range(0, len(counters), _AT_ONCE):
        points = await store.read_points(counters[begin : begin + _AT_ONCE], window)
        if points is None:
            raise NotListedError("this store cannot tell what was counted when")
        pages.append(points)
        # A store in this process never waits, and requests must not.
        await asyncio.sleep(0)
    return pages


def _align(page: Points, first: Points) -> list[tuple[float, ...]]:
    """The values of a page over the steps of the first one, which may have been read a step before."""
    later = round((page.begins - first.begins) / first.step_seconds)
    if later <= 0:
        return [*page.values]
    return [((0.0,) * later + values)[: len(values)] for values in page.values]
