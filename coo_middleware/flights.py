"""All upstream calls in flight: who may join which, and what becomes of those whose clients have left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from coo_middleware.channels import LINGER_SECONDS
from coo_middleware.flight import GRACE_SECONDS, Flight
from coo_middleware.peers import tell, tell_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from starlette.types import Message, Receive, Scope, Send

    from coo_middleware.call import Call
    from coo_middleware.config import Policy
    from coo_middleware.core.entry import Entry
    from coo_middleware.follower import Follower
    from coo_middleware.lead import Lead
    from coo_middleware.peers import Peers
    from coo_middleware.recorder import Recorder

_CLOSING_SECONDS: Final = 10.0


class Flights:
    """All upstream calls in flight: by cache key those that others may join, and all that go on without a client.

    `run` has the app answer a call; `finish` settles one and gives the entry to be stored, which `store` does. `peers`
    are the other replicas.
    """

    def __init__(
        self,
        run: Callable[[Call, Scope, Receive, Send], Awaitable[None]],
        policy: Policy,
        recorder: Recorder,
        finish: Callable[[Call, bool, bool], Entry | None],
        store: Callable[[Call, Entry], Coroutine[object, object, None]],
        *,
        peers: Peers,
    ) -> None:
        self.run: Final = run
        self.recorder: Final = recorder
        self._finish: Final = finish
        self._policy: Final = policy
        self._store: Final = store
        self.peers: Final = peers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._table: Final[dict[bytes, Flight]] = {}
        self._aloft: Final[set[Flight]] = set()
        self._unattended: Final[set[Flight]] = set()

    def join(self, follower: Follower, avoided: Flight | None) -> Flight | None:
        """The flight for an equal request that `follower` may share and has joined, None where there is none."""
        self._adopt_loop()
        flight = self._table.get(follower.call.plan.digest)
        if flight is None or flight is avoided or not _admits(flight, follower.call):
            return None
        self._unattended.discard(flight)
        flight.stay()
        flight.readers[follower] = None
        return flight

    def lead(self, follower: Follower, *, joinable: bool, asks: bool) -> Flight:
        """A new flight with the follower as its leader; `joinable` by equal requests, where they may share at all, and
        then, if it `asks`, with the other replicas asked first.
        """
        self._adopt_loop()
        plan = follower.call.plan
        joinable = joinable and bool(plan.digest) and plan.policy.collapse and not plan.directives.no_store
        flight = self._launch(follower, joinable=joinable, asks=asks)
        flight.readers[follower] = None
        return flight

    def refresh(self, leader: Follower) -> None:
        """Fetches a new response for a stale one, unless that is going on or too many calls go on without a client."""
        self._adopt_loop()
        if leader.call.plan.digest in self._table or len(self._unattended) >= self._policy.on_disconnect_max:
            return
        self.let_go(self._launch(leader, joinable=True, asks=leader.call.plan.policy.collapse), gone=False)

    def let_go(self, flight: Flight, *, gone: bool, at_once: bool = False) -> None:
        """Nobody follows the flight now. It ends by itself within the configured bounds or is abandoned, and where its
        client is not `gone` or had all, only time counts.
        """
        seconds = self._policy.on_disconnect_seconds
        if gone and not flight.calls_app:
            seconds, at_once = 0.0, True
        elif gone and self._is_cancelled() and not (flight.lead and flight.lead.is_followed):
            seconds = min(seconds, LINGER_SECONDS) if flight.is_delivered() else 0.0
        self._unattended.add(flight)
        if seconds:
            flight.timer = asyncio.get_running_loop().call_later(seconds, flight.abandon)
        else:
            flight.abandon(at_once=at_once)

    def withdraw(self, flight: Flight) -> None:
        """Nobody may join the flight from now on."""
        flight.is_joinable = False
        digest = flight.leader.call.plan.digest
        if self._table.get(digest) is flight:
            del self._table[digest]

    def settle(self, call: Call, *, asked: bool, raised: bool, disconnected: bool) -> Entry | None:
        """Counts a call that has ended, and gives the entry to store; where the app was not `asked`, that is another
        replica's.
        """
        if asked:
            return self._finish(call, raised, disconnected)
        try:
            call.hear_out()
        except Exception as error:
            self.recorder.report("internal_errors", error)
        return None

    def settle_shared(self, call: Call, leader: Call, *, raised: bool, left: bool) -> None:
        """Counts a request that another one's call has served."""
        try:
            call.finish_shared(leader, raised=raised, left=left)
        except Exception as error:
            self.recorder.report("internal_errors", error)

    def land(self, flight: Flight, *, final: bool) -> None:
        """The flight has ended; it can be joined until its response is stored. A failure that is `final` is that of all
        replicas.
        """
        flight.stay()
        self._aloft.discard(flight)
        self._unattended.discard(flight)
        if flight.lead is not None:
            final = final and not isinstance(flight.error, asyncio.CancelledError)
            tell_end(flight.lead, began=bool(flight.log.end), final=final)
        if flight.entry is None:
            self.withdraw(flight)
            self.end_lead(flight)
        else:
            self.recorder.spawn(self._keep(flight, flight.entry))

    def tell_peers(self, flight: Flight, lead: Lead, message: Message) -> None:
        """Tells other replicas the app's next message, for as long as the answer is for them."""
        try:
            tell(lead, flight.leader.call, message, shared=flight.is_shareable)
        except Exception as error:
            self.recorder.report("internal_errors", error)
            flight.is_shareable = False
        if not flight.is_shareable:
            self.end_lead(flight)

    def end_lead(self, flight: Flight) -> None:
        """Nobody in another replica may follow the flight from now on."""
        lead, flight.lead = flight.lead, None
        if lead is not None:
            self.recorder.spawn(self.peers.end(lead))

    async def drain(self) -> None:
        """Returns when all flights have ended that nobody follows."""
        self._adopt_loop()
        while tasks := self._tasks(flight for flight in self._aloft if not flight.is_attended):
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Gives all flights a little time to end, then cancels them."""
        self._adopt_loop()
        tasks = self._tasks(self._aloft)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=_CLOSING_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=GRACE_SECONDS)

    def _launch(self, leader: Follower, *, joinable: bool, asks: bool) -> Flight:
        asks = joinable and asks and self.peers.may_answer(leader.call)
        flight = Flight(self, leader, joinable=joinable, asks_peers=asks)
        self._aloft.add(flight)
        if joinable:
            self._table[leader.call.plan.digest] = flight
        return flight

    async def _keep(self, flight: Flight, entry: Entry) -> None:
        try:
            await self._store(flight.leader.call, entry)
        finally:
            self.withdraw(flight)
            self.end_lead(flight)

    def _is_cancelled(self) -> bool:
        """Whether a call without a client is not to go on."""
        policy = self._policy
        return policy.on_disconnect == "cancel" or len(self._unattended) >= policy.on_disconnect_max

    def _tasks(self, flights: Iterable[Flight]) -> set[asyncio.Task[None]]:
        current = asyncio.current_task()
        return {flight.task for flight in flights if flight.task is not current}

    def _adopt_loop(self) -> None:
        """Flights of an earlier loop, which has ended, are of no use to this one."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._table.clear()
            self._aloft.clear()
            self._unattended.clear()


def _admits(flight: Flight, call: Call) -> bool:
    plan = call.plan
    wishes = plan.directives
    if not plan.policy.collapse or wishes.no_cache or wishes.no_store:
        return False
    if flight.is_over() or flight.leader.call.context.is_bypassed:
        return False
    # A purge came between the two.
    if flight.leader.call.generation != call.generation:
        return False
    if wishes.max_age is not None and asyncio.get_running_loop().time() - flight.born > wishes.max_age:
        return False
    return len(flight.readers) + len(flight.waiters) <= plan.policy.collapse_max_followers
