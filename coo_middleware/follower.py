"""One client of an upstream call that may have several."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from coo_middleware.core.entry import Entry

if TYPE_CHECKING:
    from contextvars import Context

    from starlette.types import Message, Scope, Send

    from coo_middleware.call import Call
    from coo_middleware.channels import Content
    from coo_middleware.flight import Flight

Way: TypeAlias = Literal["answered", "spare", "entry", "hit", "again", "alone"]


class FollowError(RuntimeError):
    """The answer that a request shared with another one ended before it was whole, so its connection must be cut."""


@dataclass(frozen=True, slots=True)
class Parting:
    """How a client left its flight: `answered`, or with what answers instead: a `spare` for an upstream that failed
    with `status`, or the `entry` that was made, or one that is a `hit`. Or it must be forwarded after all: `again`, so
    that others may share the call, or `alone`, since its answer is nobody else's.
    """

    way: Way
    status: int = 0
    entry: Entry | None = None


ANSWERED: Final = Parting("answered")
AGAIN: Final = Parting("again")
ALONE: Final = Parting("alone")


class Follower:
    """A client's place in a flight's log; the first one's, whose request the app got, leads. `place` is the next
    message that it is sent, `taken` the bytes before that. `parting` is None until it left, and stays so where it
    raised.
    """

    __slots__ = (
        "call",
        "content",
        "context",
        "error",
        "is_left",
        "leads",
        "parting",
        "place",
        "scope",
        "taken",
        "wake",
    )

    def __init__(self, call: Call, scope: Scope, content: Content) -> None:
        self.call: Final = call
        self.scope: Final = scope
        self.content: Final = content
        self.context: Final = copy_context()
        self.wake: Final = asyncio.Event()
        self.error: BaseException | None = None
        self.parting: Parting | None = None
        self.is_left = self.leads = False
        self.place = self.taken = 0

    @property
    def is_served(self) -> bool:
        """Whether it is the flight that answered or failed it, and nothing else will."""
        return self.parting is None or self.parting.way == "answered"

    @property
    def wants_no_more(self) -> bool:
        """Whether its client left, or goes another way."""
        return self.is_left or self.parting is None or self.parting.way in ("again", "alone")

    async def follow(self, flight: Flight, send: Send) -> Parting:
        """Sends what the flight brings, from its first message on, until its end or the client's. Raises what the app
        raised, and FollowError in its place where that was a cancellation.
        """
        listener = asyncio.create_task(self._listen())
        cancelled = False
        try:
            self.parting = parting = await self._follow(flight, send)
        except asyncio.CancelledError:
            self.is_left = cancelled = True
            raise
        finally:
            listener.cancel()
            flight.leave(self, at_once=cancelled)
            if self.leads:
                adopt_context(self.context)
        return parting

    async def _listen(self) -> None:
        if await self.content.is_left():
            self.is_left = True
            self.wake.set()

    async def _follow(self, flight: Flight, send: Send) -> Parting:
        if not await self._begins(flight):
            return AGAIN
        if self.is_left:
            return ANSWERED
        if flight.found is not None:
            return Parting("hit", entry=flight.found)
        log = flight.log
        failed = self.error is not None or (flight.error is not None and not log.end)
        status = 0 if failed else log.status
        if (failed or status) and self.call.spares(status):
            return Parting("spare", status)
        if failed:
            self._fail(flight)
        if log.end and not self.leads:
            if not flight.is_shareable:
                return ALONE
            if not log.reads_like(flight.leader.call, self.call):
                return await self._wait_for_entry(flight)
        await self._send_all(flight, send)
        return ANSWERED

    async def _begins(self, flight: Flight) -> bool:
        """Whether there was something before this client's patience ended; who leads has no end of it."""
        deadline = self._find_deadline()
        while not (flight.log.end or flight.has_landed or self.error or self.is_left):
            if not await self._wait(None if self.leads else deadline) and not self.leads:
                return False
        return True

    async def _wait_for_entry(self, flight: Flight) -> Parting:
        flight.defer(self)
        deadline = self._find_deadline()
        while not (flight.has_landed or self.is_left):
            if not await self._wait(deadline):
                return AGAIN
        if self.is_left:
            return ANSWERED
        return Parting("entry", entry=flight.entry) if flight.entry is not None else AGAIN

    async def _send_all(self, flight: Flight, send: Send) -> None:
        log = flight.log
        strips = log.rewrites and not self.call.plan.shape.usage
        while not self.is_left and self.error is None:
            message = log.read(self.place, stripped=strips)
            if message is not None:
                size = log.weigh(self.place)
                await self._send(flight, message, send, strips=strips)
                self.taken += size
                self.place += 1
                flight.advance(self)
            elif flight.has_landed or (log.has_ended and not self.leads):
                break
            else:
                await self._wait(None)
        if not self.is_left and (self.leads or self.error is not None or not log.has_ended):
            self._fail(flight)

    async def _send(self, flight: Flight, message: Message, send: Send, *, strips: bool) -> None:
        if message is flight.log.start:
            message = self._tell(flight, message, strips=strips)
        try:
            await send(message)
            if message.get("body"):
                self.call.timing.note_chunk()
        except BaseException:
            # A server may say so when its client has left; whatever else it says, this client gets no more.
            self.is_left = True
            raise

    def _tell(self, flight: Flight, message: Message, *, strips: bool) -> Message:
        """The start with what it says to this client."""
        if self.leads:
            adopt_context(self.context)
            return flight.tell_leader(message, strips=strips)
        return flight.watch.tell(message, lambda headers: self.call.tell_shared(headers, rewritten=strips))

    async def _wait(self, deadline: float | None) -> bool:
        """Waits to be woken; whether that was before the deadline, by the loop's clock."""
        try:
            if deadline is None:
                await self.wake.wait()
            else:
                async with asyncio.timeout_at(deadline):
                    await self.wake.wait()
        except TimeoutError:
            return False
        self.wake.clear()
        return True

    def _find_deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.call.plan.policy.collapse_wait_seconds

    def _fail(self, flight: Flight) -> None:
        """Raises what ended this client's answer, if anything did."""
        error = self.error or flight.error
        if error is None:
            return
        if self.leads or self.error is not None:
            raise error
        if isinstance(error, Exception):
            # Each raise adds to the trace that the error came with.
            raise error.with_traceback(flight.trace)
        raise FollowError("the call that this request shared was cancelled")


def adopt_context(context: Context) -> None:
    """Sets the context variables that `context` has changed, as if its code had run here."""
    for variable, value in context.items():
        if variable.get(context) is not value:
            variable.set(value)
