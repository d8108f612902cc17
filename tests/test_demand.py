"""core/demand.py: what a call takes of limits."""

from __future__ import annotations

from coo_middleware.core.demand import KINDS, NOTHING, Demand


def test_a_demand_has_an_amount_of_each_kind() -> None:
    """A call is one request and one at a time; its tokens are those of its input and its output."""
    demand = Demand(input_tokens=30.0, output_tokens=12.0, cost=0.5)

    assert {
        "requests": 1.0,
        "tokens": 42.0,
        "input_tokens": 30.0,
        "output_tokens": 12.0,
        "cost": 0.5,
        "concurrency": 1.0,
    } == {kind: demand.of(kind) for kind in KINDS}


def test_a_call_that_was_never_made_took_nothing_that_counts_in_a_window() -> None:
    """What is given back is everything but the place among calls at the same time, which ends by itself."""
    assert ["concurrency"] == [kind for kind in KINDS if NOTHING.of(kind)]
