"""What a store promises about lists of counters and their buckets; part of the contracts. A store that returns None
skips it.
"""

# ruff: noqa: S101, SIM300 -- this module is tests
from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from itertools import product
from typing import TYPE_CHECKING, Final

import pytest

from coo_middleware.stores import LATENCY, Counter, Increment, Points, RuntimeStore, TotalsPage
from coo_middleware.testing.calls import DAY, INVALID_SERIES, LATENCIES, REQ, Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.testing.contract import Clock

_NAMES: Final = ("a", "a:b", "b:a", "a%3Ab", "{a}", "a/b", "..", "*", "ключ", "a b\r\n\x00", "")
_WINDOWS: Final = (1, 2, 60, 61, 120, 121, 3_601, 7_200, 7_201, DAY + 1, 35 * DAY)


async def list_page(store: RuntimeStore, cursor: str = "") -> TotalsPage:
    """A page of the counters; skips the test where the store cannot list them."""
    page = await store.list_totals(cursor)
    if page is None:
        pytest.skip("this store cannot list its counters")
    assert len(page.totals) <= 1_000
    return page


async def list_totals(store: RuntimeStore) -> list[tuple[Counter, float]]:
    """All counters with their totals, page by page."""
    page = await list_page(store)
    totals = [*page.totals]
    while page.cursor:
        page = await list_page(store, page.cursor)
        totals += page.totals
    return [((each.provider, each.key_id, each.metric), each.value) for each in totals]


async def read_points(store: RuntimeStore, counters: Sequence[Counter], window_seconds: int) -> Points:
    """The buckets; skips the test where the store cannot tell them."""
    points = await store.read_points(counters, window_seconds)
    if points is None:
        pytest.skip("this store cannot tell its buckets")
    return points


async def count(store: RuntimeStore, counters: Sequence[Counter], *, delta: float = 1) -> None:
    """Adds to all counters in one batch of a writer's own."""
    await store.apply(f"writer {counters[0]} {len(counters)}", 1, [Increment(*each, delta) for each in counters])


