"""Which limits refuse, and when it is worth coming back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.fullness import find_wait, is_full
from coo_middleware.core.ledger import Ledger
from coo_middleware.core.limits import Level, Take

WINDOW = Take("minute", 10.0, 60.0, 4.0)
CALLS = Take("calls", 2.0, 0.0, 1.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.sampled_from([0.0, 1.0, 60.0]), st.floats(0.01, 10), st.floats(0, 2)),
        max_size=12,
    )
)
def test_it_says_what_the_ledger_says(asked: list[tuple[float, float, float, float]]) -> None:
    """A ledger refuses exactly where a limit is full by the levels that it tells, and waits no longer than it says."""
    ledger, now = Ledger(), 0.0
    for number, (amount, window, limit, pause) in enumerate(asked):
        take = Take(f"{window}:{limit}", limit, window, amount)
        admission = ledger.reserve(f"{number}", ((take,),), 5.0, now)
        if admission.choice < 0:
            assert is_full(take, admission.levels[0][0])
            assert 0 <= find_wait((take,), admission.levels[0], admission.wait_seconds) <= admission.wait_seconds
        now += pause


def test_what_is_more_than_the_limit_needs_it_whole() -> None:
    """A call that takes more than there is fits where nothing else is, and nowhere else."""
    take = Take("minute", 10.0, 60.0, 50.0)

    assert [False, True] == [is_full(take, Level(used, 60.0)) for used in (0.0, 0.1)]


def test_sums_of_fractions_fill_a_limit_to_its_brim() -> None:
    """Ten times 0.1 is 1, though not in binary."""
    used = sum([0.1] * 9)

    assert not is_full(Take("cost", 1.0, 60.0, 0.1), Level(used, 60.0))


def test_a_window_says_when() -> None:
    """Where a window refuses, its moment counts, as the store has it."""
    assert 17.5 == find_wait((WINDOW,), (Level(8.0, 50.0),), 17.5)


def test_nobody_knows_when_a_call_ends() -> None:
    """Where only calls at the same time stand in the way, a second is long enough to wait."""
    levels = (Level(0.0, 0.0), Level(2.0, 30.0))

    assert [1.0, 0.25] == [find_wait((WINDOW, CALLS), levels, wait) for wait in (30.0, 0.25)]


def test_of_both_the_window_counts() -> None:
    """A lease that ends after the window is clear makes nobody wait for it."""
    levels = (Level(8.0, 12.0), Level(2.0, 30.0))

    assert [12.0, 9.0] == [find_wait((WINDOW, CALLS), levels, wait) for wait in (30.0, 9.0)]
