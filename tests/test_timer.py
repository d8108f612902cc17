"""Timer rings once for each time that it is set, in the loop that runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coo_middleware.timer import Timer

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Bell:
    """Counts the work that is done, which its loop runs."""

    def __init__(self) -> None:
        self.rings = 0
        self.tasks: list[asyncio.Task[object]] = []
        self.rang = asyncio.Event()
        self.timer = Timer(self.ring, self.spawn)

    async def ring(self) -> None:
        self.rings += 1
        self.rang.set()

    def spawn(self, work: Coroutine[object, object, object]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def wait(self) -> None:
        async with asyncio.timeout(10):
            await self.rang.wait()
        self.rang.clear()


async def test_what_is_set_twice_rings_once() -> None:
    """A timer that is set rings once however often it is set meanwhile, and can be set again after that."""
    bell = Bell()
    bell.timer.set(0.0)
    bell.timer.set(0.0)
    await bell.wait()
    await asyncio.sleep(0)
    first = bell.rings
    bell.timer.set(0.0)
    await bell.wait()

    assert (1, 2) == (first, bell.rings)


async def test_what_is_stopped_does_not_ring() -> None:
    """A timer that is stopped rings only when it is set again; stopping one that is not set is harmless."""
    bell = Bell()
    bell.timer.stop()
    bell.timer.set(0.0)
    bell.timer.stop()
    await asyncio.sleep(0.001)
    silent = bell.rings
    bell.timer.set(0.0)
    await bell.wait()

    assert (0, 1) == (silent, bell.rings)


def test_a_loop_that_ended_keeps_nothing_waiting() -> None:
    """What was set in a loop that has ended can be set in the next one."""
    bell = Bell()

    async def leave() -> None:
        bell.timer.set(60.0)

    async def ring() -> None:
        bell.timer.set(0.0)
        await bell.wait()

    asyncio.run(leave())
    asyncio.run(ring())

    assert 1 == bell.rings
