"""LedgerContract: limits as core/ledger.py keeps them, whatever is reserved, settled and renewed in whatever order."""

# ruff: noqa: S101, S311 -- this module is tests, and its dice hide no secret
from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from coo_middleware.core.ledger import Ledger
from coo_middleware.core.limits import Admission, Settlement, Take, Takes
from coo_middleware.testing.contract import Clock, StoreContract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.stores import RuntimeStore

# By name: how much in which window.
_LIMITS: Final = {
    "seconds": (10, 1.0),
    "week": (40, 7.0),
    "minute": (100, 60.0),
    "days": (200, 86_400.0),
    "calls": (3, 0.0),
    "cool": (0.5, 0.0),
}
_PAUSES: Final = (0, 0, 0.004, 0.1, 0.9, 2, 6, 30)
_STEPS: Final = 250


class LedgerContract(StoreContract):
    """What a store promises that keeps limits by the time of `clock`: the same answers as a Ledger's."""

    @pytest.mark.parametrize("seed", range(4))
    async def test_limits_are_those_of_a_ledger(self, clock: Clock, store: RuntimeStore, seed: int) -> None:
        """After any calls, with time passing between them, the same choice is taken, the same wait is told, and the
        same is used.
        """
        both = _Both(store, seed)
        for _ in range(_STEPS):
            await self.advance(clock, both.pause())
            await both.step(clock.now)


class _Both:
    """Makes the same random calls to a store and to a ledger."""

    def __init__(self, store: RuntimeStore, seed: int) -> None:
        self.store: Final = store
        self.ledger: Final = Ledger()
        self.dice: Final = Random(seed)
        self.out: Final[list[Settlement]] = []
        self.tickets = 0

    def pause(self) -> float:
        """The seconds until the next call, in parts of 2^-20, which no clock rounds."""
        return round(self.dice.choice(_PAUSES) * self.dice.random() * 2**20) / 2**20

    async def step(self, now: float) -> None:
        """One call to each."""
        [step] = self.dice.choices([self._reserve, self._settle, self._renew], [6, 3, 1])
        await step(now)

    async def _reserve(self, now: float) -> None:
        self.tickets += 1
        ticket, lease = f"ticket {self.tickets}", self.dice.choice([2.0, 5.0, 5.0, 90.0])
        choices = [self._takes() for _ in range(self.dice.randint(1, 3))]
        expected = self.ledger.reserve(ticket, choices, lease, now)
        found = await self.store.reserve(ticket, choices, lease)
        assert found is not None
        assert expected.choice == found.choice
        assert pytest.approx(_times(expected), abs=0.001) == _times(found)
        assert pytest.approx(_used(expected)) == _used(found)
        if found.choice >= 0:
            self.out.append(Settlement(ticket, choices[found.choice]))

    async def _settle(self, now: float) -> None:
        settlements = [self._truth(each) for each in self._some()]
        self.ledger.settle(settlements, now)
        await self.store.settle(settlements)

    async def _renew(self, now: float) -> None:
        some, lease = self._some(), self.dice.choice([1.0, 5.0, 60.0])
        self.ledger.renew(some, lease, now)
        await self.store.renew(some, lease)

    def _takes(self) -> Takes:
        names = self.dice.sample([*_LIMITS], self.dice.randint(1, 4))
        return tuple(Take(name, *_LIMITS[name], self._amount(name)) for name in names)

    def _amount(self, name: str) -> float:
        if name == "calls":
            return 1
        # Parts of which sums are exact; one call in eight cools something down.
        return self.dice.choice([0] * 7 + [1]) if name == "cool" else self.dice.choice([0, *range(1, 48)]) / 4

    def _some(self) -> Sequence[Settlement]:
        """Reservations, settled ones among them."""
        return self.dice.sample(self.out, min(len(self.out), self.dice.randint(0, 4)))

    def _truth(self, settlement: Settlement) -> Settlement:
        factor = self.dice.choice([0, 0.5, 1, 1, 2])
        takes = (Take(each.name, each.limit, each.window_seconds, each.amount * factor) for each in settlement.takes)
        return Settlement(settlement.ticket, tuple(takes))


def _times(admission: Admission) -> list[float]:
    return [admission.wait_seconds, *(level.reset_seconds for levels in admission.levels for level in levels)]


def _used(admission: Admission) -> list[float]:
    return [level.used for levels in admission.levels for level in levels]
