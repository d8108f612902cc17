"""core/tally.py: records that are counted as one count what they would one by one."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.difference import Divergence
from coo_middleware.core.outcome import Usage
from coo_middleware.core.record import CacheStatus, ErrorType, Record, count_record
from coo_middleware.core.series import count_series
from coo_middleware.core.tally import sum_up
from coo_middleware.core.trial import Trial

RECORD = Record("openai", "k1", "chat", "m", 200, "miss", Usage(9, 2), 0.25, "", "")

cache_statuses: st.SearchStrategy[CacheStatus] = st.sampled_from(["hit", "stale", "collapsed", "miss", "bypass"])
error_types: st.SearchStrategy[ErrorType] = st.sampled_from(["", "status", "client_disconnect", "limited"])
counts = st.none() | st.integers(0, 3)
usages = st.builds(Usage, counts, counts, counts, counts, counts, counts, counts, estimated=st.booleans())
# Sums of sixteenths are exact, and some of these are on the edge of a bucket.
amounts = st.integers(0, 64).map(lambda number: number / 16)
records = st.builds(
    Record,
    provider=st.just("openai"),
    key_id=st.sampled_from(["k1", "k2"]),
    operation=st.just("chat"),
    model=st.sampled_from(["", "m"]),
    status=st.sampled_from([0, 200, 201, 500]),
    cache_status=cache_statuses,
    usage=st.none() | usages,
    duration=amounts,
    error_type=error_types,
    stored=st.sampled_from(["", "hit"]),
    trial=st.sampled_from([None, Trial(), Trial(Divergence("text", 0.5))]),
    cost=st.none() | amounts,
    asked=st.booleans(),
    first_chunk=st.none() | amounts,
)


@given(st.lists(st.tuples(amounts, records), max_size=30))
def test_sums_are_those_of_each_alone(timed: list[tuple[float, Record]]) -> None:
    """For any records the counters of each second get the same, whether they are counted one by one or summed up."""
    alone: Counter[tuple[str, int, str]] = Counter()
    for time, record in timed:
        for metric, amount in (*count_record(record), *count_series(record)):
            alone[record.key_id, int(time), metric] += amount  # type: ignore[assignment]
    together: Counter[tuple[str, int, str]] = Counter()
    for alike in sum_up(timed):
        added = (*count_record(alike.total, alike.number), *count_series(alike.first, alike.total, alike.number))
        for metric, amount in added:
            together[alike.first.key_id, int(alike.time), metric] += amount  # type: ignore[assignment]

    assert alone == together


def test_what_is_alike_is_one() -> None:
    """Records that differ in their amounts alone are one, made at the time of the last, in the order of the first."""
    other = replace(RECORD, key_id="k2")
    records = [RECORD, other, replace(RECORD, usage=Usage(1, 1, 1), duration=0.2, cost=0.5, stored="length")]
    both, single = sum_up(enumerate_in(1.0, records))

    assert (RECORD, 2, 1.5) == (both.first, both.number, both.time)
    assert (Usage(10, 3, 1, 0, 0, 0, 0), 0.45, 0.5) == (both.total.usage, both.total.duration, both.total.cost)
    assert (other, other, 1, 1.25) == (single.first, single.total, single.number, single.time)


def enumerate_in(second: float, records: list[Record]) -> list[tuple[float, Record]]:
    return [(second + place / 4, record) for place, record in enumerate(records)]


def test_what_is_no_number_is_told() -> None:
    """A handler may report anything: what cannot be summed up raises."""
    with pytest.raises(TypeError):
        sum_up([(1.0, replace(RECORD, duration="long"))])  # type: ignore[arg-type]
