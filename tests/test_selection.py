"""Selection: in which order keys are asked for room."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.providers import HybridWeights
from coo_middleware.core.selection import WEIGHTS, Load, make_order
from tests.keys import even

NONE = HybridWeights(0, 0, 0, 0, 0)
shares = st.none() | st.floats(0, 2)
loads = st.builds(
    Load,
    capacity=st.floats(0.001, 1),
    requests=shares,
    tokens=shares,
    calls_share=shares,
    calls=st.integers(0, 1000),
    recent=st.floats(0, 1e6),
    errors=st.floats(0, 1),
    latency=st.floats(0, 1e4),
    cost=st.floats(0, 1e3),
    turn=st.integers(0, 10**9),
)


def least(*given_loads: Load) -> list[int]:
    return make_order("least_loaded", WEIGHTS["balanced"])(given_loads, even)


def hybrid(weights: HybridWeights, *given_loads: Load) -> list[int]:
    return make_order("hybrid", weights)(given_loads, even)


@pytest.mark.parametrize("algorithm", ["least_loaded", "round_robin", "hybrid"])
@given(given_loads=st.lists(loads, max_size=12), seed=st.integers())
def test_each_key_has_one_place(algorithm: str, given_loads: list[Load], seed: int) -> None:
    """Whatever is known of the keys, each has exactly one place in the order."""
    order = make_order(algorithm, WEIGHTS["balanced"])  # type: ignore[arg-type]

    assert [*range(len(given_loads))] == sorted(order(given_loads, Random(seed).random))  # noqa: S311


def test_the_longest_without_a_turn_is_next() -> None:
    """Round robin goes by turns alone, whatever else is known."""
    order = make_order("round_robin", WEIGHTS["balanced"])

    assert [1, 2, 0] == order([Load(turn=9), Load(turn=2, requests=1.0, calls=50), Load(turn=3)], even)


def test_the_least_used_limit_is_first() -> None:
    """Of each key the limit that is used most counts, as a share: a narrow limit is full with fewer calls."""
    assert [2, 0, 1] == least(Load(requests=0.5, tokens=0.1), Load(requests=0.1, tokens=0.6), Load(calls_share=0.4))


def test_calls_in_flight_count() -> None:
    """Of two keys whose limits are used alike the one with fewer calls in flight is first."""
    assert [1, 0] == least(Load(requests=0.5, calls=10), Load(requests=0.5, calls=2))


def test_calls_in_flight_count_by_what_a_key_may_do() -> None:
    """A key with a quarter of the limit is as busy with a quarter of the calls."""
    assert [1, 0] == least(Load(capacity=0.25, requests=0.5, calls=3), Load(requests=0.5, calls=10))


def test_keys_without_limits_go_by_their_calls() -> None:
    """Without limits the calls in flight and those of the last minute decide."""
    assert [1, 2, 0] == least(Load(recent=90), Load(recent=10), Load(recent=60))
    assert [2, 0, 1] == least(Load(calls=4), Load(calls=9), Load(calls=1))


def test_a_key_without_a_limit_does_not_take_all() -> None:
    """Beside keys with limits, one without counts as being as full as they would be for as many calls."""
    full, free = Load(requests=0.5, recent=50), Load(recent=100)

    assert [0, 1] == least(full, free)
    assert [1, 0] == least(full, Load(recent=10))


def test_ties_are_broken_by_chance() -> None:
    """Of ten keys that are alike each is first about as often as any other."""
    order, chance = make_order("least_loaded", WEIGHTS["balanced"]), Random(5)  # noqa: S311
    firsts = [order([Load()] * 10, chance.random)[0] for _ in range(5000)]

    assert all(400 < firsts.count(place) < 600 for place in range(10))


@pytest.mark.parametrize(
    ("weights", "loads_given"),
    [
        (HybridWeights(1, 0, 0, 0, 0), (Load(tokens=0.9), Load(tokens=0.1))),
        (HybridWeights(0, 1, 0, 0, 0), (Load(requests=0.9), Load(requests=0.1))),
        (HybridWeights(0, 0, 1, 0, 0), (Load(errors=0.9), Load(errors=0.1))),
        (HybridWeights(0, 0, 0, 1, 0), (Load(latency=9.0), Load(latency=1.0))),
        (HybridWeights(0, 0, 0, 0, 1), (Load(cost=0.09), Load(cost=0.01))),
    ],
)
def test_each_weight_weighs_its_term(weights: HybridWeights, loads_given: tuple[Load, Load]) -> None:
    """Each weight alone puts the key first that is better in its term, and without it nothing does."""
    assert [1, 0] == hybrid(weights, *loads_given)
    assert [0, 1] == hybrid(NONE, *loads_given)


def test_terms_are_compared_as_shares() -> None:
    """Seconds do not outweigh dollars: each term is a share of the largest among the keys."""
    quick, cheap = Load(latency=1.0, cost=0.002), Load(latency=30.0, cost=0.001)

    assert [0, 1] == hybrid(HybridWeights(0, 0, 0, latency=0.5, cost_ratio=0.5), quick, cheap)
    assert [1, 0] == hybrid(HybridWeights(0, 0, 0, latency=0.1, cost_ratio=0.9), quick, cheap)


def test_a_kind_that_nobody_limits_says_nothing() -> None:
    """Without limits on tokens hybrid weighs the requests alone, and without any limits the calls of the last minute
    count as these.
    """
    weights = HybridWeights(token_ratio=0.9, req_ratio=0.1, error_score=0, latency=0, cost_ratio=0)

    assert [1, 0] == hybrid(weights, Load(requests=0.5, recent=1), Load(requests=0.4, recent=99))
    assert [1, 0] == hybrid(weights, Load(recent=99), Load(recent=1))
    assert [1, 0] == hybrid(weights, Load(tokens=0.5, recent=1), Load(tokens=0.4, recent=99))


def test_priorities_put_half_on_their_term() -> None:
    """`balanced` weighs all alike; each other priority has one half on its term and an eighth on each other one."""
    assert HybridWeights(0.2, 0.2, 0.2, 0.2, 0.2) == WEIGHTS["balanced"]
    assert HybridWeights(0.125, 0.125, 0.125, 0.125, cost_ratio=0.5) == WEIGHTS["cost"]
    assert HybridWeights(0.125, 0.5, 0.125, 0.125, 0.125) == WEIGHTS["req"]
    assert HybridWeights(0.5, 0.125, 0.125, 0.125, 0.125) == WEIGHTS["token"]
