"""stores/expiring.py: what is kept, for how long, in how much room, and what the garbage collector has of it."""

from __future__ import annotations

import gc
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.stores.expiring import Expiring

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNT, SIZE = 4, 20

keys = st.sampled_from("abcdefgh")
puts = st.tuples(st.just("put"), keys, st.integers(0, SIZE + 1), st.sampled_from([0.0, 0.5, 1.0, 2.0, 64.0]))
gets = st.tuples(st.sampled_from(["get", "drop"]), keys, st.just(0), st.just(0.0))
waits = st.tuples(st.just("wait"), st.just(""), st.just(0), st.sampled_from([0.25, 1.0, 10.0]))


def make(max_size: int = SIZE, max_count: int = COUNT) -> Expiring[str, bytes]:
    return Expiring(max_size, max_count, lambda _key, value: 1 + len(value))


class Model:
    """The same by the plainest means: a list, the least recently used first."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes, float]] = []

    def put(self, key: str, value: bytes, now: float, ends: float) -> None:
        self.drop(key)
        if 1 + len(value) > SIZE or ends <= now:
            return
        self.kept.append((key, value, ends))
        while len(self.kept) > COUNT or sum(1 + len(value) for _, value, _ in self.kept) > SIZE:
            expired = [each for each in self.kept if each[2] <= now]
            self.kept.remove([*expired, *self.kept][0])

    def get(self, key: str, now: float) -> tuple[bytes, float] | None:
        for each in self.kept:
            if each[0] == key and each[2] > now:
                self.kept.remove(each)
                self.kept.append(each)
                return each[1:]
        return None

    def drop(self, key: str) -> None:
        self.kept = [each for each in self.kept if each[0] != key]


@given(st.lists(puts | gets | waits, max_size=60))
def test_it_agrees_with_a_model(steps: Sequence[tuple[str, str, int, float]]) -> None:
    """Whatever comes, leaves and expires: it has what a plain list would, in the same order, within its bounds."""
    expiring, model, now = make(), Model(), 1_000.0
    for what, key, length, seconds in steps:
        if what == "put":
            for each in (expiring, model):
                each.put(key, bytes(length), now, now + seconds)
        elif what == "get":
            assert model.get(key, now) == expiring.get(key, now)
        elif what == "drop":
            for each in (expiring, model):
                each.drop(key)
        else:
            now += seconds
        assert [(key, value) for key, value, ends in model.kept if ends > now] == list(expiring.items(now))
        values = [value for lot in expiring._lots.values() for value in lot.values()]
        assert sum(1 + len(value) for value in values) == expiring.size <= SIZE


def test_many_leave_in_the_order_of_their_use() -> None:
    """Of more than are looked out at a time each leaves when its turn has come, those read meanwhile later."""
    expiring = make(max_size=10_000, max_count=1_000)
    for number in range(1_000):
        expiring.put(f"{number}", b"", 0.0, 10.0)
    expiring.put("new", b"", 0.0, 10.0)
    for number in range(1, 1_000, 2):
        expiring.get(f"{number}", 0.0)
    for number in range(600):
        expiring.put(f"newer {number}", b"", 0.0, 10.0)

    odd = [f"{number}" for number in range(1, 1_000, 2)]
    assert [*odd[100:], *(f"newer {number}" for number in range(600))] == [key for key, _ in expiring.items(0.0)]


@given(st.floats(0, 2e9), st.floats(1e-6, 1e300))
def test_a_value_leaves_hardly_early_and_never_late(now: float, lifetime: float) -> None:
    """Of its lifetime less than a thousandth is lost, as far as floats can tell."""
    expiring = make()
    expiring.put("a", b"", now, now + lifetime)
    found = expiring.get("a", now)
    given_seconds = now + lifetime - now

    assert (found is not None) == (given_seconds > 0)
    if found is not None:
        assert now + given_seconds * 0.999 <= found[1] <= now + lifetime


def test_those_that_expire_at_once_leave_little_by_little() -> None:
    """No operation has to wait for many of them, and a few hundred suffice for all."""
    expiring = make(max_size=100_000, max_count=100_000)
    for number in range(5_000):
        expiring.put(f"{number}", b"", 0.0, 1.0)
    left = [len(expiring)]
    for number in range(500):
        expiring.put(f"new {number}", b"", 1.0, 2.0)
        left.append(len(expiring))

    assert 16 >= max(before - after for before, after in pairwise(left))
    assert 500 == left[-1]
    assert 2 >= len(expiring._moments)


def test_the_collector_has_nothing_to_see() -> None:
    """However many values there are, it tracks a few objects."""
    expiring = make(max_size=100_000, max_count=10_000)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(10_000):
        expiring.put(f"{number}", b"", 0.0, 1.0)
    gc.collect()

    assert 10 >= len(gc.get_objects()) - before


def test_a_value_that_is_renewed_leaves_nothing_behind() -> None:
    """What one key leaves over a long time is bounded by the steps of its lifetime."""
    expiring = make()
    for number in range(100_000):
        expiring.put("a", b"", number / 1_000, number / 1_000 + 64)

    assert 1 == len(expiring)
    assert 2_048 >= len(expiring._moments)
