"""What a contender is measured doing, without a socket. Each function makes a measure of one that stands."""

from __future__ import annotations

import asyncio
from itertools import count
from time import process_time
from typing import TYPE_CHECKING, Final

from benchmarks.driver import OTHER, ask, ask_stream, body_of
from benchmarks.prompts import make_events, make_prompt, renew, respell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rounds import Measure
    from benchmarks.running import Running

EVENTS: Final = len(make_events())
_MOST: Final = 200
# So many contents are copied ahead: few enough to be in the processor's cache still, as one that just came is.
_FRESH: Final = 10


class MissedError(Exception):
    """A contender that ought to have answered from its cache asked the provider, or answered something else."""


async def hit(running: Running, size: int, batch_seconds: float) -> Measure:
    """The same request again and again."""
    return await _repeat(running, [make_prompt(size)], batch_seconds)


async def streamed_hit(running: Running, size: int, batch_seconds: float) -> Measure:
    """The same, of a stored stream."""
    return await _repeat(running, [make_prompt(size, stream=True)], batch_seconds)


async def respelled(running: Running, size: int, batch_seconds: float) -> Measure:
    """The same request, each time in another spelling."""
    prompt = make_prompt(size)
    await _check(running, prompt, respell(prompt, 1))
    most = await _calibrate(running, [respell(prompt, number) for number in range(2, 5)], batch_seconds)
    numbers = count(5)

    async def measure() -> tuple[float, ...]:
        return (await _ask_all(running, [respell(prompt, next(numbers)) for _ in range(most)]),)

    return measure


async def miss(running: Running, size: int, batch_seconds: float) -> Measure:
    """Requests that are all new: seconds to the last byte, and with all work that follows."""
    numbers = count()
    most = await _calibrate(running, [make_prompt(size, next(numbers)) for _ in range(3)], 2 * batch_seconds)

    async def measure() -> tuple[float, ...]:
        prompts = [make_prompt(size, next(numbers)) for _ in range(most)]
        answered, began = 0.0, process_time()
        for prompt in prompts:
            asked = process_time()
            await ask(running.app, prompt)
            answered += process_time() - asked
            await asyncio.sleep(0)
        await running.drain()
        return answered / most, (process_time() - began) / most

    return measure


async def streamed_miss(running: Running, size: int, batch_seconds: float) -> Measure:
    """The same with streams: seconds to the first event, then of an event, and of the whole with all that follows."""
    numbers = count()
    prompts = [make_prompt(size, next(numbers), stream=True) for _ in range(3)]
    most = await _calibrate(running, prompts, 4 * batch_seconds)

    async def measure() -> tuple[float, ...]:
        prompts = [make_prompt(size, next(numbers), stream=True) for _ in range(most)]
        first, whole, began = 0.0, 0.0, process_time()
        for prompt in prompts:
            times = await ask_stream(running.app, prompt)
            first, whole = first + times[0], whole + times[1]
            await asyncio.sleep(0)
        await running.drain()
        return first / most, (whole - first) / most / EVENTS, (process_time() - began) / most

    return measure


async def other(running: Running, _size: int, _batch_seconds: float) -> Measure:
    """Requests that are nobody's to cache."""

    async def measure() -> tuple[float, ...]:
        began = process_time()
        for _ in range(_MOST):
            await ask(running.app, b"", **OTHER)
        return ((process_time() - began) / _MOST,)

    return measure


async def _repeat(running: Running, prompts: Sequence[bytes], batch_seconds: float) -> Measure:
    await _check(running, prompts[0], prompts[0])
    most = await _calibrate(running, prompts, batch_seconds)

    async def measure() -> tuple[float, ...]:
        return (await _ask_all(running, [*prompts] * most),)

    return measure


async def _check(running: Running, prompt: bytes, again: bytes) -> None:
    """The second of two requests is a hit, for one that caches."""
    first = body_of(await ask(running.app, prompt))
    await running.drain()
    calls = running.upstream.calls
    second = body_of(await ask(running.app, again))
    if first != second or (running.caches and running.upstream.calls != calls):
        raise MissedError


async def _calibrate(running: Running, prompts: Sequence[bytes], batch_seconds: float) -> int:
    """How many requests come to about `batch_seconds`."""
    seconds = await _ask_all(running, prompts)
    await running.drain()
    return max(3, min(_MOST, int(batch_seconds / seconds)))


async def _ask_all(running: Running, prompts: Sequence[bytes]) -> float:
    """The seconds that one of the requests takes."""
    taken = 0.0
    for begin in range(0, len(prompts), _FRESH):
        fresh = [renew(prompt) for prompt in prompts[begin : begin + _FRESH]]
        began = process_time()
        for prompt in fresh:
            await ask(running.app, prompt)
        taken += process_time() - began
        await asyncio.sleep(0)
    return taken / len(prompts)
