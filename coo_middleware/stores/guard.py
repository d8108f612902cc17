"""Guard: a deadline and a breaker round any store, so that a slow or dead one costs a request nothing but a miss."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

from coo_middleware.core.breaker import Breaker
from coo_middleware.stores import RuntimeStore, StoreAwayError, StoreBusyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from coo_middleware.core.labels import Purges
    from coo_middleware.core.limits import Admission, Settlement, Takes
    from coo_middleware.stores import CachePage, Counter, Increment, Points, TotalsPage

logger = logging.getLogger("coo_middleware")

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_FAULTS: Final = 3
_START_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 5.0
# A file may be checked while it opens; an open that hangs must not end the probing.
_PROBE_OPEN_SECONDS: Final = 60.0


class Guard(RuntimeStore):
    """`store` behind deadlines in seconds. Three faults in a row, errors or missed deadlines, open the breaker: then
    every operation fails at once with StoreError, without touching the store, while one probe in the background asks,
    for ever, whether it is back. Only the probe closes the breaker. A busy pool is no fault of the store's, nor is an
    invalid argument or a caller that gave up. The transitions are logged, nothing else.
    """

    def __init__(
        self,
        store: RuntimeStore,
        *,
        read_deadline_seconds: float = 0.1,
        write_deadline_seconds: float = 0.25,
        probe_seconds: float = 1.0,
    ) -> None:
        self.store: Final = store
        self._read: Final = read_deadline_seconds
        self._write: Final = write_deadline_seconds
        self._probe_seconds: Final = probe_seconds
        self._breaker: Final = Breaker(_FAULTS)
        self._probe: asyncio.Task[None] | None = None
        self._may_probe = True

    @property
    def is_up(self) -> bool:
        """Whether operations reach the store at present."""
        return not self._breaker.is_open

    async def open(self) -> None:
        """Opens the store, or begins to ask for it in the background: an application starts without it."""
        self._may_probe = False
        await self.stop()
        try:
            await self._reach(_START_SECONDS)
        except Exception as error:
            # Even of a busy one: what did not open needs the probe, which opens it.
            if self._breaker.trip():
                self._report(error)
        else:
            self._recover()
        finally:
            self._may_probe = True
        if self._breaker.is_open:
            self._start_probe()

    async def stop(self) -> None:
        """Ends the probing until a call asks for the store again; the store stays as it is."""
        probe, self._probe = self._probe, None
        # One of another event loop ended with it.
        if probe is not None and _is_ours(probe):
            probe.cancel()
            # Until it has ended it may be opening the store; one that does not end is left behind.
            await asyncio.wait([probe], timeout=_CLOSE_SECONDS)

    async def close(self) -> None:
        """Ends the probing and closes the store. Raises StoreError when that fails."""
        self._may_probe = False
        await self.stop()
        await _within(_CLOSE_SECONDS, self.store.close)

    async def ping(self) -> None:
        await self._call(self._read, self.store.ping)

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        return await self._call(self._read, self.store.get_usage, provider, key_id, metric)

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        await self._call(self._write, self.store.set_usage, provider, key_id, metric, value)

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        await self._call(self._write, self.store.increment_usage, provider, key_id, metric, delta)

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        return await self._call(self._read, self.store.get_usage_in_window, provider, key_id, metric, window_seconds)

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        return await self._call(self._read, self.store.get_total, provider, key_id, metric)

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        await self._call(self._write, self.store.set_cache, key, value, ttl_seconds)

    async def get_cache(self, key: str) -> bytes | None:
        return await self._call(self._read, self.store.get_cache, key)

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        return await self._call(self._read, self.store.get_cache_with_ttl, key)

    async def delete_cache(self, key: str) -> None:
        await self._call(self._write, self.store.delete_cache, key)

    async def purge(self, labels: Sequence[str]) -> int:
        return await self._call(self._write, self.store.purge, labels)

    async def get_purges(self, since: int) -> Purges:
        return await self._call(self._read, self.store.get_purges, since)

    async def list_cache(self, cursor: str = "") -> CachePage | None:
        return await self._call(self._write, self.store.list_cache, cursor)

    async def claim(self, key: str, owner: str, lease_seconds: float) -> str:
        """Who leads; `owner` when the store cannot say, so that each replica goes on by itself."""
        try:
            return await self._call(self._write, self.store.claim, key, owner, lease_seconds)
        except StoreError:
            return owner

    async def release(self, key: str, owner: str) -> None:
        """Ends a lease; one that the store was not told of lapses."""
        with suppress(StoreError):
            await self._call(self._write, self.store.release, key, owner)

    async def append_log(self, log: str, frames: Sequence[bytes], *, keep: int, ttl_seconds: float) -> None:
        self._check_up()
        await _within(self._write, partial(self.store.append_log, log, frames, keep=keep, ttl_seconds=ttl_seconds))

    async def read_log(self, log: str, place: str, wait_seconds: float) -> tuple[str, list[bytes]] | None:
        """What the log has. Nothing depends on logs, so that a fault of theirs does not speak against the store."""
        self._check_up()
        return await _within(self._read + wait_seconds, self.store.read_log, log, place, wait_seconds)

    async def list_totals(self, cursor: str = "") -> TotalsPage | None:
        """A page within the deadline of a write. Nobody's request waits for it, so that a fault of so much at once does
        not speak against the store; nor does one of `read_points`.
        """
        self._check_up()
        return await _within(self._write, self.store.list_totals, cursor)

    async def read_points(self, counters: Sequence[Counter], window_seconds: int) -> Points | None:
        self._check_up()
        return await _within(self._write, self.store.read_points, counters, window_seconds)

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        await self._call(self._write, self.store.apply, writer, sequence, increments)

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission | None:
        """As the store does, asked once: of one that did not answer in time nobody knows whether it took anything."""
        return await self._call(self._write, self.store.reserve, ticket, choices, lease_seconds)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self._call(self._write, self.store.settle, settlements)

    async def renew(self, settlements: Sequence[Settlement], lease_seconds: float) -> None:
        await self._call(self._write, self.store.renew, settlements, lease_seconds)

    async def _call(self, seconds: float, operation: Callable[[*_Ts], Awaitable[_T]], *args: *_Ts) -> _T:
        self._check_up()
        breaker = self._breaker
        epoch = breaker.epoch
        try:
            result = await _within(seconds, operation, *args)
        except StoreBusyError:
            raise
        except StoreError as error:
            if breaker.fail(epoch):
                self._report(error)
                self._start_probe()
            raise
        breaker.succeed(epoch)
        return result

    def _check_up(self) -> None:
        if self._breaker.is_open:
            self._start_probe()
            raise StoreAwayError("the store is out of reach; it is asked for in the background")

    async def _reach(self, open_seconds: float) -> None:
        """Returns when the store is open and answers within its deadline."""
        await _within(open_seconds, self.store.open)
        # The first answer may have to wait for a connection; the second shows how fast the store is.
        await _within(_START_SECONDS, self.store.ping)
        await _within(self._read, self.store.ping)

    async def _ask(self) -> None:
        """Asks until the store answers. The pause varies, so that many processes do not ask in step."""
        while self._breaker.is_open and self._probe is asyncio.current_task():
            await asyncio.sleep(self._probe_seconds * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
            with suppress(Exception):  # the outage is in the log already
                await self._reach(_PROBE_OPEN_SECONDS)
                self._recover()

    def _recover(self) -> None:
        if self._breaker.reset():
            logger.warning("the store is back")

    def _report(self, error: Exception) -> None:
        # A StoreError's text names no secret and says what to do; another one's might quote anything.
        text = error if isinstance(error, StoreError) else type(error).__name__
        logger.error("the store is out of reach, requests go on without it: %s", text)

    def _start_probe(self) -> None:
        if self._may_probe and (self._probe is None or self._probe.done() or not _is_ours(self._probe)):
            self._probe = asyncio.get_running_loop().create_task(self._ask())


async def _within(seconds: float, operation: Callable[[*_Ts], Awaitable[_T]], *args: *_Ts) -> _T:
    """The operation's result. ValueError is the caller's own; all else becomes StoreError."""
    try:
        async with asyncio.timeout(seconds):
            return await operation(*args)
    except (ValueError, StoreError):
        raise
    except TimeoutError as error:
        raise StoreError(f"the store did not answer within {seconds:g} s") from error
    except Exception as error:
        raise StoreError(f"the store failed with {type(error).__name__}") from error


def _is_ours(task: asyncio.Task[None]) -> bool:
    return task.get_loop() is asyncio.get_running_loop()
