"""What is reserved of limits: asked of the store, kept alive, and settled once, whatever happens in between."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from coo_middleware.core.fullness import is_full
from coo_middleware.core.ledger import Ledger
from coo_middleware.core.limits import Admission, Settlement, Takes, check_takes
from coo_middleware.settlements import Settlements
from coo_middleware.stores import StoreAwayError, StoreBusyError, StoreError
from coo_middleware.timer import Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coo_middleware.core.limits import Level
    from coo_middleware.core.quotas import LimitsPolicy
    from coo_middleware.recorder import Recorder
    from coo_middleware.stores import RuntimeStore

logger = logging.getLogger("coo_middleware")

_MOST_RENEWED: Final = 256
_HERE: Final = "the limits are kept in each process, divided by policy.limits.expected_replicas"
_AWAY: Final = {
    "local": f"the store is away: {_HERE}",
    "open": "the store is away: no limits are kept",
    "closed": "the store is away: what has limits is refused",
}
_LIMITLESS: Final = f"the store keeps no limits: {_HERE}"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Reservation:
    """What came of asking for the first of `choices` that fits, as whoever decided was asked for them."""

    ticket: str
    choices: tuple[Takes, ...]
    admission: Admission

    @property
    def is_admitted(self) -> bool:
        """Whether one of the choices fits."""
        return self.admission.choice >= 0

    @property
    def takes(self) -> Takes:
        """Those of the choice that was taken, none where none was."""
        return self.choices[self.admission.choice] if self.is_admitted else ()


class Reservations:
    """Reserves in `store`, or by `policy.on_store_error` while that is away.

    Leases run on for as long as somebody holds their Reservation: one that is lost on the way, with its task or its
    process, lapses after `policy.lease_seconds`. `clock` gives monotonic seconds.
    """

    def __init__(
        self, store: RuntimeStore, policy: LimitsPolicy, recorder: Recorder, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store: Final = store
        self._policy: Final = policy
        self._recorder: Final = recorder
        self._clock: Final = clock
        self._settlements: Final = Settlements(store, recorder)
        self._renewal: Final = Timer(self._renew, recorder.spawn)
        self._ledger: Final = Ledger()
        # Not held by us: see above.
        self._there: Final[WeakValueDictionary[str, Reservation]] = WeakValueDictionary()
        self._here: Final[WeakValueDictionary[str, Reservation]] = WeakValueDictionary()
        self._state = ""
        self._turns = 0

    async def reserve(self, choices: Sequence[Takes]) -> Reservation:
        """Takes the first of the choices that fits as a whole, or none; its Reservation is to be settled.

        Raises StoreError while the store is away and `policy.on_store_error` is `closed`, ValueError for what
        core/limits.py refuses.
        """
        asked = tuple(choices)
        if not any(asked):
            return _admit(asked)
        reservation = await self._ask(asked)
        # Who refuses may not know yet which calls have ended here.
        if self._may_have_ended(reservation) and await self._settlements.send():
            reservation = await self._ask(asked)
        return reservation

    def settle(self, reservation: Reservation, takes: Takes) -> None:
        """Puts what was used in the place of what was reserved: soon, and once; after that nothing more is done. What
        cannot have been used is reported, and what was reserved counts.
        """
        try:
            check_takes((takes,))
        except ValueError as error:
            self._recorder.report("internal_errors", error)
            takes = reservation.takes
        settlement = Settlement(reservation.ticket, takes)
        if self._here.pop(reservation.ticket, None) is not None:
            self._ledger.settle((settlement,), self._clock())
        elif self._there.pop(reservation.ticket, None) is not None:
            self._settlements.add(settlement)

    async def drain(self) -> None:
        """Returns when all that was settled so far has been sent, or the store could not be reached."""
        await self._settlements.send()

    async def close(self) -> None:
        """Drains, and lets go. Calls that are still under way are settled with what they had reserved: nobody will tell
        the truth.
        """
        self._renewal.stop()
        for reservation in [*self._there.values()]:
            self.settle(reservation, reservation.takes)
        await self.drain()
        self._settlements.stop()

    async def _ask(self, choices: tuple[Takes, ...]) -> Reservation:
        ticket, turns = token_hex(16), self._turns
        try:
            admission = await self._store.reserve(ticket, choices, self._policy.lease_seconds)
        except StoreError as error:
            self._note_fault(ticket, choices, error)
            if self._policy.on_store_error == "closed":
                raise
            return _admit(choices) if self._policy.on_store_error == "open" else self._reserve_here(ticket, choices)
        except ValueError:
            raise
        except BaseException:
            self._give_back(ticket, choices)
            raise
        # What was asked before the store went away says nothing of its return.
        if turns == self._turns:
            self._turn(_LIMITLESS if admission is None else "")
        if admission is None:
            return self._reserve_here(ticket, choices)
        return self._keep(Reservation(ticket, choices, admission), self._there)

    def _reserve_here(self, ticket: str, choices: tuple[Takes, ...]) -> Reservation:
        shares = self._divide(choices)
        admission = self._ledger.reserve(ticket, shares, self._policy.lease_seconds, self._clock())
        return self._keep(Reservation(ticket, shares, admission), self._here)

    def _divide(self, choices: tuple[Takes, ...]) -> tuple[Takes, ...]:
        """This process's part of the limits. Of one that is less than a call the ledger lets through one at a time."""
        count = self._policy.expected_replicas
        return tuple(tuple(replace(take, limit=take.limit / count) for take in takes) for takes in choices)

    def _keep(self, reservation: Reservation, out: WeakValueDictionary[str, Reservation]) -> Reservation:
        if reservation.is_admitted:
            out[reservation.ticket] = reservation
            self._renewal.set(self._policy.lease_seconds / 3)
        return reservation

    def _note_fault(self, ticket: str, choices: tuple[Takes, ...], error: StoreError) -> None:
        self._recorder.report("store_errors", error)
        if isinstance(error, StoreAwayError):
            self._turn(_AWAY[self._policy.on_store_error])
        elif not isinstance(error, StoreBusyError):
            # It was asked; only its answer is missing.
            self._give_back(ticket, choices)

    def _give_back(self, ticket: str, choices: tuple[Takes, ...]) -> None:
        takes = {take.name: replace(take, amount=0.0) for takes in choices for take in takes}
        self._settlements.add(Settlement(ticket, tuple(takes.values())))

    def _turn(self, state: str) -> None:
        """Logs by what rules limits are kept from now on, where these are others."""
        if state != self._state:
            self._state = state
            self._turns += 1
            logger.warning(state or "the limits are kept by the store again")

    def _may_have_ended(self, refused: Reservation) -> bool:
        """Whether only calls at the same time stand in the way, some of which have ended here."""
        if refused.is_admitted:
            return False
        ended = self._settlements.names()
        pairs = zip(refused.choices, refused.admission.levels, strict=False)
        return bool(ended) and any(_only_waits(takes, levels, ended) for takes, levels in pairs)

    async def _renew(self) -> None:
        """Lets all leases run on, a third of their time after the last time."""
        here, there = (
            [Settlement(each.ticket, each.takes) for each in out.values()] for out in (self._here, self._there)
        )
        if here or there:
            self._renewal.set(self._policy.lease_seconds / 3)
        self._ledger.renew(here, self._policy.lease_seconds, self._clock())
        for start in range(0, len(there), _MOST_RENEWED):
            try:
                await self._store.renew(there[start : start + _MOST_RENEWED], self._policy.lease_seconds)
            except Exception as error:
                self._recorder.report("store_errors", error)


def _admit(choices: tuple[Takes, ...]) -> Reservation:
    """The first of the choices, of which nothing is held."""
    return Reservation("", choices, Admission(0, 0.0, ((),) * len(choices)))


def _only_waits(takes: Takes, levels: tuple[Level, ...], ended: set[str]) -> bool:
    full = [take for take, level in zip(takes, levels, strict=False) if is_full(take, level)]
    return bool(full) and all(take.amount and not take.window_seconds and take.name in ended for take in full)
