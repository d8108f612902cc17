"""An answer that this replica leads: kept for those who may come late, and written to the store when one asks."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from coo_middleware.core.progress import End, Part, Start, size_of

if TYPE_CHECKING:
    from coo_middleware.board import Board

# So much of an answer is kept for those who come late, here and in the store.
_MOST_BYTES: Final = 8_388_608
_FRAME_BYTES: Final = 65_536
# Events that come close together travel together.
_GATHER_SECONDS: Final = 0.005
_AGAIN_SECONDS: Final = 0.1
_LAST_SECONDS: Final = 1.0


class Lead:
    """The work on `key`, which is this replica's, under a `name` that no other lead has.

    `takes_over`: another replica had it before, and its answer never came.
    """

    def __init__(self, board: Board, key: str, name: str, *, takes_over: bool) -> None:
        self.key: Final = key
        self.name: Final = name
        self.takes_over: Final = takes_over
        self._board: Final = board
        self._parts: Final[deque[Part]] = deque()
        self._first = self._size = self._sent = 0
        self._frames: Final[deque[int]] = deque()
        self._frames_size = 0
        self._news: Final = asyncio.Event()
        self._began = False
        self._end: End | None = None
        self._publishing: asyncio.Task[None] | None = None

    @property
    def is_followed(self) -> bool:
        """Whether another replica has asked for the answer."""
        return self._publishing is not None

    @property
    def has_failed(self) -> bool:
        """Whether the end is a fault before any answer began."""
        return self._end is not None and bool(self._end.fault) and not self._began

    def send(self, part: Part) -> None:
        """The next part of the answer: a Start, chunks, an End. It never waits; nothing is taken after the End."""
        if self._end is not None:
            return
        if isinstance(part, End):
            self._end = part
        self._began = self._began or isinstance(part, Start)
        self._parts.append(part)
        self._size += size_of(part)
        while self._size > _MOST_BYTES and len(self._parts) > 1:
            self._size -= size_of(self._parts.popleft())
            self._first += 1
        self._news.set()

    def publish(self) -> None:
        """From now on the answer goes to the store as it comes, what there is of it first."""
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().create_task(self._publish())

    async def renew(self) -> None:
        """Renews the lease, and keeps alive what the store has of the answer."""
        if self._frames:
            await self._board.append(self.name, [], len(self._frames))
        await self._board.claim(self.key, self.name)

    async def settle(self) -> None:
        """Ends the publishing; before it, the store has a second to take what is left of an answer that ended."""
        publishing = self._publishing
        if publishing is not None:
            await asyncio.wait([publishing], timeout=0 if self._end is None else _LAST_SECONDS)
            publishing.cancel()

    async def _publish(self) -> None:
        while True:
            self._news.clear()
            while self._sent < self._first + len(self._parts):
                await self._send_frame()
            if self._end is not None:
                return
            await asyncio.sleep(_GATHER_SECONDS)
            await self._news.wait()

    async def _send_frame(self) -> None:
        number, parts = self._take()
        frame = self._board.pack(self.key, number, parts)
        self._frames.append(len(frame))
        self._frames_size += len(frame)
        while self._frames_size > _MOST_BYTES and len(self._frames) > 1:
            self._frames_size -= self._frames.popleft()
        # When only the reply was lost it is there twice then; who reads it goes by its number.
        while not await self._board.append(self.name, [frame], len(self._frames)):  # noqa: ASYNC110 -- no event tells
            await asyncio.sleep(_AGAIN_SECONDS)
        self._sent = number + len(parts)

    def _take(self) -> tuple[int, list[Part]]:
        number = max(self._sent, self._first)
        parts: list[Part] = []
        size = 0
        for place in range(number - self._first, len(self._parts)):
            parts.append(self._parts[place])
            size += size_of(parts[-1])
            if size >= _FRAME_BYTES:
                break
        return number, parts
