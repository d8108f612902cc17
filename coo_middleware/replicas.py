"""Collapsing across replicas: one of those that share a store asks the upstream, the others follow it.

Who leads is a lease in the store. Where the store has logs, a follower asks the leader for its answer and gets it from
its first part on, live; an answer that nobody asks for is not written. Elsewhere a follower waits for the stored entry.
When a lease lapses without an answer, a follower takes over. A store that is out of reach makes everybody a leader.
"""

from __future__ import annotations

import asyncio
import os
from itertools import count
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from coo_middleware.board import Board
from coo_middleware.core.entry import EntryError
from coo_middleware.core.sealing import Sealer
from coo_middleware.following import Following, waits
from coo_middleware.lead import Lead
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from coo_middleware.stores import RuntimeStore

_T = TypeVar("_T")

_PLAIN: Final = Sealer()
# How many followers may ask a replica between two of its looks.
_MOST_ASKED: Final = 1_000
# For so long a fault before an answer began is shared with whoever asks.
_FAULT_SECONDS: Final = 1.0


class Replicas:
    """This process among those that share `store`, for one event loop at a time. `lease_seconds`: so long after a
    leader was killed its followers go on without it; a third of it is how often leases are renewed, by one task for
    all. What others may read of an answer lies in the store as `sealer` has it.
    """

    _process: int
    _name: str
    _leads: dict[str, Lead]
    _numbers: Iterator[int]
    _serving: asyncio.Task[None] | None

    def __init__(self, store: RuntimeStore, *, lease_seconds: float = 5.0, sealer: Sealer = _PLAIN) -> None:
        self._board: Final = Board(store, sealer, lease_seconds)
        self._begin()

    async def join(
        self, key: str, look_up: Callable[[], Awaitable[_T | None]], wait_seconds: float
    ) -> Lead | Following | _T:
        """A Lead when this replica is to ask the upstream; a Following as soon as another one's answer has begun; or
        what `look_up` finds, which is asked for the stored entry, again and again while there is a leader.

        There is one of the three within `wait_seconds`: a Lead, if nothing else. Whoever gets a Lead calls `end` in the
        end, after the entry was stored.
        """
        if self._process != os.getpid():
            self._begin()
        key, name = self._board.name(key), f"{self._name}.{next(self._numbers)}"
        try:
            return await self._join(key, name, look_up, wait_seconds)
        except BaseException:
            # Nobody gets this lead, so nobody would end it.
            self._leads.pop(name, None)
            await self._board.release(key, name)
            raise

    async def end(self, lead: Lead) -> None:
        """Gives up the lead, after what was sent of the answer has reached the store, within a second or so.

        Another replica that waits takes over when there was no End. One with a fault before the Start is shared, where
        the store has logs: those who wait get it, and so does whoever comes within a second.
        """
        has_lease = self._leads.pop(lead.name, None) is not None
        share = lead.has_failed and has_lease and self._board.has_logs
        if share:
            lead.publish()
        await lead.settle()
        if share:
            await self._board.claim(lead.key, lead.name, _FAULT_SECONDS)
        elif has_lease:
            await self._board.release(lead.key, lead.name)

    async def close(self) -> None:
        """Gives up every lead and ends the task; a later `join` begins another."""
        for lead in [*self._leads.values()]:
            await self.end(lead)
        serving, self._serving = self._serving, None
        if serving is not None and serving.get_loop() is asyncio.get_running_loop():
            serving.cancel()
            await asyncio.wait([serving])

    def _begin(self) -> None:
        # After a fork, the leads are the parent's, and so is their name.
        self._process, self._name = os.getpid(), token_hex(8)
        self._leads, self._numbers, self._serving = {}, count(1), None

    async def _join(
        self, key: str, name: str, look_up: Callable[[], Awaitable[_T | None]], wait_seconds: float
    ) -> Lead | Following | _T:
        leader = await self._board.claim(key, name)
        if leader == name:
            return await self._look_first(self._lead(key, name, takes_over=False), look_up)
        ends, following = monotonic() + wait_seconds, self._follow(key, leader)
        for seconds in waits():
            patience = min(seconds, ends - monotonic())
            if patience <= 0 or following.is_lost:
                break
            await self._ask(leader)
            if await following.wait(patience):
                return following
            found = await _try(look_up)
            if found is not None:
                return found
            leader = await self._board.claim(key, name)
            if leader == name:
                return await self._take_over(self._lead(key, name, takes_over=True), following, look_up)
            if leader != following.leader:
                following = self._follow(key, leader)
        # Without a lease, so that nobody follows it.
        return Lead(self._board, key, name, takes_over=True)

    def _lead(self, key: str, name: str, *, takes_over: bool) -> Lead:
        loop = asyncio.get_running_loop()
        if self._serving is not None and self._serving.get_loop() is not loop:
            # The leads of a loop that has ended will not be ended.
            self._leads.clear()
        lead = self._leads[name] = Lead(self._board, key, name, takes_over=takes_over)
        if self._serving is None or self._serving.done() or self._serving.get_loop() is not loop:
            self._serving = loop.create_task(self._serve())
        return lead

    def _follow(self, key: str, leader: str) -> Following:
        return Following(self._board, key, leader, f"{self._name}.0")

    async def _look_first(self, lead: Lead, look_up: Callable[[], Awaitable[_T | None]]) -> Lead | _T:
        """The lead, unless the entry was stored between the last look and the claim."""
        found = await _try(look_up)
        if found is None:
            return lead
        await self.end(lead)
        return found

    async def _take_over(
        self, lead: Lead, following: Following, look_up: Callable[[], Awaitable[_T | None]]
    ) -> Lead | Following | _T:
        """The lead, unless the former leader has ended well since the last look."""

        async def look() -> Following | _T | None:
            return following if await following.wait(0) else await look_up()

        return await self._look_first(lead, look)

    async def _ask(self, leader: str) -> None:
        """Tells the leader's replica that it is followed."""
        await self._board.append(leader.partition(".")[0], [leader.encode()], _MOST_ASKED)

    async def _serve(self) -> None:
        """While there are leads: hears who is followed, and renews the leases."""
        third = self._board.lease_seconds / 3
        place, due = "", monotonic() + third
        while self._leads:
            place, asked = await self._board.read(self._name, place, max(0.0, due - monotonic()))
            for name in asked:
                lead = self._leads.get(name.decode(errors="replace"))
                if lead is not None:
                    lead.publish()
            if monotonic() >= due:
                due = monotonic() + third
                await self._renew()

    async def _renew(self) -> None:
        await asyncio.gather(*map(self._renew_one, [*self._leads.values()]))

    async def _renew_one(self, lead: Lead) -> None:
        await lead.renew()
        # When it has ended meanwhile, nobody else would end this lease.
        if lead.name not in self._leads:
            await self._board.release(lead.key, lead.name)


async def _try(look_up: Callable[[], Awaitable[_T | None]]) -> _T | None:
    try:
        return await look_up()
    except (StoreError, EntryError):
        return None
