"""Entries in sqlite and in Redis: microseconds of a request, and round trips to Redis as the server counts them."""

from __future__ import annotations

import asyncio
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks import contenders
from benchmarks.driver import ask
from benchmarks.handler import Upstream
from benchmarks.places import Trips, open_place
from benchmarks.prompts import SIZES, make_prompt, renew
from benchmarks.results import Results, Table
from benchmarks.rounds import Figure, Measure, take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contenders import Contender
    from benchmarks.effort import Effort
    from benchmarks.places import Place
    from benchmarks.running import Running

_SIZE: Final = SIZES["4 KB"]
_REQUESTS: Final = 20
_NOTE: Final = (
    "Prompts of 4 KB. x: to the least cache. A miss is taken to its last byte; all: with all work after the answer, "
    "request by request."
)

_TRIPS_NOTE: Final = (
    "Per request, counted by the server over 20 requests one after another: how often it read from a socket, so that a "
    "pipeline is one trip; commands that a script gives are counted too. In the way: until the last byte of the "
    "answer. After: until nothing is left to do, each request by itself. The last is a burst of 20 with all that "
    "follows."
)


async def measure(effort: Effort, among: Sequence[Contender]) -> Results:
    """Both stores, and what is counted at Redis."""
    results = Results()
    for kind in ("sqlite", "redis"):
        able = [each for each in among if kind in each.stores]
        with open_place(kind) as place:
            results.add(await _time(place, effort, able))
            if kind == "redis":
                results.add(await _count(place, able))
    return results


async def _time(place: Place, effort: Effort, able: Sequence[Contender]) -> Results:
    standing = {each.name: each.make(Upstream(), place) for each in able}
    base = contenders.LEAST.name if contenders.LEAST.name in standing else able[0].name
    misses = {name: _misses(running, number) for number, (name, running) in enumerate(standing.items())}
    missed = await take(misses, base, effort.rounds, Random(effort.seed))
    hits = {name: await _hits(running) for name, running in standing.items() if running.caches}
    hit = await take(hits, base if base in hits else next(iter(hits)), effort.rounds, Random(effort.seed))
    for running in standing.values():
        await running.close()
    rows = tuple((name, *_show(hit.get(name)), *_show(missed[name]), missed[name][1].microseconds) for name in standing)
    columns = ("contender", "hit µs", "hit x", "miss µs", "miss x", "miss, all µs")
    figures = {f"{place.kind} hit/4 KB/{name}/x": own[0].ratio for name, own in hit.items()}
    figures |= {f"{place.kind} miss/4 KB/{name}/x": own[0].ratio for name, own in missed.items()}
    return Results([Table(f"In process: {place.kind}", _NOTE, columns, rows)], figures)


def _show(figures: tuple[Figure, ...] | None) -> tuple[float | None, float | None]:
    return (figures[0].microseconds, figures[0].ratio) if figures else (None, None)


async def _hits(running: Running) -> Measure:
    prompt = make_prompt(_SIZE)
    for _ in range(2):
        await ask(running.app, prompt)
        await running.drain()

    async def measure() -> tuple[float, ...]:
        prompts = [renew(prompt) for _ in range(_REQUESTS)]
        began = perf_counter()
        for each in prompts:
            await ask(running.app, each)
        return ((perf_counter() - began) / _REQUESTS,)

    return measure


def _misses(running: Running, contender: int) -> Measure:
    numbers = iter(range(contender * 1_000_000, (contender + 1) * 1_000_000))

    async def measure() -> tuple[float, ...]:
        answered = whole = 0.0
        for _ in range(_REQUESTS):
            prompt = make_prompt(_SIZE, next(numbers))
            began = perf_counter()
            await ask(running.app, prompt)
            answered += perf_counter() - began
            await asyncio.sleep(0)
            whole += perf_counter() - began
        began = perf_counter()
        await running.drain()
        return answered / _REQUESTS, (whole + perf_counter() - began) / _REQUESTS

    return measure


async def _count(place: Place, able: Sequence[Contender]) -> Results:
    trips = Trips(place)
    rows, figures = [], dict[str, float]()
    for each in able:
        trips.clear()
        running = each.make(Upstream(), place)
        counted = await _count_one(running, trips)
        await running.close()
        rows.append((each.name, *(cell for reads, calls in counted.values() for cell in (reads, calls))))
        figures |= {f"redis {what}/4 KB/{each.name}/trips": reads for what, (reads, _) in counted.items()}
    columns = [column for what in counted for column in (f"{what}: trips", "commands")]
    return Results([Table("Round trips to Redis", _TRIPS_NOTE, ("contender", *columns), tuple(rows))], figures)


async def _count_one(running: Running, trips: Trips) -> dict[str, tuple[float, str]]:
    # Connections are made and scripts are sent before it counts.
    for number in range(3):
        await ask(running.app, make_prompt(_SIZE, number))
        await running.drain()
    found: dict[str, tuple[float, str]] = {}
    for what, first, step in (("hit", 1, 0), ("miss", 10, 1)):
        way, after = [], []
        for number in range(_REQUESTS):
            trips.look()
            await ask(running.app, make_prompt(_SIZE, first + number * step))
            way.append(trips.look())
            await running.drain()
            after.append(trips.look())
        found |= {f"{what}, in the way": _average(way), f"{what}, after": _average(after)}
    trips.look()
    for number in range(_REQUESTS):
        await ask(running.app, make_prompt(_SIZE, 1_000 + number))
    await running.drain()
    return {**found, "miss, in a burst": _average([trips.look()], _REQUESTS)}


def _average(looks: list[tuple[int, dict[str, int]]], requests: int = 0) -> tuple[float, str]:
    requests = requests or len(looks)
    calls: dict[str, float] = {}
    for _, called in looks:
        for name, number in called.items():
            calls[name] = calls.get(name, 0) + number / requests
    return sum(reads for reads, _ in looks) / requests, " ".join(f"{name}:{calls[name]:.3g}" for name in sorted(calls))
