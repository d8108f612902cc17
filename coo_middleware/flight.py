"""One upstream call in flight: it runs in a task of ours, which outlives its clients and may have many."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from coo_middleware.channels import Watch, asking
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.notice import add_fields
from coo_middleware.flight_log import FlightLog
from coo_middleware.follower import FollowError
from coo_middleware.following import Following
from coo_middleware.lead import Lead
from coo_middleware.peers import relay

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import Message

    from coo_middleware.core.entry import Entry
    from coo_middleware.flights import Flights
    from coo_middleware.follower import Follower

# So long may an app that was told of the end still run before it is cancelled.
GRACE_SECONDS: Final = 1.0
_MOST_ATTEMPTS: Final = 2


class Flight:
    """One upstream call and those who follow it.

    `readers` are sent its log, `waiters` its end in a shape of their own. The app's `send` waits for the fastest
    reader, as it would wait for its only client, never for a slower one, and for nobody when nobody reads.

    One that `asks_peers` has the other replicas asked first: then it `calls_app` and has the `lead` that they follow,
    or has another one's answer, or the `found` entry.
    """

    def __init__(self, flights: Flights, leader: Follower, *, joinable: bool, asks_peers: bool) -> None:
        self._flights: Final = flights
        self._asks_peers = asks_peers
        self._bound: Final = leader.call.plan.policy.max_entry_bytes
        self._attempts = self._reached = 0
        self._ended = 0.0
        self._taken: Final = asyncio.Event()
        self._hung_up: Final = asyncio.Event()
        self._served: list[Follower] = []
        self.born: Final = asyncio.get_running_loop().time()
        self.is_joinable = joinable
        self.is_shareable = True
        self.readers: Final[dict[Follower, None]] = {}
        self.waiters: Final[set[Follower]] = set()
        self.timer: asyncio.TimerHandle | None = None
        self.error: BaseException | None = None
        self.trace: TracebackType | None = None
        self.entry: Entry | None = None
        self.found: Entry | None = None
        self.lead: Lead | None = None
        self.has_landed = self._is_abandoned = False
        self._launch(leader)

    @property
    def is_attended(self) -> bool:
        """Whether any client is there."""
        return bool(self.readers or self.waiters)

    def tell_leader(self, message: Message, *, strips: bool) -> Message:
        """The start as the leader's client gets it."""
        announce = self.leader.call.announce
        return self.watch.tell(
            message, lambda headers: add_fields(headers, announce(message["status"], headers), rewritten=strips)
        )

    def defer(self, follower: Follower) -> None:
        """The follower waits for the end and no longer reads."""
        self.readers.pop(follower, None)
        self.waiters.add(follower)
        self._taken.set()

    def advance(self, follower: Follower) -> None:
        """The follower was sent the message before its place."""
        if follower.place > self._reached:
            self._reached = follower.place
            self._taken.set()

    def leave(self, follower: Follower, *, at_once: bool = False) -> None:
        """The follower has all that it will get of this flight."""
        if follower not in self.readers and follower not in self.waiters:
            return
        self.readers.pop(follower, None)
        self.waiters.discard(follower)
        self._taken.set()
        if follower.is_served and not follower.leads:
            follower.call.end()
            self._served.append(follower)
            self._settle_served()
        if not self.is_attended and not self.has_landed:
            self._flights.let_go(self, gone=follower.wants_no_more, at_once=at_once)

    def is_delivered(self) -> bool:
        """Whether a client has had all that it needs."""
        return self.log.has_ended or self.is_whole()

    def is_whole(self) -> bool:
        """Whether the format's own end, or the length that was told, has been reached."""
        try:
            return self.leader.call.exchange.is_delivered()
        except Exception as error:
            self._flights.recorder.report("internal_errors", error)
            return False

    def stay(self) -> None:
        """The flight is not to be abandoned: somebody follows it, or it has ended."""
        if self.timer is not None:
            self.timer.cancel()

    def abandon(self, *, at_once: bool = False) -> None:
        """Tells the app that nobody is there, and cancels it where it goes on all the same."""
        self._is_abandoned = True
        self._hung_up.set()
        self._flights.withdraw(self)
        if at_once:
            self.task.cancel()
        else:
            self.timer = asyncio.get_running_loop().call_later(GRACE_SECONDS, self.task.cancel)

    def _launch(self, leader: Follower) -> None:
        leader.leads = True
        self._attempts += 1
        self.leader = leader
        self.calls_app = not self._asks_peers
        self.watch = Watch(leader.call.exchange, self._flights.recorder)
        self.log = FlightLog(self.watch)
        # Not in this client's own task, which ends with it, but in its context.
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(
            self._run(leader), context=leader.context
        )
        self.task.add_done_callback(self._check_end)

    async def _run(self, leader: Follower) -> None:
        error: BaseException | None = None
        try:
            if self.calls_app or not await self._ask_peers(leader):
                await self._call_app(leader)
        except BaseException as raised:
            error = raised
            if not isinstance(raised, Exception | asyncio.CancelledError):
                raise
        finally:
            self._end(leader, error)

    async def _ask_peers(self, leader: Follower) -> bool:
        """Whether the answer has come from another replica or from the store."""
        self._asks_peers = False
        source = await self._flights.peers.join(leader.call)
        if isinstance(source, Following):
            return await self._relay(leader, source)
        if isinstance(source, Lead):
            self.lead = source
            self._attempts = _MOST_ATTEMPTS if source.takes_over else self._attempts
        else:
            self.found = source
        return self.found is not None

    async def _relay(self, leader: Follower, following: Following) -> bool:
        # Each client here shares another one's call, and is counted when it leaves, or is too late for that.
        leader.leads, left = False, leader not in self.readers
        came = await relay(following, leader.call, self._send)
        if came and left and not leader.call.is_refresh:
            self._served.append(leader)
        return came

    async def _call_app(self, leader: Follower) -> None:
        self.calls_app = leader.leads = True
        with asking(leader.scope, leader.content, leader.call.asking):
            await self._flights.run(leader.call, leader.scope, self._receive, self._send)

    def _end(self, leader: Follower, error: BaseException | None) -> None:
        disconnected = self._is_abandoned and not self.is_attended
        raised, limited = error is not None, isinstance(error, LimitedError)
        # A refusal asked no upstream, and speaks for one caller alone.
        self._attempts -= limited
        heir = self._find_heir()
        entry = self._flights.settle(leader.call, asked=self.calls_app, raised=raised, disconnected=disconnected)
        if raised and heir is not None and not isinstance(error, FollowError):
            leader.error = error
            leader.wake.set()
            self.readers.pop(leader, None)
            self._launch(heir)
            return
        self.error, self.entry, self.has_landed = error, entry, True
        self.trace = error.__traceback__ if error is not None else None
        if isinstance(error, Exception) and not limited and not self.is_attended:
            # No layer above hears of it.
            self._flights.recorder.report("unattended_errors", error)
        self._wake_all()
        self._settle_served()
        self._flights.land(self, final=self._attempts >= _MOST_ATTEMPTS)

    def _find_heir(self) -> Follower | None:
        """Who leads another try when this one has failed."""
        if self.log.end or self._attempts >= _MOST_ATTEMPTS:
            return None
        return next((each for each in self.readers if not each.leads and not each.call.spares()), None)

    def _check_end(self, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step has run nothing at all."""
        if task is self.task and not self.has_landed:
            self._end(self.leader, asyncio.CancelledError())

    async def _receive(self) -> Message:
        """The app's `receive`: the request, then its end when the answer is out or nobody waits for it any more."""
        message = self.leader.content.take()
        if message is not None:
            return message
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        """The app's `send`."""
        if not self.is_joinable:
            self._shed()
        self.log.append(message)
        self._close_door(message)
        if self.lead is not None:
            self._flights.tell_peers(self, self.lead, message)
        self._wake_all()
        # Whoever waits sends it on in this very turn. An app that never waits would leave none to anybody else.
        await asyncio.sleep(0)
        end = self.log.end
        while self.readers and self._reached < end:
            self._taken.clear()
            await self._taken.wait()
        if self.log.has_ended:
            self._hung_up.set()

    def _close_door(self, message: Message) -> None:
        """Lets nobody join an answer that is not for others, or of which the beginning will be dropped."""
        if message is self.log.start and self.is_shareable:
            self.is_shareable = self._may_share(message)
        if self.log.is_odd:
            self.is_shareable = False
            self._cut([each for each in self.readers if each.place and not each.leads])
        if self.is_joinable and (not self.is_shareable or self.log.size > self._bound or self._has_failed()):
            self._flights.withdraw(self)
        if self.log.has_ended and not self._ended:
            self._ended = asyncio.get_running_loop().time()

    def _has_failed(self) -> bool:
        """Whether the answer is over and was none: those who wait get it, and who asks again asks the upstream."""
        if not self.log.has_ended:
            return False
        return self.log.status != 200 or (self.leader.call.plan.shape.stream and not self.is_whole())

    def is_over(self) -> bool:
        """Whether the answer ended a while ago, and only the app is still at work."""
        return bool(self._ended) and asyncio.get_running_loop().time() - self._ended > GRACE_SECONDS

    def _may_share(self, message: Message) -> bool:
        try:
            return self.leader.call.may_share(tuple(message.get("headers", ())))
        except Exception as error:
            self.watch.give_up(message, error)
            return False

    def _shed(self) -> None:
        """Drops what all have read, and cuts who lags too far behind to be waited for."""
        log = self.log
        self._cut([each for each in self.readers if log.size - each.taken > self._bound])
        log.drop(min((each.place for each in self.readers), default=log.end))

    def _cut(self, followers: list[Follower]) -> None:
        for each in followers:
            each.error = FollowError("this client reads too slowly, or what came is not for it")
            each.wake.set()
            self.leave(each)

    def _wake_all(self) -> None:
        for each in self.readers:
            each.wake.set()
        if self.has_landed:
            for each in self.waiters:
                each.wake.set()

    def _settle_served(self) -> None:
        """Counts those who were served, once it is known what the call cost."""
        while self.has_landed and self._served:
            follower = self._served.pop()
            raised = follower.parting is None
            settle = partial(self._flights.settle_shared, raised=raised, left=follower.is_left)
            # In its own context, where an observer finds its own span.
            follower.context.copy().run(settle, follower.call, self.leader.call)
