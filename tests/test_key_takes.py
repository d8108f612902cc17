"""What a call takes of the limits of a provider's key."""

import pytest

from coo_middleware.core.demand import Demand
from coo_middleware.core.key_takes import begin_rest, compare_limits, find_wait, heed_rest, list_limits, take_all
from coo_middleware.core.ledger import Ledger
from coo_middleware.core.limits import Admission, Level, Take, check_takes
from coo_middleware.core.providers import KeyLimits

ALL = KeyLimits(req_per_min=60, tokens_per_min=1000, concurrency=4, session_limit=5000, session_type="1m")
DEMAND = Demand(input_tokens=100, output_tokens=400)


def test_each_setting_is_a_limit() -> None:
    """Requests and tokens in a minute, tokens in a session and calls at the same time are limits of their own, though a
    session is a minute long.
    """
    takes = take_all(list_limits("openai", "k", ALL), DEMAND)
    check_takes([takes])

    assert [(60, 60, 1), (1000, 60, 500), (5000, 60, 500), (4, 0, 1)] == [
        (take.limit, take.window_seconds, take.amount) for take in takes
    ]


def test_no_limit_is_no_take() -> None:
    """Settings that are 0 limit nothing, and a session that is none is not read."""
    assert () == list_limits("openai", "k", KeyLimits(session_type="nonsense"))


def test_a_session_that_is_none_is_refused() -> None:
    """A session limit without a length that can be read raises ValueError."""
    with pytest.raises(ValueError, match="from 1s to 35d"):
        list_limits("openai", "k", KeyLimits(session_limit=5, session_type="nonsense"))


def test_one_call_is_reserved_so_many_tokens_at_most() -> None:
    """`max_tokens` bounds what is reserved of tokens, and nothing else."""
    takes = take_all(list_limits("openai", "k", ALL), DEMAND, 200)

    assert [1, 200, 200, 1] == [take.amount for take in takes]


def test_names_are_fit_for_a_store() -> None:
    """Names of any letters and of any length become names that stores take, and stay apart."""
    names = ["k", "k:k", "schlüssel", "x" * 200, "é" * 200, "é" * 199]
    takes = [heed_rest(provider, key) for provider in names for key in names]
    takes += [take for provider in names for key in names for take in take_all(list_limits(provider, key, ALL), DEMAND)]
    check_takes([tuple(takes)])

    assert len(names) ** 2 * 5 == len({take.name for take in takes})


def test_a_rest_keeps_a_key_from_being_picked_until_the_last_ends() -> None:
    """While any rest runs, no pick fits, and it is told when the last one ends; picks themselves take nothing."""
    ledger, pick = Ledger(), (heed_rest("openai", "k"),)
    for place, seconds in enumerate((5.0, 20.0, 10.0)):
        assert 0 == ledger.reserve(f"rest-{place}", [(begin_rest("openai", "k"),)], seconds, 100.0).choice
    refused = ledger.reserve("pick-0", [pick], 30.0, 106.0)
    picks = [ledger.reserve(f"pick-{place}", [pick], 30.0, 120.1).choice for place in range(1, 9)]

    assert -1 == refused.choice
    assert pytest.approx(14) == refused.wait_seconds
    assert [0] * 8 == picks


def test_keys_are_compared_by_their_narrowest_limit() -> None:
    """The part of a key is its smallest one beside the widest limit of the kind; without limits it is 1."""
    pool = [
        list_limits("p", "a", KeyLimits(req_per_min=100, tokens_per_min=1000)),
        list_limits("p", "b", KeyLimits(req_per_min=25, tokens_per_min=900)),
        list_limits("p", "c", KeyLimits(concurrency=3)),
        list_limits("p", "d", KeyLimits()),
    ]

    assert [1, 0.25, 1, 1] == compare_limits(pool)


REQUESTS = Take("r", 1.0, 60.0, 1.0)
CALLS = Take("c", 1.0, 0.0, 1.0)
REST = Take("cool", 0.5, 0.0, 0.0)
FULL, FREE = Level(1.0, 20.0), Level(0.0, 0.0)


@pytest.mark.parametrize(
    ("wait", "takes", "levels"),
    [
        (20.0, (REQUESTS, CALLS), (FULL, FREE)),
        (1.0, (REQUESTS, CALLS), (FREE, FULL)),
        (20.0, (REQUESTS, CALLS), (FULL, FULL)),
        (20.0, (REST, CALLS), (FULL, FULL)),
        (30.0, (REQUESTS,), ()),
    ],
)
def test_when_to_ask_again(wait: float, takes: tuple[Take, ...], levels: tuple[Level, ...]) -> None:
    """Where only calls at the same time stand in the way, in a second: nobody knows when they end. A rest and a window
    are waited for.
    """
    assert wait == find_wait([takes], Admission(-1, 30.0, (levels,)))


def test_the_first_choice_to_pass_counts() -> None:
    """Of several choices the one with the shortest wait decides."""
    assert 1.0 == find_wait([(REQUESTS,), (CALLS,)], Admission(-1, 20.0, ((FULL,), (FULL,))))
