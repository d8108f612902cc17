"""admin/counters.py: the store's counters, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.admin import counters
from coo_middleware.admin.counters import list_counters, read_span
from coo_middleware.admin.queries import Filters
from coo_middleware.admin.room import NotListedError
from coo_middleware.core.series import REQUESTS, TOKENS_USED
from coo_middleware.stores import Points, RuntimeStore, Total, TotalsPage
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import RECORDS, fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.stores import Counter

EVERYBODY = Filters()


class Paged(MemoryStore):
    """Lists one counter a page, and begins its points a second later with each call."""

    pages = 3
    asked = 0

    async def list_totals(self, cursor: str = "") -> TotalsPage:
        number = int(cursor or 0)
        total = Total("p", str(number), "requests:m:hit:2xx", float(number))
        return TotalsPage((total,), str(number + 1) if number + 1 < self.pages else "")

    async def read_points(self, counters: Sequence[Counter], window_seconds: int) -> Points:
        begins, self.asked = 100.0 + self.asked, self.asked + 1
        return Points(begins, 1, tuple((1.0, 2.0, 3.0) for _ in counters))


class Silent(MemoryStore):
    """Has what the six methods have, and no more."""

    list_totals = RuntimeStore.list_totals  # type: ignore[assignment]
    read_points = RuntimeStore.read_points  # type: ignore[assignment]


async def test_all_pages_are_read() -> None:
    """The listing is complete then."""
    listing = await list_counters(Paged())

    assert (["0", "1", "2"], True) == ([each.key_id for each in listing.totals], listing.is_complete)


async def test_no_more_than_so_many_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is told that there are more."""
    monkeypatch.setattr(counters, "MOST_COUNTERS", 2)
    listing = await list_counters(Paged())

    assert (2, False) == (len(listing.totals), listing.is_complete)


async def test_no_more_than_so_many_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest are left out, and it is told that some were."""
    monkeypatch.setattr(counters, "MOST_SERIES", 2)
    store = Paged()
    span = await read_span(store, await list_counters(store), EVERYBODY, 60)

    assert (["2", "1"], False) == ([each.key for each in span.lines], span.is_complete)


async def test_what_is_read_a_step_later_is_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines have the steps of the first."""
    monkeypatch.setattr(counters, "_AT_ONCE", 1)
    store = Paged()
    span = await read_span(store, await list_counters(store), EVERYBODY, 60)

    assert [(1.0, 2.0, 3.0), (0.0, 1.0, 2.0), (0.0, 0.0, 1.0)] == [each.values for each in span.lines]
    assert [100.0, 101.0, 102.0] == span.times


async def test_filters_and_metrics_choose() -> None:
    """Only what is asked for is read."""
    store = MemoryStore()
    await fill(store, *RECORDS)
    listing = await list_counters(store)
    span = await read_span(store, listing, Filters(provider="openai", model="gpt-5"), 60, (REQUESTS, TOKENS_USED))
    nothing = await read_span(store, listing, Filters(model="none"), 60)

    assert [("two", REQUESTS), *[("two", TOKENS_USED)] * 3] == [(each.key, each.series.name) for each in span.lines]
    assert ["100.0", "20.0", "7.0"] == [str(sum(each.values)) for each in span.lines[1:]]
    assert (None, 0, (), []) == (nothing.begins, nothing.step_seconds, nothing.lines, nothing.times)


async def test_a_store_that_cannot_list_says_so() -> None:
    """Of its counters, and of what they counted when."""
    full = MemoryStore()
    await fill(full, *RECORDS)
    with pytest.raises(NotListedError, match="cannot list its counters"):
        await list_counters(Silent())
    with pytest.raises(NotListedError, match="cannot tell what was counted when"):
        await read_span(Silent(), await list_counters(full), EVERYBODY, 60)


async def test_lines_have_labels() -> None:
    """Those of the series, and whose it is."""
    store = MemoryStore()
    await fill(store, RECORDS[0])
    span = await read_span(store, await list_counters(store), EVERYBODY, 60, (REQUESTS,))
    names = ("provider", "key", "model", "cache", "status_class")

    assert ["openai", "openai/one", "gpt-5-mini", "miss", "2xx"] == [span.lines[0].label(name) for name in names]
