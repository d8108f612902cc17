"""How a request comes by an upstream call in flight: it shares an equal one's, or leads its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from coo_middleware.follower import Follower

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope, Send

    from coo_middleware.cache import Cache
    from coo_middleware.call import Call
    from coo_middleware.channels import Content
    from coo_middleware.config import Policy
    from coo_middleware.flight import Flight
    from coo_middleware.flights import Flights
    from coo_middleware.follower import Parting
    from coo_middleware.recorder import Recorder
    from coo_middleware.reply import Reply

# How many flights of others a request waits for before it leads its own.
_MOST_SHARED: Final = 2


class Sharing:
    """Takes requests aboard `flights`. `now` is in seconds since 1970."""

    def __init__(
        self, flights: Flights, policy: Policy, cache: Cache, recorder: Recorder, now: Callable[[], float]
    ) -> None:
        self._flights: Final = flights
        self._policy: Final = policy
        self._cache: Final = cache
        self._recorder: Final = recorder
        self._now: Final = now

    def applies(self, call: Call, content: Content) -> bool:
        """Whether the app is called in a task of ours: where others may share the call, or it may outlive its client,
        or something stored may have to answer in its place.
        """
        if not content.is_whole:
            return False
        shares = bool(call.plan.digest) and call.plan.policy.collapse and not call.plan.directives.no_store
        return shares or self._policy.on_disconnect == "finish" or call.spares()

    async def answer(self, call: Call, scope: Scope, content: Content, send: Send) -> Reply | bool:
        """Follows a flight until its client has its answer. What is left to do is to send a Reply, nothing (True), or,
        after a fault of ours, to forward the request (False). Raises what the app raised.
        """
        avoided: Flight | None = None
        joinable = True
        for turn in range(_MOST_SHARED + 1):
            make_follower = partial(Follower, call, scope, content)
            boarded = self._board(make_follower, avoided, turn, joinable=joinable)
            if boarded is None:
                break
            follower, avoided = boarded
            parting = await follower.follow(avoided, send)
            reply = self._make_reply(call, parting)
            if reply is not None or parting.way == "answered":
                return True if reply is None else reply
            joinable = parting.way != "alone"
        return False

    def refresh(self, call: Call, scope: Scope, content: Content) -> None:
        """Fetches a new response in place of the stale one that answers this call, in the background."""
        try:
            refresh = call.make_refresh()
            own = {**scope, "state": {**scope.get("state", {}), "coo": refresh.context}}
            self._flights.refresh(Follower(refresh, own, content))
        except Exception as error:
            self._recorder.report("internal_errors", error)

    def _board(
        self, make_follower: Callable[[], Follower], avoided: Flight | None, turn: int, *, joinable: bool
    ) -> tuple[Follower, Flight] | None:
        try:
            follower = make_follower()
            flight = self._flights.join(follower, avoided) if joinable and turn < _MOST_SHARED else None
            # Whoever has waited for one call does not wait for another replica's.
            return follower, flight or self._flights.lead(follower, joinable=joinable, asks=not turn)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None

    def _make_reply(self, call: Call, parting: Parting) -> Reply | None:
        """What answers whoever left a flight with something else than its log."""
        try:
            if parting.way == "spare":
                return call.make_spare_reply(parting.status, self._now())
            if parting.entry is None:
                return None
            content = self._cache.render(call.plan, parting.entry)
            if parting.way == "hit":
                call.find_reply(parting.entry, content, self._now())
                return call.reply
            return None if content is None else call.make_shared_reply(parting.entry, content)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None
