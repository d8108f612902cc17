"""Sliding windows with reservations: no true window is ever over its limit, and what is free is given.

A window is cut into GRAINS grains. What was taken in a grain counts until the last moment of the grain has left the
window, so that the window that is kept is at most one grain longer than the one that was asked for: a limit is never
overshot, and at most 1 / GRAINS of it is withheld.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import floor, fmod, inf
from typing import TYPE_CHECKING, Final

from coo_middleware.core.limits import Admission, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coo_middleware.core.limits import Settlement, Take, Takes

GRAINS: Final = 256
# Sums of fractions, such as costs, are not exact.
_SLACK: Final = 1e-9


@dataclass(slots=True)
class Hold:
    """A reservation under way: what it took in which grain, and until when its lease runs; one that lapsed has given
    its amount back and waits for what was used in truth.
    """

    grain: int
    amount: float
    expires: float


@dataclass(slots=True)
class Grain:
    """What was taken in one grain, and how much of that is promised to those who were told to come back then."""

    amount: float = 0.0
    promised: float = 0.0


@dataclass(slots=True)
class Tally:
    """One limit: the grains of its window, and the reservations that are not settled. All times are seconds by one
    clock.
    """

    window: float
    grains: dict[int, Grain] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)

    @property
    def used(self) -> float:
        """What counts now."""
        if not self.window:
            return sum(hold.amount for hold in self.holds.values())
        return sum(grain.amount for grain in self.grains.values())

    def advance(self, now: float) -> None:
        """Lets go of what has left the window, and of leases that have ended."""
        oldest = self.number(now) - GRAINS
        for number in [each for each in self.grains if each < oldest]:
            del self.grains[number]
        for ticket in [ticket for ticket, hold in self.holds.items() if hold.expires <= now]:
            self._lapse(ticket, oldest)
        lapsed = [ticket for ticket, hold in self.holds.items() if hold.expires == inf and hold.grain < oldest]
        for ticket in lapsed:
            del self.holds[ticket]

    def number(self, now: float) -> int:
        """The grain of a moment."""
        return floor(now * GRAINS / self.window) if self.window else 0

    def fits(self, take: Take) -> bool:
        """Whether so much is free. What is more than the whole limit has to have it for itself."""
        return self.used + min(take.amount, take.limit) <= take.limit * (1 + _SLACK)

    def reserve(self, ticket: str, take: Take, now: float, lease_seconds: float) -> None:
        """Takes it, whether it is free or not."""
        number, amount = self.number(now), min(take.amount, take.limit)
        self.holds[ticket] = Hold(number, amount, now + lease_seconds)
        if self.window:
            self.grains.setdefault(number, Grain()).amount += amount

    def settle(self, ticket: str, amount: float) -> None:
        """Puts what was used in the place of what was reserved; once, since the ticket is gone then."""
        hold = self.holds.pop(ticket, None)
        if hold is not None and hold.grain in self.grains:
            grain = self.grains[hold.grain]
            grain.amount = max(0.0, grain.amount + amount - hold.amount)

    def renew(self, ticket: str, expires: float) -> None:
        """Lets the lease of a ticket that has not lapsed run on."""
        hold = self.holds.get(ticket)
        if hold is not None and hold.expires != inf:
            hold.expires = expires

    def find_release(self, take: Take) -> tuple[float, int | None]:
        """The moment when a take that does not fit will, and the grain that frees its place.

        Whoever was told to come back before counts as having come, as far as one window goes: else all who are refused
        would come at one moment, and all but one be refused again.
        """
        needed = self.used + min(take.amount, take.limit) - take.limit
        if not self.window:
            return self._find_end(needed), None
        promised = fmod(sum(grain.promised for grain in self.grains.values()), take.limit)
        needed = min(needed + promised, self.used) - take.limit * _SLACK
        freed = 0.0
        for number in sorted(self.grains):
            freed += self.grains[number].amount
            if freed >= needed:
                return self._leaves(number), number
        return -inf, None

    def level(self, now: float) -> Level:
        """How it stands."""
        if not self.window:
            return Level(self.used, max((hold.expires - now for hold in self.holds.values()), default=0.0))
        newest = max((number for number, grain in self.grains.items() if grain.amount), default=None)
        return Level(self.used, 0.0 if newest is None else max(0.0, self._leaves(newest) - now))

    def _leaves(self, number: int) -> float:
        return (number + GRAINS + 1) * self.window / GRAINS

    def _find_end(self, needed: float) -> float:
        for hold in sorted(self.holds.values(), key=lambda hold: hold.expires):
            needed -= hold.amount
            if needed <= _SLACK:
                return hold.expires
        return -inf

    def _lapse(self, ticket: str, oldest: int) -> None:
        hold = self.holds[ticket]
        if not self.window or hold.grain < oldest:
            del self.holds[ticket]
            return
        self.grains[hold.grain].amount -= hold.amount
        hold.amount, hold.expires = 0.0, inf


class Ledger:
    """The limits of one store, by name; those that count nothing any more leave, and beyond `max_tallies` the one that
    was used least recently.
    """

    def __init__(self, max_tallies: int = 100_000) -> None:
        self._max: Final = max_tallies
        self.tallies: Final[OrderedDict[str, Tally]] = OrderedDict()

    def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float, now: float) -> Admission:
        """Takes the first of the choices that fits as a whole, or nothing."""
        fitting = next((place for place, takes in enumerate(choices) if self._fits(takes, now)), -1)
        wait = 0.0
        if fitting >= 0:
            for take in choices[fitting]:
                self._tally(take, now).reserve(ticket, take, now, lease_seconds)
        else:
            wait = self._promise(choices, now)
        levels = tuple(tuple(self._tally(take, now).level(now) for take in takes) for takes in choices)
        self._forget()
        return Admission(fitting, wait, levels)

    def settle(self, settlements: Iterable[Settlement], now: float) -> None:
        """Settles each; a ticket that is not known has been settled before."""
        for settlement in settlements:
            for take in settlement.takes:
                tally = self.tallies.get(take.name)
                if tally is not None:
                    tally.advance(now)
                    tally.settle(settlement.ticket, take.amount)

    def renew(self, settlements: Iterable[Settlement], lease_seconds: float, now: float) -> None:
        """Lets the leases of these tickets run from now on."""
        for settlement in settlements:
            for take in settlement.takes:
                tally = self.tallies.get(take.name)
                if tally is not None:
                    tally.advance(now)
                    tally.renew(settlement.ticket, now + lease_seconds)

    def _tally(self, take: Take, now: float) -> Tally:
        tally = self.tallies.get(take.name)
        if tally is None or tally.window != take.window_seconds:
            tally = self.tallies[take.name] = Tally(take.window_seconds)
        self.tallies.move_to_end(take.name)
        tally.advance(now)
        return tally

    def _fits(self, takes: Takes, now: float) -> bool:
        return all(self._tally(take, now).fits(take) for take in takes)

    def _promise(self, choices: Sequence[Takes], now: float) -> float:
        """The seconds until the first choice fits, and a place there for whoever asks."""
        moments = []
        for takes in choices:
            refused = [(take, self._tally(take, now)) for take in takes if not self._tally(take, now).fits(take)]
            found = [(take, tally, *tally.find_release(take)) for take, tally in refused]
            moments.append((max(moment for *_, moment, _ in found), found))
        moment, found = min(moments, key=lambda each: each[0])
        for take, tally, _, number in found:
            if number is not None:
                tally.grains[number].promised += min(take.amount, take.limit)
        return max(0.0, moment - now)

    def _forget(self) -> None:
        while len(self.tallies) > self._max:
            self.tallies.popitem(last=False)
