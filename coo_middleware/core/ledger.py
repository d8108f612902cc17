"""Sliding windows with reservations: no true window is ever over its limit, and what is free is given.

A window is cut into GRAINS grains. What was taken in a grain counts until the last moment of the grain has left the
window, so that the window that is kept is at most one grain longer than the one that was asked for: a limit is never
overshot, and at most 1 / GRAINS of it is withheld.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import floor, fmod, inf
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from coo_middleware.core.limits import Admission, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coo_middleware.core.limits import Settlement, Take, Takes

GRAINS: Final = 256
# Sums of fractions, such as costs, are not exact.
_SLACK: Final = 1e-9
_ROUNDING: Final = 1e-12
_FREE: Final = Level(0.0, 0.0)


class Hold(NamedTuple):
    """A reservation under way: what it took in which grain, and until when its lease runs."""

    grain: int
    amount: float
    expires: float


@dataclass(slots=True)
class Tally:
    """One limit: what was taken in each grain of its window, the reservations that are not settled, and how much of
    each grain is promised to those who were told to come back when it leaves. Where the window is 0, everything is in
    one grain, which nothing leaves but by being settled.

    All times are seconds by one clock. Where that is set back, nothing leaves until it is where it was.
    """

    window: float
    used: float = 0.0
    """What counts now."""
    amounts: dict[int, float] = field(default_factory=dict)
    """By grain, in their order; empty where nothing counts."""
    promised: dict[int, float] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    """By ticket, in the order in which they expire."""
    lapsed: dict[str, int] = field(default_factory=dict)
    """Tickets that gave back what they had taken, and in which grain: what was used in truth may still be told."""
    due: float = -inf
    """Before this moment nothing leaves and no lease ends."""

    def advance(self, now: float) -> None:
        """Lets go of what has left the window, and of leases that have ended."""
        if now < self.due:
            return
        self._leave(now)
        self._lapse(now)
        first = next(iter(self.holds.values()), None)
        self.due = min(
            inf if first is None else first.expires,
            self._leaves(next(iter(self.amounts))) if self.amounts else inf,
        )

    def number(self, now: float) -> int:
        """The grain of a moment."""
        return floor(now * GRAINS / self.window) if self.window else 0

    def fits(self, take: Take) -> bool:
        """Whether so much is free. What is more than the whole limit has to have it for itself."""
        return self.used + min(take.amount, take.limit) <= take.limit * (1 + _SLACK)

    def reserve(self, ticket: str, take: Take, now: float, lease_seconds: float) -> None:
        """Takes it, whether it is free or not; nothing at the same time holds nothing."""
        amount, number = min(take.amount, take.limit), self.number(now)
        if amount or self.window:
            number = max(number, next(reversed(self.amounts), number))
            if number not in self.amounts:
                self.amounts[number] = 0.0
                self.due = min(self.due, self._leaves(number))
            self.amounts[number] += amount
            self.used += amount
            self._hold(ticket, Hold(number, amount, now + lease_seconds))

    def settle(self, ticket: str, amount: float) -> None:
        """Puts what was used in the place of what was reserved; once, since the ticket is gone then."""
        if ticket in self.holds:
            self._end(ticket, amount if self.window else 0.0)
        elif ticket in self.lapsed:
            self._charge(self.lapsed.pop(ticket), amount)

    def renew(self, ticket: str, expires: float) -> None:
        """Lets the lease of a ticket that has not lapsed run on."""
        hold = self.holds.pop(ticket, None)
        if hold is not None:
            self._hold(ticket, hold._replace(expires=expires))

    def find_release(self, take: Take) -> tuple[float, int | None]:
        """The moment when a take that does not fit will, and the grain that frees its place.

        Whoever was told to come back before counts as having come, as far as one window goes: else all who are refused
        would come at one moment, and all but one be refused again.
        """
        needed = self.used + min(take.amount, take.limit) - take.limit
        slack = take.limit * _SLACK
        if not self.window:
            ends = zip(accumulate(hold.amount for hold in self.holds.values()), self.holds.values(), strict=True)
            return next((hold.expires for freed, hold in ends if freed >= needed - slack), -inf), None
        promised = fmod(sum(self.promised.values()), take.limit)
        needed = min(needed + promised, self.used) - slack
        freed = zip(accumulate(self.amounts.values()), self.amounts, strict=True)
        number = next((number for amount, number in freed if amount >= needed), None)
        return (-inf if number is None else self._leaves(number)), number

    def promise(self, number: int, amount: float) -> None:
        """Keeps in mind that somebody will come for so much when a grain leaves."""
        self.promised[number] = self.promised.get(number, 0.0) + amount

    def level(self, now: float) -> Level:
        """How it stands."""
        if not self.window:
            last = next(reversed(self.holds.values()), None)
            return Level(self.used, 0.0 if last is None else last.expires - now)
        newest = next((number for number in reversed(self.amounts) if self.amounts[number]), None)
        return Level(self.used, 0.0 if newest is None else max(0.0, self._leaves(newest) - now))

    def dump(self) -> str:
        """All of it as JSON, for a store that writes it down."""
        gaps = [number - before for before, number in pairwise([0, *self.amounts])]
        held = [[ticket, *hold] for ticket, hold in self.holds.items()]
        parts = [self.window, gaps, [*self.amounts.values()], [*self.promised.items()], held, [*self.lapsed.items()]]
        return json.dumps(parts, separators=(",", ":"))

    @classmethod
    def load(cls, dumped: str) -> Self:
        """The tally that was dumped."""
        window, gaps, amounts, promised, held, lapsed = json.loads(dumped)
        holds = {ticket: Hold(*hold) for ticket, *hold in held}
        grains = dict(zip(accumulate(gaps), amounts, strict=True))
        return cls(window, sum(amounts), grains, dict(promised), holds, dict(lapsed))

    def _leave(self, now: float) -> None:
        left = False
        while self.amounts and self._leaves(number := next(iter(self.amounts))) <= now:
            del self.amounts[number]
            self.promised.pop(number, None)
            left = True
        if left:
            # Added up again, so that no rounding stays: without a grain it is exactly 0.
            self.used = sum(self.amounts.values())
            while self.lapsed and self.lapsed[ticket := next(iter(self.lapsed))] not in self.amounts:
                del self.lapsed[ticket]

    def _leaves(self, number: int) -> float:
        return (number + GRAINS + 1) * self.window / GRAINS if self.window else inf

    def _lapse(self, now: float) -> None:
        while self.holds:
            ticket, hold = next(iter(self.holds.items()))
            if hold.expires > now:
                break
            self._end(ticket, 0.0)
            if self.window and hold.grain in self.amounts:
                self.lapsed[ticket] = hold.grain

    def _hold(self, ticket: str, hold: Hold) -> None:
        last = next(reversed(self.holds.values()), hold)
        self.holds[ticket] = hold
        self.due = min(self.due, hold.expires)
        if last.expires > hold.expires:
            # Leases of one limit are as long as each other, nearly always.
            self.holds = dict(sorted(self.holds.items(), key=lambda each: each[1].expires))

    def _end(self, ticket: str, amount: float) -> None:
        hold = self.holds.pop(ticket)
        self._charge(hold.grain, amount - hold.amount)
        if not self.window and not self.holds:
            self.amounts.clear()
            self.used = 0.0

    def _charge(self, number: int, change: float) -> None:
        before = self.amounts.get(number)
        if before is not None:
            # What rounding leaves of nothing is nothing.
            after = before + change if before + change > before * _ROUNDING else 0.0
            self.amounts[number] = after
            self.used += after - before


class Ledger:
    """The limits of one store, by name; those that count nothing any more leave, and beyond `max_tallies` the one that
    was used least recently. A clock that is set back is taken to stand still for that moment, and to run on from there.
    """

    def __init__(self, max_tallies: int = 100_000) -> None:
        self._max: Final = max_tallies
        self._seen = -inf
        self._behind = 0.0
        self._unswept: list[str] = []
        self.tallies: Final[OrderedDict[str, Tally]] = OrderedDict()

    def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float, now: float) -> Admission:
        """Takes the first of the choices that fits as a whole, or nothing."""
        now = self._elapse(now)
        for takes in choices:
            for take in takes:
                self._advance(take, now)
        fitting = next((place for place, takes in enumerate(choices) if all(map(self._fits, takes))), -1)
        wait = 0.0
        if fitting >= 0:
            for take in choices[fitting]:
                self._tally(take, now).reserve(ticket, take, now, lease_seconds)
        else:
            wait = self._promise(choices, now)
        self._sweep(now)
        return Admission(fitting, wait, tuple(tuple(self._level(take, now) for take in takes) for takes in choices))

    def settle(self, settlements: Iterable[Settlement], now: float) -> None:
        """Settles each; a ticket that is not known has been settled before."""
        self._elapse(now)
        for settlement in settlements:
            for take in settlement.takes:
                tally = self.tallies.get(take.name)
                if tally is not None:
                    tally.settle(settlement.ticket, take.amount)

    def renew(self, settlements: Iterable[Settlement], lease_seconds: float, now: float) -> None:
        """Lets the leases of these tickets run from now on."""
        now = self._elapse(now)
        for settlement in settlements:
            for take in settlement.takes:
                tally = self.tallies.get(take.name)
                if tally is not None:
                    tally.advance(now)
                    tally.renew(settlement.ticket, now + lease_seconds)

    def _elapse(self, now: float) -> float:
        self._behind += max(0.0, self._seen - now)
        self._seen = now
        return now + self._behind

    def _advance(self, take: Take, now: float) -> None:
        tally = self.tallies.get(take.name)
        if tally is None:
            return
        if tally.window != take.window_seconds:
            del self.tallies[take.name]
            return
        self.tallies.move_to_end(take.name)
        tally.advance(now)

    def _fits(self, take: Take) -> bool:
        tally = self.tallies.get(take.name)
        return tally is None or tally.fits(take)

    def _level(self, take: Take, now: float) -> Level:
        tally = self.tallies.get(take.name)
        return _FREE if tally is None else tally.level(now)

    def _tally(self, take: Take, now: float) -> Tally:
        tally = self.tallies.get(take.name)
        if tally is None:
            self._sweep(now)
            tally = self.tallies[take.name] = Tally(take.window_seconds)
            if len(self.tallies) > self._max:
                self.tallies.popitem(last=False)
        return tally

    def _promise(self, choices: Sequence[Takes], now: float) -> float:
        """The seconds until the first choice fits, and a place there for whoever asks."""
        moment, found = min((self._find_release(takes) for takes in choices), key=lambda each: each[0])
        for take, number in found:
            if number is not None:
                self.tallies[take.name].promise(number, min(take.amount, take.limit))
        return max(0.0, moment - now)

    def _find_release(self, takes: Takes) -> tuple[float, list[tuple[Take, int | None]]]:
        refused = [take for take in takes if not self._fits(take)]
        found = [self.tallies[take.name].find_release(take) for take in refused]
        return max(moment for moment, _ in found), [(take, found[place][1]) for place, take in enumerate(refused)]

    def _sweep(self, now: float) -> None:
        """Looks at one tally, each in its turn: where nothing counts any more, it leaves."""
        if not self._unswept:
            self._unswept = [*self.tallies]
        tally = self.tallies.get(name) if (name := self._unswept.pop() if self._unswept else "") else None
        if tally is not None:
            tally.advance(now)
            if not tally.amounts:
                del self.tallies[name]
