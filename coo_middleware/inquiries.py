"""Questions to a store that are under way: whoever asks the same meanwhile shares the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Inquiries(Generic[T]):
    """A crowd that asks for one thing takes one connection, and not all of them."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: Final[dict[str, asyncio.Task[T]]] = {}

    def begin(self, name: str, ask: Callable[[], Coroutine[object, object, T]]) -> asyncio.Task[T]:
        """The question under `name`, which `ask` puts where nobody has; it outlives whoever waits for it."""
        loop = asyncio.get_running_loop()
        task = self._tasks.get(name)
        if task is None or task.done() or task.get_loop() is not loop:
            task = self._tasks[name] = loop.create_task(ask())
            task.add_done_callback(lambda done: self._end(name, done))
        return task

    async def end(self, task: asyncio.Task[T]) -> T:
        """The answer. Raises what asking raised."""
        # Not awaited itself: a request that is cancelled must not cancel what others wait for.
        await asyncio.wait([task])
        return task.result()

    def _end(self, name: str, task: asyncio.Task[T]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]
        if not task.cancelled():
            # Whoever waited may have left, and then nobody else looks at it.
            task.exception()
