"""The other replicas, as a flight of this one meets them: it leads for them, follows one, or finds what one stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.freshness import judge
from coo_middleware.core.progress import End, Start
from coo_middleware.follower import FollowError
from coo_middleware.following import LeaderLostError
from coo_middleware.replicas import Replicas

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Message

    from coo_middleware.cache import Cache
    from coo_middleware.call import Call
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.policy import CachePolicy
    from coo_middleware.core.progress import Part
    from coo_middleware.core.request import Headers
    from coo_middleware.core.sealing import Sealer
    from coo_middleware.following import Following
    from coo_middleware.lead import Lead
    from coo_middleware.portions import Shelf
    from coo_middleware.recorder import Recorder
    from coo_middleware.stores import RuntimeStore

# Why an answer is not whole: it is nobody else's, its call failed for the second time, or it broke off.
_UNSHARED, _FAILED, _CUT = "unshared", "failed", "cut"
# Beside the header section travels what else its readers have to know of it; no field has such a name (RFC 9110
# section 5.1).
_PROVIDER, _KEY_ID, _CODINGS = b":provider", b":key-id", b":codings"


class Peers:
    """Asks `replicas`, where there can be any, on behalf of flights. `now` is in seconds since 1970."""

    def __init__(
        self, replicas: Replicas | None, cache: Cache, shelf: Shelf, recorder: Recorder, now: Callable[[], float]
    ) -> None:
        self._replicas: Final = replicas
        self._cache: Final = cache
        self._shelf: Final = shelf
        self._recorder: Final = recorder
        self._now: Final = now

    def may_answer(self, call: Call) -> bool:
        """Whether another replica's call may answer this one: not where its client asks for a new answer, or for one
        that is not older than something, nor where it is made to be compared with what is stored, and not while the
        store does not answer.
        """
        wishes, policy = call.plan.directives, call.plan.policy
        if self._replicas is None or not policy.collapse_replicas or policy.mode == "observe":
            return False
        return wishes.max_age is None and not (wishes.no_cache or call.is_trial or call.is_cut_off)

    async def join(self, call: Call) -> Lead | Following | Entry | None:
        """Who asks the upstream for what `call` wants: this replica, or another one, or nobody since it is stored. None
        after a fault of ours: then the app is called.

        A purge tells those apart who ask before it from those after it, and a stream is another answer than a body.
        """
        if self._replicas is None:
            return None
        plan = call.plan
        key = f"{plan.key}.{call.generation}.{plan.asked.stream:d}{plan.asked.usage:d}"

        async def look_up() -> Entry | None:
            return await self._look_up(call)

        try:
            return await self._replicas.join(key, look_up, plan.policy.collapse_wait_seconds)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None

    async def end(self, lead: Lead) -> None:
        """The lead's answer has been stored, or will not be."""
        if self._replicas is not None:
            await self._replicas.end(lead)

    async def close(self) -> None:
        """Gives up what is led."""
        if self._replicas is not None:
            await self._replicas.close()

    async def _look_up(self, call: Call) -> Entry | None:
        """A stored response that answers the call and is not the stale one that it is to renew."""
        if call.batch is not None:
            entry, _ = await self._shelf.look_up(call.batch, self._now())
        else:
            entry = await self._cache.look_beyond(call.plan)
        verdict = judge(entry, call.plan.directives, self._now()) if entry else None
        if entry is None or verdict is None or not verdict.serves or verdict.fwd != "request":
            return None
        return None if self._cache.render(call.plan, entry) is None else entry


def open_replicas(store: RuntimeStore, policy: CachePolicy, sealer: Sealer) -> Replicas | None:
    """This process among those that share `store`, None where it is in this process."""
    if store.in_process:
        return None
    return Replicas(store, lease_seconds=policy.collapse_lease_seconds, sealer=sealer)


def tell(lead: Lead, call: Call, message: Message, *, shared: bool) -> None:
    """Tells those who follow `lead` the app's next message. Where it is not `shared`, they go on by themselves or, when
    they had a part of it, end here.
    """
    if not shared:
        lead.send(End(_UNSHARED))
    elif message["type"] == "http.response.start":
        lead.send(Start(message["status"], (*_describe(call), *message.get("headers", ()))))
    elif message["type"] == "http.response.body":
        if message.get("body"):
            lead.send(bytes(message["body"]))
        if not message.get("more_body", False):
            lead.send(End())


def tell_end(lead: Lead, *, began: bool, final: bool) -> None:
    """Tells them that no more comes. When nothing `began` another one of them calls, unless this was the `final` try;
    after the answer's end it is nothing new to them.
    """
    if began or final:
        lead.send(End(_CUT if began else _FAILED))


async def relay(following: Following, call: Call, send: Callable[[Message], Awaitable[None]]) -> bool:
    """Sends another replica's answer on as it comes; False when `call` has to be made after all. Raises FollowError
    when the answer broke off, or the upstream failed that replica and another one before it.
    """
    began = False
    try:
        async for part in following.parts():
            if not began and not _is_for(part, call):
                return False
            message = _read(part)
            if message is None:
                raise FollowError("another process made the call that this request shared, and it failed")
            began = True
            await send(message)
    except LeaderLostError:
        if began:
            raise FollowError("another process made the call that this request shared, and is gone") from None
        return False
    return True


def _describe(call: Call) -> Headers:
    context = call.context
    named = ((_PROVIDER, context.provider.encode()), (_KEY_ID, context.key_id.encode()))
    return (*named, (_CODINGS, call.codings))


def _is_for(part: Part, call: Call) -> bool:
    """Whether the beginning of an answer is one for `call`, which then is in the name of who made it."""
    if not isinstance(part, Start):
        return isinstance(part, End) and part.fault == _FAILED
    told = {name: value for name, value in part.headers if name.startswith(b":")}
    if told.get(_CODINGS) != call.codings and any(name.lower() == b"content-encoding" for name, _ in part.headers):
        return False
    call.context.provider, call.context.key_id = told[_PROVIDER].decode(), told[_KEY_ID].decode()
    return True


def _read(part: Part) -> Message | None:
    """The message that a part was made of, None for the end of what is not whole."""
    if isinstance(part, Start):
        headers = [field for field in part.headers if not field[0].startswith(b":")]
        return {"type": "http.response.start", "status": part.status, "headers": headers}
    if isinstance(part, bytes):
        return {"type": "http.response.body", "body": part, "more_body": True}
    return None if part.fault else {"type": "http.response.body", "body": b"", "more_body": False}
