"""core/generations.py: a bounded mapping that forgets what was not asked for of late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.generations import Generations

SIZES = st.integers(0, 30)
STEPS = st.lists(st.tuples(st.integers(0, 12), SIZES), max_size=60)


@given(STEPS, st.integers(2, 10), st.integers(0, 60))
def test_it_is_bounded_and_never_finds_another_value(steps: list[tuple[int, int]], most: int, size: int) -> None:
    """Whatever comes, there are no more values than allowed, no more bytes, and what is found is what was added."""
    kept: Generations[int, str] = Generations(most, size)
    sizes: dict[int, int] = {}
    for key, each in steps:
        found = kept.find(key)
        if found is None:
            kept.add(key, str(key), each)
            sizes[key] = each

        assert found in (None, str(key))
        assert len(kept) <= most
        held = [name for name in sizes if name in kept._younger or name in kept._elder]
        assert sum(sizes[name] for name in held) <= size


def test_what_is_asked_for_stays() -> None:
    """A value that is asked for outlives any number of those that came once."""
    kept: Generations[int, str] = Generations(10, 1000)
    kept.add(-1, "hot", 10)
    for key in range(100):
        kept.add(key, "cold", 10)

        assert "hot" == kept.find(-1)
    assert kept.find(0) is None
    assert "cold" == kept.find(99)


def test_what_is_too_large_pushes_nothing_out() -> None:
    """A value over half of the room is not kept, and the others stay."""
    kept: Generations[str, str] = Generations(4, 100)
    kept.add("a", "1", 50)
    kept.add("b", "2", 51)

    assert ("1", None, 1) == (kept.find("a"), kept.find("b"), len(kept))
