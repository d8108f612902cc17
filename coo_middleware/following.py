"""Another replica's answer, as it comes."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from coo_middleware.core.entry import EntryError
from coo_middleware.core.progress import End, FrameError, Part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from coo_middleware.board import Board

# How long a follower waits for news before it looks whether there still is a leader.
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5


class LeaderLostError(Exception):
    """The replica that an answer came from is gone, or its log is, before the answer's end."""


class Following:
    """What `leader` has of the answer to `key`, from its first part on. `nobody` is a name that never leads.

    `is_lost`: parts are missing, so that nothing can be had from here.
    """

    def __init__(self, board: Board, key: str, leader: str, nobody: str) -> None:
        self._board: Final = board
        self._key: Final = key
        self._nobody: Final = nobody
        self._place = ""
        self._number = 0
        self._parts: list[Part] = []
        self.leader: Final = leader
        self.is_lost = False

    async def wait(self, seconds: float) -> bool:
        """Whether there is something to be had, for which it waits."""
        if self._parts or self.is_lost:
            return bool(self._parts)
        self._place, frames = await self._board.read(self.leader, self._place, seconds)
        try:
            for frame in frames:
                self._add(*self._board.unpack(self._key, frame))
        except (FrameError, EntryError):
            self.is_lost = True
        return bool(self._parts)

    async def parts(self) -> AsyncIterator[Part]:
        """A Start, chunks, an End, as they come. Raises LeaderLostError when nothing more will come before the End."""
        heard, pauses = monotonic(), waits()
        while True:
            if await self.wait(next(pauses)):
                pauses = waits()
                parts, self._parts = self._parts, []
                for part in parts:
                    yield part
                if isinstance(parts[-1], End):
                    return
                # Whoever takes its time with what there is has not lost the leader.
                heard = monotonic()
            elif await self._is_led():
                heard = monotonic()
            # A store that is away for a moment is no reason to give up.
            if self.is_lost or monotonic() - heard > self._board.lease_seconds:
                raise LeaderLostError

    async def _is_led(self) -> bool:
        # There is no other way to ask; what is granted here is not wanted.
        holder = await self._board.claim(self._key, self._nobody)
        if holder == self._nobody:
            await self._board.release(self._key, self._nobody)
        return holder == self.leader

    def _add(self, number: int, parts: list[Part]) -> None:
        if number > self._number:
            raise FrameError("parts are missing")
        self._parts += parts[self._number - number :]
        self._number = max(self._number, number + len(parts))


def waits() -> Iterator[float]:
    """Longer and longer waits, in seconds, for ever."""
    seconds = _FIRST_PAUSE
    while True:
        yield seconds
        seconds = min(_LONGEST_PAUSE, 1.5 * seconds)
