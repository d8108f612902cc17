"""The way to the app: limits are asked before it is called, and what it says of limits is heard."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from coo_middleware.core.limited import LimitedError
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from coo_middleware.call import Call
    from coo_middleware.passage import Passage


class Gate:
    """Calls `app` where the limits have room."""

    __slots__ = ("_app",)

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def run(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        """Has the app answer. Raises what it raises, and LimitedError, or StoreError where limits cannot be kept and
        must be, before anything is sent: then the call's passage has the refusal.
        """
        passage = call.passage
        if passage is None:
            await self._app(scope, receive, send)
            return
        turnstile = _Turnstile(passage, send)
        try:
            began = perf_counter()
            await passage.enter()
            call.timing.add_store_time(began)
            await self._app(scope, receive, turnstile.send)
        except (LimitedError, StoreError) as error:
            if not turnstile.has_begun:
                passage.refusal = error
            raise
        finally:
            if passage.refusal is None:
                await turnstile.release()


class _Turnstile:
    """The app's `send`. What answers a refused pick with a failure is held until it is known whose word that is: the
    handler's own, or an error page's inside, after which the refusal itself comes out of the app.
    """

    __slots__ = ("_held", "_passage", "_send", "has_begun")

    def __init__(self, passage: Passage, send: Send) -> None:
        self._held: Final[list[Message]] = []
        self._passage: Final = passage
        self._send: Final = send
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if self._held or (not self.has_begun and self._is_doubtful(message)):
            self._held.append(message)
        else:
            self.has_begun = True
            await self._send(message)

    async def release(self) -> None:
        """Sends what was held."""
        for message in self._held:
            await self._send(message)

    def _is_doubtful(self, message: Message) -> bool:
        status: int = message.get("status", 0)
        return status >= 500 and self._passage.refused is not None
