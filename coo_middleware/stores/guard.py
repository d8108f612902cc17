"""Guard: a deadline and a breaker round any store, so that a slow or dead one costs a request nothing but a miss."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final, TypeVar

from coo_middleware.core.breaker import Breaker
from coo_middleware.stores import Increment, RuntimeStore, StoreBusyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

logger = logging.getLogger("coo_middleware")

_T = TypeVar("_T")
_FAULTS: Final = 3
_OPEN_SECONDS: Final = 1.0


class Guard(RuntimeStore):
    """`store` behind deadlines in seconds. Three faults in a row, errors or missed deadlines, open the breaker: then
    every operation fails at once with StoreError while a ping in the background asks, for ever, whether the store is
    back. A busy pool is no fault of the store's. The transitions are logged, nothing else.
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
        self._is_closed = False

    @property
    def is_up(self) -> bool:
        """Whether operations reach the store at present."""
        return not self._breaker.is_open

    async def open(self) -> None:
        """Opens the store, or begins to ask for it in the background: an application starts without it."""
        self._is_closed = False
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await self.store.open()
        except Exception as error:
            self._fail(error, faults=_FAULTS)

    async def close(self) -> None:
        """Ends the probing and closes the store."""
        self._is_closed = True
        if self._probe is not None and not self._probe.done():
            self._probe.cancel()
        self._probe = None
        await self.store.close()

    async def ping(self) -> None:
        await self._call(self.store.ping(), self._read)

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        return await self._call(self.store.get_usage(provider, key_id, metric), self._read)

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        await self._call(self.store.set_usage(provider, key_id, metric, value), self._write)

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        await self._call(self.store.increment_usage(provider, key_id, metric, delta), self._write)

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        return await self._call(self.store.get_usage_in_window(provider, key_id, metric, window_seconds), self._read)

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        return await self._call(self.store.get_total(provider, key_id, metric), self._read)

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        await self._call(self.store.set_cache(key, value, ttl_seconds), self._write)

    async def get_cache(self, key: str) -> bytes | None:
        return await self._call(self.store.get_cache(key), self._read)

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        return await self._call(self.store.get_cache_with_ttl(key), self._read)

    async def delete_cache(self, key: str) -> None:
        await self._call(self.store.delete_cache(key), self._write)

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        await self._call(self.store.apply(writer, sequence, increments), self._write)

    async def _call(self, operation: Awaitable[_T], seconds: float) -> _T:
        """The operation's result. ValueError is the caller's own; all else becomes StoreError."""
        if self._breaker.is_open:
            _discard(operation)
            self._start_probe()
            raise StoreError("the store is out of reach; it is asked for in the background")
        try:
            async with asyncio.timeout(seconds):
                result = await operation
        except ValueError:
            raise
        except Exception as error:
            self._fail(error, faults=1)
            raise _as_store_error(error, seconds) from error
        self._breaker.succeed()
        return result

    def _fail(self, error: Exception, *, faults: int) -> None:
        if isinstance(error, StoreBusyError):
            return
        opened = [self._breaker.fail() for _ in range(faults)]
        if any(opened):
            logger.error("the store is out of reach (%s); requests go on without it", _kind(error))
            self._start_probe()

    def _start_probe(self) -> None:
        if self._is_closed or (self._probe is not None and not self._probe.done() and _is_ours(self._probe)):
            return
        self._probe = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        """Asks until the store answers. The pause varies, so that many processes do not ask in step."""
        while self._breaker.is_open:
            await asyncio.sleep(self._probe_seconds * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
            try:
                # Opening may take its time, a file is checked then; the answer to a ping may not.
                await self.store.open()
                async with asyncio.timeout(self._read):
                    await self.store.ping()
            except Exception as error:
                logger.debug("the store is still out of reach (%s)", _kind(error))
            else:
                self._breaker.succeed()
                logger.warning("the store is back")


def _as_store_error(error: Exception, seconds: float) -> StoreError:
    if isinstance(error, StoreError):
        return error
    if isinstance(error, TimeoutError):
        return StoreError(f"the store did not answer within {seconds:g} s")
    return StoreError(f"the store failed with {type(error).__name__}")


def _kind(error: BaseException) -> str:
    cause = error.__cause__
    return f"{type(error).__name__} from {type(cause).__name__}" if cause is not None else type(error).__name__


def _discard(operation: Awaitable[object]) -> None:
    # A coroutine that nobody awaits warns when it goes.
    if asyncio.iscoroutine(operation):
        operation.close()


def _is_ours(task: asyncio.Task[None]) -> bool:
    return task.get_loop() is asyncio.get_running_loop()
