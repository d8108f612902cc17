"""Each operation of the contract, tried on scratch names and timed against the deadlines of a request's way."""

from __future__ import annotations

import asyncio
import secrets
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from time import perf_counter, time
from typing import TYPE_CHECKING, Final, TypeVar

from coo_middleware.doctor.finding import Finding, fault, refused
from coo_middleware.stores import Increment, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from coo_middleware.stores import RuntimeStore, StoreSettings

_T = TypeVar("_T")

SCRATCH: Final = "coo-doctor"

_ROUNDS: Final = 5
_PATIENCE_SECONDS: Final = 2.0
_VALUE: Final = bytes(range(256)) * 16
_SLOW: Final = "bring the store nearer or give it more power; look for slow commands, a busy disk or a long way to it"


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    deadline: float
    call: Callable[[], Awaitable[object]]


async def try_operations(store: RuntimeStore, key_id: str, settings: StoreSettings) -> AsyncIterator[Finding]:
    """What came of each operation on the counter `coo-doctor`, `key_id`, `req`, whose total is as before at the end.
    The first operation that fails is the last one that is tried.
    """
    for operation in _operations(store, key_id, settings.read_deadline_seconds, settings.write_deadline_seconds):
        finding = await _time(operation)
        yield finding
        if finding.milliseconds is None:
            return


def _operations(store: RuntimeStore, key_id: str, read: float, write: float) -> list[_Operation]:
    counter, key = (SCRATCH, key_id, "req"), f"{SCRATCH}:{secrets.token_hex(8)}"
    # Odd amounts, so that a visit at the same time hides nothing; numbers ahead of the mark that the last visit left.
    amount, sequence = 1 + secrets.randbelow(1 << 20) / (1 << 20), count(int(time() * 1e6))
    back = [Increment(*counter, -amount)]
    return [
        _Operation("ping", read, store.ping),
        _Operation("set_cache", write, lambda: store.set_cache(key, _VALUE, 60)),
        _Operation("get_cache", read, lambda: _see(store.get_cache(key), lambda value: value == _VALUE)),
        _Operation("delete_cache", write, lambda: store.delete_cache(key)),
        _Operation("increment_usage", write, lambda: store.increment_usage(*counter, amount)),
        _Operation("get_usage_in_window", read, lambda: _see(store.get_usage_in_window(*counter, 60), bool)),
        _Operation("get_usage", read, lambda: store.get_usage(*counter)),
        _Operation("get_total", read, lambda: store.get_total(*counter)),
        _Operation("apply", write, lambda: store.apply(SCRATCH, next(sequence), back)),
        _Operation("set_usage", write, lambda: store.set_usage(*counter, 0.0)),
    ]


async def _see(read: Awaitable[_T], is_there: Callable[[_T], bool]) -> None:
    if not is_there(await read):
        raise StoreError("what the store acknowledged is not there; let addr lead to the primary, not to a replica")


async def _time(operation: _Operation) -> Finding:
    """The median of a few rounds."""
    durations, patience = [], max(_PATIENCE_SECONDS, 2 * operation.deadline)
    try:
        for _ in range(_ROUNDS):
            begin = perf_counter()
            async with asyncio.timeout(patience):
                await operation.call()
            durations.append(perf_counter() - begin)
    except TimeoutError:
        return fault(operation.name, f"no answer within {patience:g} s", _SLOW)
    except StoreError as error:
        return refused(operation.name, error)
    return _judge(operation, statistics.median(durations))


def _judge(operation: _Operation, median: float) -> Finding:
    text = f"{1000 * median:.2f} ms, the deadline is {1000 * operation.deadline:g} ms"
    if median >= operation.deadline:
        return Finding(operation.name, "fault", f"{text}: it is given up", _SLOW, 1000 * median)
    if median >= operation.deadline / 2:
        return Finding(operation.name, "warning", text, _SLOW, 1000 * median)
    return Finding(operation.name, "ok", text, milliseconds=1000 * median)
