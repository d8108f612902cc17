"""core/backlog.py: what waits for the store is merged, never dropped, and counted in the windows of its time."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.backlog import Amount, Backlog, CounterName
from coo_middleware.core.window import LONGEST_WINDOW, Windows

NOW = 1_700_000_000.25
DAY = 86_400
NAMES: list[CounterName] = [("p", f"k{number}", "req") for number in range(4)]
REQ = NAMES[0]

pauses = (
    st.just(0.0)
    | st.floats(0, 5)
    | st.floats(0, 500)
    | st.floats(0, 10_000)
    | st.floats(0, 3 * DAY)
    | st.floats(-90, 0)
)
additions = st.lists(
    st.tuples(st.sampled_from(NAMES), pauses, st.integers(-1000, 1000), st.integers(1, 5)), max_size=80
)
limits = st.integers(1, 12) | st.just(64)
windows = st.integers(1, 125) | st.integers(100, 7_300) | st.integers(7_000, LONGEST_WINDOW)


def fill(backlog: Backlog, pauses: list[tuple[CounterName, float, int, int]]) -> list[Amount]:
    """Adds one amount after each pause, and gives them all as they were."""
    now, amounts = NOW, []
    for name, pause, delta, samples in pauses:
        now += pause
        backlog.add(name, delta, now, samples)
        amounts.append(Amount(name, now, delta, samples))
    return amounts


def sums_of(amounts: list[Amount]) -> tuple[Counter[CounterName], Counter[CounterName]]:
    deltas: Counter[CounterName] = Counter()
    samples: Counter[CounterName] = Counter()
    for amount in amounts:
        deltas[amount.name] += int(amount.delta)
        samples[amount.name] += amount.samples
    return deltas, samples


def windows_of(amounts: list[Amount], now: float) -> dict[CounterName, Windows]:
    """What a store counts that is sent `amounts` at `now`."""
    kept = {name: Windows(now) for name in NAMES}
    for amount in amounts:
        kept[amount.name].add(amount.delta, now, now - amount.time)
    return kept


def test_amounts_of_one_second_are_one() -> None:
    """However many increments a counter gets in a second, one amount waits, made at the time of the last."""
    backlog = Backlog(100)
    for part in range(4):
        backlog.add(REQ, 2, NOW + part / 8, samples=3)

    assert [Amount(REQ, NOW + 3 / 8, 8, 12)] == backlog.take(10)


def test_what_is_taken_has_left() -> None:
    """Amounts leave in the order in which they came, as many as are asked for, and once."""
    backlog = Backlog(100)
    for second in range(5):
        backlog.add(REQ, second, NOW + second)
    taken = [[amount.delta for amount in backlog.take(2)] for _ in range(4)]

    assert [[0, 1], [2, 3], [4], []] == taken
    assert not backlog


@given(additions, limits, st.integers(1, 100))
def test_nothing_is_ever_dropped(additions: list[tuple[CounterName, float, int, int]], limit: int, most: int) -> None:
    """For any amounts, of a clock that goes back too, the sum and the samples of each counter are exact."""
    backlog = Backlog(limit)
    amounts = fill(backlog, additions)
    taken: list[Amount] = []
    while backlog:
        taken += backlog.take(most)

    assert sums_of(amounts) == sums_of(taken)


@given(additions, limits)
def test_size_is_bounded(additions: list[tuple[CounterName, float, int, int]], limit: int) -> None:
    """It never holds more than `limit`, or four for each counter where that is more."""
    backlog, now = Backlog(limit), NOW
    for name, pause, delta, samples in additions:
        now += pause
        backlog.add(name, delta, now, samples)

        assert len(backlog) <= max(limit, 4 * len(NAMES))


@given(additions, limits, windows, st.floats(0, 8_000))
def test_window_counts_what_waited_at_its_time(
    additions: list[tuple[CounterName, float, int, int]], limit: int, window: int, later: float
) -> None:
    """A window holds what it would hold had nothing been merged; where the limit forced more, never less than that."""
    additions = [(name, abs(pause), abs(delta), samples) for name, pause, delta, samples in additions]
    backlog = Backlog(limit)
    amounts = fill(backlog, additions)
    forced = backlog._halvings > 0
    now = max([NOW, *(amount.time for amount in amounts)])
    exact, merged = windows_of(amounts, now), windows_of(backlog.take(1000), now)

    for name in NAMES:
        expected, found = exact[name].last(window, now + later), merged[name].last(window, now + later)
        assert expected == found or (forced and expected < found)


def outage(backlog: Backlog, seconds: int, counters: int) -> list[Amount]:
    """An increment of each counter every second."""
    names = [("p", f"k{number}", "req") for number in range(counters)]
    return fill(backlog, [(name, 1.0 if name is names[0] else 0.0, 1, 1) for _ in range(seconds) for name in names])


def test_outage_of_three_hours_costs_no_accuracy() -> None:
    """12,000 increments of a counter wait as 250 amounts, and no window can tell, merged as late as may be."""
    now = NOW - NOW % 60 + 30.95
    times = [now - 0.9 * number for number in reversed(range(12_000))]
    backlog = Backlog(len({int(time) for time in times}) - 1)
    amounts = fill(backlog, [(REQ, time - before, 1, 1) for before, time in pairwise([NOW, *times])])
    now = amounts[-1].time
    merged = backlog.take()
    exact, found = windows_of(amounts, now)[REQ], windows_of(merged, now)[REQ]

    spans = (1, 2, 60, 119, 120, 121, 600, 7_199, 7_200, 7_201, DAY)
    assert len(merged) < 300
    assert [exact.last(span, now) for span in spans] == [found.last(span, now) for span in spans]


def test_next_outage_starts_anew() -> None:
    """A limit that forced more in one outage costs the next no accuracy."""
    backlog = Backlog(400)
    outage(backlog, 300, 40)
    backlog.take()
    amounts = outage(backlog, 1_000, 1)
    now = amounts[-1].time
    exact, found = windows_of(amounts, now)[REQ], windows_of(backlog.take(), now)[REQ]

    assert [exact.last(span, now) for span in (60, 119, 600)] == [found.last(span, now) for span in (60, 119, 600)]


def test_clock_that_was_ahead_does_not_fill_the_backlog() -> None:
    """Amounts of a clock that goes back a day are merged by their distance, and do not stand in the way."""
    backlog = Backlog(100)
    fill(backlog, [(REQ, DAY, 1, 1), *[(REQ, 1.0, 1, 1)] * 90])
    for second in range(1_000):
        backlog.add(REQ, 1, NOW + second)

        assert len(backlog) <= 100


def test_clock_of_the_store_that_is_behind_loses_nothing() -> None:
    """Merged amounts stand at the end of their bucket: half a second of difference moves none out of a window."""
    backlog = Backlog(4)
    minute = NOW - NOW % 60
    for second in (0, 1, 2, 59, 200):
        backlog.add(REQ, 1, minute + second)
    merged = backlog.take(10)
    assert [minute + 59, minute + 200] == [amount.time for amount in merged]

    now = minute + 209.5
    theirs = now - 0.5
    kept = Windows(theirs)
    for amount in merged:
        kept.add(amount.delta, theirs, now - amount.time)
    assert 5 == kept.last(150, theirs)


def test_oldest_amounts_merge_first() -> None:
    """Where the limit forces it, the last seconds keep their accuracy for longest."""
    backlog = Backlog(100)
    amounts = outage(backlog, DAY, 1)
    now = amounts[-1].time
    exact, found = windows_of(amounts, now)[REQ], windows_of(backlog.take(101), now)[REQ]

    assert exact.last(5, now) == found.last(5, now)
    assert exact.last(60, now) <= found.last(60, now) <= 120
    assert DAY == found.last(2 * DAY, now)


@pytest.mark.parametrize(("limit", "counters"), [(10, 200), (125, 1)], ids=["more counters", "just enough"])
def test_merging_is_rare(limit: int, counters: int) -> None:
    """Where the limit is too small an addition stays cheap: each merging pays for many to come."""
    merges = []
    regroup = Backlog._regroup

    class Watched(Backlog):
        __slots__ = ()

        def _regroup(self, now: float) -> None:
            merges.append(len(self))
            regroup(self, now)

    backlog = Watched(limit)
    amounts = outage(backlog, 20_000 // counters, counters)

    assert len(amounts) == sum(amount.samples for amount in backlog.take())
    assert sum(merges) <= 25 * len(amounts)


def test_more_counters_than_room_cost_no_accuracy() -> None:
    """Where each counter waits with one amount there is nothing to merge, and what comes later stays as accurate."""
    backlog = Backlog(10)
    outage(backlog, 1, 200)

    assert (200, 0) == (len(backlog), backlog._halvings)


def test_what_no_window_reaches_is_one() -> None:
    """Amounts older than the longest window count for the total alone, so that one stands for all of them."""
    backlog = Backlog(2)
    for age in (LONGEST_WINDOW + 9 * DAY, LONGEST_WINDOW + 2 * DAY, 0):
        backlog.add(REQ, 1.0, NOW - age)
    amounts = backlog.take()

    assert [2.0, 1.0] == [amount.delta for amount in amounts]
    assert NOW - LONGEST_WINDOW - 2 * DAY == amounts[0].time
