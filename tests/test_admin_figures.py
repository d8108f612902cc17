"""admin/figures.py: what series add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.admin.figures import Figures, find_quantile
from coo_middleware.core.series import BOUNDS, count_series, find_bound, read_series
from tests.admin_room import RECORDS


def add(*numbers: int) -> dict[str, object]:
    """The figures of some of RECORDS."""
    figures = Figures()
    for number in numbers:
        for metric, amount in count_series(RECORDS[number]):
            series = read_series(metric)
            assert series is not None
            figures.add(series, amount)
    return figures.document()


def test_records_add_up() -> None:
    """Each is counted under what it was, and parts of tokens are no further tokens."""
    expected = {
        "requests": 4,
        "hits": 1,
        "stale": 0,
        "collapsed": 0,
        "misses": 2,
        "bypassed": 1,
        "hit_ratio": 1 / 3,
        "statuses": {"2xx": 3, "5xx": 1},
        "failures": 1,
        "errors": {"status": 1},
        "error_ratio": 0.25,
        "tokens": 131,
        "tokens_by_type": {"input": 109, "output": 22, "reasoning": 7},
        "tokens_saved": 11,
        "cost": 2.5,
        "cost_saved": 0.5,
    }
    told = add(0, 1, 2, 3)

    assert expected == {name: told[name] for name in expected}


def test_times_are_told_apart_by_who_did_the_work() -> None:
    """What was reused, what was forwarded, and both together; the mean is exact, the rest within its bucket."""
    told = add(0, 1)
    times = {name: told[name] for name in ("duration", "duration_reused", "duration_forwarded", "first_chunk")}

    assert {
        "duration": {"count": 2, "mean": 0.351, "p50": 0.0025, "p95": 1.216},
        "duration_reused": {"count": 1, "mean": 0.002, "p50": 0.00175, "p95": 0.002425},
        "duration_forwarded": {"count": 1, "mean": 0.7, "p50": 0.96, "p95": 1.248},
        "first_chunk": {"count": 1, "mean": 0.3, "p50": 0.24, "p95": 0.312},
    } == {name: pytest.approx(each) for name, each in times.items()}


def test_nothing_is_not_zero() -> None:
    """Ratios and times of no request are unknown."""
    told = add()

    assert [None, None] == [told["hit_ratio"], told["error_ratio"]]
    assert {"count": 0, "mean": None, "p50": None, "p95": None} == told["duration"]


@given(st.lists(st.floats(0, 200), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_its_sample(samples: list[float], share: float) -> None:
    """Interpolation never leaves the bucket in which the true quantile lies."""
    buckets: dict[str, float] = {}
    for sample in samples:
        buckets[find_bound(sample)] = buckets.get(find_bound(sample), 0.0) + 1
    place = next(place for place in range(len(samples)) if place + 1 >= share * len(samples))
    found = find_quantile(buckets, share)
    edge = find_bound(sorted(samples)[place])

    assert found is not None
    lower = BOUNDS[-1] if edge == "+Inf" else max((bound for bound in BOUNDS if bound < float(edge)), default=0.0)
    assert lower <= found <= min(float(edge), BOUNDS[-1])
