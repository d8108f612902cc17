"""Which metric an increment of ours belongs to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.families import (
    FAILURES_TOTAL,
    FLEET_PREFIX,
    LIMITED_TOTAL,
    OWN_FAMILIES,
    PROCESS_PREFIX,
    REQUEST_DURATION,
    REQUESTS_TOTAL,
    SHARED_FAMILIES,
    TOKEN_PARTS_TOTAL,
    TOKENS_TOTAL,
    Family,
    Place,
    add_up,
    find_bucket,
    find_place,
    put_time,
)
from coo_middleware.core.series import BOUNDS, LABELS, Series


@pytest.mark.parametrize(
    ("expected", "series"),
    [
        (Place(REQUESTS_TOTAL, ("p", "k", "m", "hit", "2xx")), Series("requests", ("x", "hit", "2xx"))),
        (Place(TOKENS_TOTAL, ("p", "k", "m", "input")), Series("tokens_used", ("x", "input"))),
        (Place(TOKEN_PARTS_TOTAL, ("p", "k", "m", "cache_read")), Series("tokens_used", ("x", "cache_read"))),
        (Place(FAILURES_TOTAL, ("p", "k", "m", "cut")), Series("failures", ("x", "cut"))),
        (Place(LIMITED_TOTAL, ("p", "k", "m")), Series("failures", ("x", "limited"))),
        (Place(REQUEST_DURATION, ("p", "m", "hit"), 0), Series("duration", ("x", "hit", "0.001"))),
        (Place(REQUEST_DURATION, ("p", "m", "hit"), len(BOUNDS)), Series("duration", ("x", "hit", "+Inf"))),
        (Place(REQUEST_DURATION, ("p", "m", "hit"), len(BOUNDS) + 1), Series("duration_sum", ("x", "hit"))),
        (Place(REQUESTS_TOTAL, ("p", "k", "m", "other", "2xx")), Series("requests", ("x", "a\nb", "2xx"))),
        (None, Series("duration", ("x", "hit", "soon"))),
    ],
)
def test_a_series_has_its_place(expected: Place | None, series: Series) -> None:
    """What is counted under a series goes to one label set of one metric; what adds up apart is a metric apart."""
    assert expected == find_place("p", "k", "m", series)


@pytest.mark.parametrize("name", LABELS)
def test_every_series_is_told(name: str) -> None:
    """No series of ours is without a metric."""
    labels = tuple("1" for _ in LABELS[name])

    assert find_place("p", "k", "m", Series(name, labels)) is not None


def test_a_bucket_of_another_version_goes_to_the_next_bound() -> None:
    """A bound that is not ours is counted as the next higher one, never as a lower one."""
    assert find_bucket("0.01") == find_bucket("0.007")


@given(st.lists(st.floats(0, 200)))
def test_buckets_are_cumulative(times: list[float]) -> None:
    """Each bucket has all times up to its bound, the last one all, and the sum is theirs."""
    cells = [0.0] * REQUEST_DURATION.size
    for time in times:
        put_time(cells, time)
    buckets, total = add_up(cells)

    assert [*(sum(time <= bound for time in times) for bound in BOUNDS), len(times)] == buckets
    assert pytest.approx(sum(times)) == total


@pytest.mark.parametrize("family", [*SHARED_FAMILIES, *OWN_FAMILIES], ids=lambda each: each.name)
def test_names_follow_the_rules(family: Family) -> None:
    """A counter ends in `_total`, a histogram in its unit, seconds; no label has a name that Prometheus keeps."""
    assert family.name.endswith("_seconds" if family.is_histogram else "_total")
    assert re.fullmatch(r"[a-z_]+", family.name)
    assert not {"le", "job", "instance", "quantile"} & {*family.labels}


def test_the_two_views_share_no_name() -> None:
    """No metric of the fleet has the name of one of a process."""
    own = {PROCESS_PREFIX + each.name for each in (*SHARED_FAMILIES, *OWN_FAMILIES)}

    assert not own & {FLEET_PREFIX + each.name for each in SHARED_FAMILIES}
