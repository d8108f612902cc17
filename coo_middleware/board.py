"""The board on which replicas read who leads and how far a leader is: leases and logs of a store, in reach or not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from coo_middleware.core.progress import Part, pack_parts, unpack_parts
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.sealing import Sealer
    from coo_middleware.stores import RuntimeStore

# A log outlives the pauses of its leader, which touches it as often as it renews its lease.
_LOG_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
# More at once would take a store's connections from those who look for entries; and together, readers that poll look
# some hundred times a second.
_AT_ONCE: Final = 16


class Board:
    """Nothing here raises StoreError: a lease of a store that is out of reach is granted, and a log of one is empty.

    `has_logs`: whether the store's logs have been read.
    """

    def __init__(self, store: RuntimeStore, sealer: Sealer, lease_seconds: float) -> None:
        self._store: Final = store
        self._sealer: Final = sealer
        self._log_seconds: Final = max(_LOG_SECONDS, 2 * lease_seconds)
        self.lease_seconds: Final = lease_seconds
        self.has_logs = False
        self._readers = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns: asyncio.Semaphore = asyncio.Semaphore(_AT_ONCE)

    def name(self, key: str) -> str:
        """The name of `key` on the board."""
        return self._sealer.name(key)

    async def claim(self, key: str, owner: str, lease_seconds: float | None = None) -> str:
        """Who leads the work on `key`, which may be `owner` from now on."""
        try:
            async with self._turn():
                return await self._store.claim(key, owner, lease_seconds or self.lease_seconds)
        except StoreError:
            return owner

    async def release(self, key: str, owner: str) -> None:
        """Ends `owner`'s lease, or else it lapses."""
        with suppress(StoreError):
            async with self._turn():
                await self._store.release(key, owner)

    async def append(self, log: str, frames: Sequence[bytes], keep: int) -> bool:
        """Adds frames to a log, which keeps its last `keep` ones; False when the store did not take them, perhaps."""
        try:
            async with self._turn():
                await self._store.append_log(log, frames, keep=keep, ttl_seconds=self._log_seconds)
        except StoreError:
            return False
        return True

    async def read(self, log: str, place: str, wait_seconds: float) -> tuple[str, list[bytes]]:
        """The frames of `log` behind `place`, and the place behind them; without any it takes `wait_seconds`."""
        self._readers += 1
        try:
            return await self._read(log, place, monotonic() + wait_seconds)
        finally:
            self._readers -= 1

    def pack(self, key: str, number: int, parts: Sequence[Part]) -> bytes:
        """The frame of parts of an answer, as it is to lie in the store."""
        return self._sealer.seal(pack_parts(key, number, parts), key.encode())

    def unpack(self, key: str, frame: bytes) -> tuple[int, list[Part]]:
        """What `pack` was given. Raises FrameError and EntryError."""
        return unpack_parts(self._sealer.open(frame, key.encode()), key)

    async def _read(self, log: str, place: str, ends: float) -> tuple[str, list[bytes]]:
        while True:
            found = None
            with suppress(StoreError):
                found = await self._store.read_log(log, place, max(0.0, ends - monotonic()))
                self.has_logs = found is not None
            if found is not None and found[1]:
                return found
            left = ends - monotonic()
            if left <= 0:
                return place, []
            # A store that did not wait has no connection to spare; one without logs will never have anything.
            pause = _POLL_SECONDS * max(1.0, self._readers / _AT_ONCE)
            await asyncio.sleep(left if found is None else min(left, pause))

    def _turn(self) -> asyncio.Semaphore:
        # One that was waited for belongs to its event loop for good.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._turns = loop, asyncio.Semaphore(_AT_ONCE)
        return self._turns
