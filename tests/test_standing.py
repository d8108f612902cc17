"""Standing: what a process knows of a key."""

import pytest

from coo_middleware.core.demand import Demand
from coo_middleware.core.limits import Level
from coo_middleware.core.providers import KeyLimits, ProviderKey
from coo_middleware.core.standing import Standing, make_pool, make_standing

DEMAND = Demand(input_tokens=10, output_tokens=30)
LIMITS = KeyLimits(req_per_min=10, tokens_per_min=400, concurrency=5)
AWAKE = Level(0.0, 0.0)


def make(limits: KeyLimits = LIMITS) -> Standing:
    return make_standing(ProviderKey("openai", "k", "secret"), limits, 5.0, 300.0)


def test_a_new_key_is_free() -> None:
    """Of a key of which nothing is known yet nothing is used; where there is no limit there is no share."""
    load, free = make().load(DEMAND, 0.25, 0.5, 100.0), make(KeyLimits()).load(DEMAND, 0.0, 1.0, 100.0)

    assert (0, 0, 0, 0.25, 0.5) == (load.requests, load.tokens, load.calls_share, load.cost, load.capacity)
    assert (None, None, None, None) == (free.requests, free.tokens, free.calls_share, free.used)


def test_what_the_store_tells_fades() -> None:
    """The used share is as the store told it, and goes to 0 until all is free again."""
    standing = make()
    standing.see(standing.takes(DEMAND), (AWAKE, Level(8.0, 60.0), Level(100.0, 60.0), Level(1.0, 30.0)), 100.0)

    seen, later, last = (standing.load(DEMAND, 0.0, 1.0, now) for now in (100.0, 130.0, 170.0))
    assert (0.8, 0.25, 0.2) == (seen.requests, seen.tokens, seen.calls_share)
    assert (0.4, 0.125, 0.0) == (later.requests, later.tokens, later.calls_share)
    assert (0.8, 0.0) == (seen.used, last.used)


def test_what_is_asked_for_counts_at_once() -> None:
    """A call for which the store has not answered counts as taken."""
    standing = make()
    standing.asking = standing.calls = 2
    load = standing.load(DEMAND, 0.0, 1.0, 100.0)

    assert (0.2, 0.2, 0.4, 2, 2) == (load.requests, load.tokens, load.calls_share, load.calls, load.recent)


def test_a_rest_is_learnt_from_the_store() -> None:
    """A key that another process lets rest, rests here too, and one's own longer rest stays as it is."""
    standing = make()
    standing.see(standing.takes(DEMAND), (Level(1.0, 20.0),), 100.0)
    assert (20, True) == (standing.health.wait(100.0), standing.is_shared)
    standing.see(standing.takes(DEMAND), (Level(1.0, 3.0),), 101.0)

    assert 19 == standing.health.wait(101.0)


def test_a_store_may_tell_nothing() -> None:
    """Levels that are missing leave everything as it is."""
    standing = make()
    standing.see(standing.takes(DEMAND), (), 100.0)

    assert 0 == standing.load(DEMAND, 0.0, 1.0, 100.0).used


def test_the_truth_is_not_bounded() -> None:
    """`max_tokens` bounds what is reserved, and not what is settled."""
    standing = make(KeyLimits(tokens_per_min=400, max_tokens=15))

    assert [0, 15] == [take.amount for take in standing.takes(DEMAND)]
    assert [0, 40] == [take.amount for take in standing.takes(DEMAND, settles=True)]


def test_a_pool_compares_its_keys() -> None:
    """In a pool each key's part is told beside the one that may do most."""
    assert (1, 0.5) == make_pool([make(), make(KeyLimits(req_per_min=5))]).capacities


def test_a_secret_is_not_shown() -> None:
    """What is known of a key can be logged: its secret is not in it."""
    assert "secret" not in repr(make()).replace("is_shared", "")
    with pytest.raises(AttributeError):
        make().secret  # type: ignore[attr-defined]  # noqa: B018
