"""Random reservations in any store whose clock can be moved, compared with the ledger that says what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from hypothesis import strategies as st

from coo_middleware.core.ledger import Ledger
from coo_middleware.core.limits import Settlement, Take, Takes

if TYPE_CHECKING:
    from coo_middleware.stores import RuntimeStore
    from coo_middleware.testing import Clock

# Halves, so that sums are exact in any order.
_TAKES: Final = st.builds(
    Take,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([0.5, 2.0, 10.0]),
    st.sampled_from([0.0, 0.0, 1.0, 60.0, 60.0, 86_400.0]),
    st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0]),
)
_CHOICES: Final = st.lists(
    st.lists(_TAKES, max_size=3, unique_by=lambda take: take.name).map(tuple), min_size=1, max_size=3
)


@dataclass(frozen=True, slots=True)
class Reserve:
    """Takes the first of `choices`."""

    choices: list[Takes]
    lease: float


@dataclass(frozen=True, slots=True)
class Settle:
    """Tells what was used under some tickets, by their age."""

    amounts: list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Renew:
    """Lets some tickets' leases run on."""

    ages: list[int]
    lease: float


@dataclass(frozen=True, slots=True)
class Pass:
    """Lets time pass."""

    seconds: float


Step: TypeAlias = "Reserve | Settle | Renew | Pass"

_LEASES: Final = st.sampled_from([0.5, 10.0, 100.0])
_AGES: Final = st.integers(0, 9)
STEPS: Final = st.lists(
    st.builds(Reserve, _CHOICES, _LEASES)
    | st.builds(Reserve, _CHOICES, _LEASES)
    | st.builds(Settle, st.lists(st.tuples(_AGES, st.sampled_from([0.0, 1.0, 7.5])), max_size=4))
    | st.builds(Renew, st.lists(_AGES, max_size=4), _LEASES)
    | st.builds(Pass, st.sampled_from([0.0, 0.25, 1.0, 9.0, 30.0, 61.0, 100_000.0])),
    max_size=30,
)


class Comparison:
    """A store and a ledger that are told the same."""

    def __init__(self, store: RuntimeStore, clock: Clock) -> None:
        self.store, self.clock, self.ledger = store, clock, Ledger()
        self.taken: list[tuple[str, Takes]] = []

    async def run(self, steps: list[Step], first: int = 0) -> None:
        for number, step in enumerate(steps, first):
            match step:
                case Reserve():
                    await self.reserve(f"ticket-{number}", step)
                case Settle():
                    settlements = [each for age, amount in step.amounts for each in self.find(age, amount)]
                    await self.store.settle(settlements)
                    self.ledger.settle(settlements, self.clock())
                case Renew():
                    settlements = [each for age in step.ages for each in self.find(age, 0.0)]
                    await self.store.renew(settlements, step.lease)
                    self.ledger.renew(settlements, step.lease, self.clock())
                case Pass():
                    self.clock.advance(step.seconds)

    async def reserve(self, ticket: str, step: Reserve) -> None:
        """The one comparison: what was settled or renewed wrongly shows in the levels and in what is admitted."""
        expected = self.ledger.reserve(ticket, step.choices, step.lease, self.clock())
        assert expected == await self.store.reserve(ticket, step.choices, step.lease)
        if expected.choice >= 0:
            self.taken.append((ticket, step.choices[expected.choice]))

    def find(self, age: int, amount: float) -> list[Settlement]:
        if age >= len(self.taken):
            return []
        ticket, takes = self.taken[-1 - age]
        return [Settlement(ticket, tuple(Take(each.name, each.limit, each.window_seconds, amount) for each in takes))]
