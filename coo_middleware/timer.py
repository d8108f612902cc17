"""A timer of the running event loop, whichever that is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Timer:
    """Has `work` done by `spawn` some time after `set`. One that its loop did not live to see is forgotten."""

    def __init__(
        self,
        work: Callable[[], Coroutine[object, object, object]],
        spawn: Callable[[Coroutine[object, object, object]], object],
    ) -> None:
        self._work: Final = work
        self._spawn: Final = spawn
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """In `seconds`, unless it is set already."""
        loop = asyncio.get_running_loop()
        if self._handle is None or self._loop is not loop:
            self._loop, self._handle = loop, loop.call_later(seconds, self._ring)

    def stop(self) -> None:
        """Not any more, until it is set again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self) -> None:
        self._handle = None
        self._spawn(self._work())