class SeriesPromises(ABC):
    """For every store."""

    @abstractmethod
    async def advance(self, clock: Clock, seconds: float) -> None:
        """Lets `seconds` pass for the store that was made."""

    async def test_totals_begin_with_none(self, store: RuntimeStore) -> None:
        """A new store has no counter, on one page."""
        assert TotalsPage(()) == await list_page(store)

    async def test_totals_are_listed(self, store: RuntimeStore) -> None:
        """Every counter is listed once, with the total that is read by its name, whatever characters it has."""
        await list_page(store)
        counters = [*product(_NAMES, _NAMES[:4], (*_NAMES[:3], LATENCY))]
        for number, counter in enumerate(counters[:9]):
            await store.increment_usage(*counter, number)
        await count(store, counters, delta=2.5)
        listed = await list_totals(store)

        assert sorted(counters) == sorted(counter for counter, _ in listed)
        assert [total for _, total in listed] == [await store.get_total(*counter) for counter, _ in listed]

    async def test_totals_never_expire_from_the_list(self, clock: Clock, store: RuntimeStore) -> None:
        """A counter that nobody has incremented for longer than the longest window is listed still."""
        await list_page(store)
        await store.increment_usage(*REQ, 1)
        await self.advance(clock, 400 * DAY)

        assert [REQ] == [counter for counter, _ in await list_totals(store)]

    async def test_totals_are_on_one_page_each_while_others_come(self, store: RuntimeStore) -> None:
        """Counters that come between two pages neither hide nor repeat one that was there."""
        await list_page(store)
        old = [("openai", "key", f"m{number}") for number in range(0, 3_000, 2)]
        await count(store, old)
        page = await list_page(store)
        totals = [*page.totals]
        for begin in range(1, 3_000, 1_000):
            await count(store, [("openai", "key", f"m{number}") for number in range(begin, begin + 1_000, 2)])
            if page.cursor:
                page = await list_page(store, page.cursor)
                totals += page.totals
        while page.cursor:
            page = await list_page(store, page.cursor)
            totals += page.totals
        listed = [(each.provider, each.key_id, each.metric) for each in totals]

        assert len({*listed}) == len(listed)
        assert {*old} <= {*listed}

    @pytest.mark.parametrize("call", INVALID_SERIES.values(), ids=INVALID_SERIES)
    async def test_points_refuse_invalid_arguments(self, store: RuntimeStore, call: Call) -> None:
        """What no store can answer raises ValueError, whatever the store."""
        await read_points(store, [], 60)
        with pytest.raises(ValueError):  # noqa: PT011 -- each store has its own words
            await call(store)

    @pytest.mark.parametrize("window", _WINDOWS)
    async def test_points_add_up_to_the_window(self, clock: Clock, store: RuntimeStore, window: int) -> None:
        """The buckets of a counter are those of its window: as many, as long, and with the same sum."""
        await read_points(store, [], window)
        for delta, seconds in enumerate((33 * DAY, 9_000, 5_000, 900, 70, 25, 30), 1):
            await store.increment_usage(*REQ, delta)
            await self.advance(clock, seconds)
        await store.increment_usage(*REQ, 100)
        points = await read_points(store, [REQ], window)
        step = 1 if window <= 120 else 60 if window <= 7_200 else 3_600

        assert (step, 0) == (points.step_seconds, points.begins % step)
        assert abs(len(points.values[0]) - 1 - window / step) < 1
        assert await store.get_usage_in_window(*REQ, window) == sum(points.values[0])

    async def test_points_are_where_the_increments_were(self, clock: Clock, store: RuntimeStore) -> None:
        """Each increment counts in the bucket of its time, and the last bucket is the running one."""
        await read_points(store, [], 60)
        for delta in (1, 2, 4):
            await store.increment_usage(*REQ, delta)
            await self.advance(clock, 15)
        values = (await read_points(store, [REQ], 60)).values[0]
        places = [values.index(delta) for delta in (1, 2, 4)]

        assert 7 == sum(values)
        assert all(abs(15 - gap) <= 1 for gap in (places[1] - places[0], places[2] - places[1]))
        assert abs(15 - (len(values) - 1 - places[2])) <= 1

    async def test_points_of_latency_are_means(self, clock: Clock, store: RuntimeStore) -> None:
        """A bucket of `latency` is the mean of its samples, and 0 where there was none."""
        await read_points(store, [], 3_600)
        for samples in ((100, 300), (500,)):
            for sample in samples:
                await store.increment_usage(*LATENCIES, sample)
            await self.advance(clock, 600)
        values = (await read_points(store, [LATENCIES], 3_600)).values[0]

        assert pytest.approx([200, 500]) == [each for each in values if each]

    async def test_points_are_those_of_each_counter(self, store: RuntimeStore) -> None:
        """Every counter has its own, in the order of the question, asked twice as well; what nobody counted has
        zeros.
        """
        await read_points(store, [], 60)
        counters = [*product(_NAMES, _NAMES[:3], ("req", LATENCY))]
        for number, counter in enumerate(counters, 1):
            await store.increment_usage(*counter, number)
        asked = [("openai", "unknown", "req"), *counters, counters[0], ("openai", "unknown", LATENCY)]
        points = await read_points(store, asked, 120)

        assert [0, *range(1, len(counters) + 1), 1, 0] == [sum(values) for values in points.values]
        assert 1 == len({*map(len, points.values)})

    async def test_points_of_a_thousand_counters(self, store: RuntimeStore) -> None:
        """As many as that are answered at once."""
        await read_points(store, [], 60)
        counters = [("openai", "key", f"m{number}") for number in range(1_000)]
        await count(store, counters, delta=2)

        assert [2.0] * 1_000 == [sum(each) for each in (await read_points(store, counters, 7_200)).values]


class SharedSeriesPromises(ABC):
    """For a store whose data several processes use."""

    @abstractmethod
    async def another(self, clock: Clock) -> RuntimeStore:
        """A further store over the data of the one that was made, not opened yet."""

    async def test_totals_and_points_are_of_all_stores(self, clock: Clock, store: RuntimeStore) -> None:
        """What several stores count at the same time is listed once, and is in the same buckets."""
        await list_page(store)
        counters = [("openai", "key", f"m{number}") for number in range(20)]
        async with await self.another(clock) as other:
            await asyncio.gather(*(each.increment_usage(*name, 1) for name in counters for each in (store, other)))

            assert sorted((name, 2) for name in counters) == sorted(await list_totals(store))
            assert [2.0] * 20 == [sum(each) for each in (await read_points(other, counters, 60)).values]
