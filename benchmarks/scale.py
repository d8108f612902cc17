"""What many entries cost: the memory of one, the latency of a hit, the pause of a full garbage collection."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Final

from benchmarks import contenders
from benchmarks.driver import ask
from benchmarks.handler import Upstream
from benchmarks.places import Place
from benchmarks.prompts import SIZES, make_answer, make_prompt
from benchmarks.results import Results, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contenders import Contender
    from benchmarks.effort import Effort
    from benchmarks.running import Running

_SIZE: Final = SIZES["200 B"]
_HITS: Final = 500
_DRAIN_EVERY: Final = 500
# hishel keeps no entries in Python's memory, and a million rows would take it an hour.
_LEFT_OUT: Final = frozenset({contenders.HISHEL.name, contenders.STAMPEDE.name, contenders.LOCKED.name})
_NOTE: Final = (
    "Prompts of 200 B, answers of 2,009 bytes, each contender in a process of its own. Bytes: what an entry takes, by "
    "the resident memory of the process, with what leads to it. Hit: the median over entries taken at random. Pause: a "
    "full collection."
)


@dataclass(frozen=True, slots=True)
class _Filled:
    """Bytes of an entry, seconds of a hit and of a collection."""

    size: float
    hit: float
    pause: float


async def measure(effort: Effort, among: Sequence[Contender]) -> Results:
    """Those who keep entries in memory, with every number of entries."""
    able = [each for each in among if "memory" in each.stores and each.caches and each.name not in _LEFT_OUT]
    results = Results()
    columns = [f"{entries:,}: {what}" for entries in effort.entries for what in ("bytes", "hit µs", "pause ms")]
    rows = []
    for each in able:
        most = effort.entries[-1] if each.reads else effort.peer_entries
        found = {entries: _measure_apart(each.name, entries) for entries in effort.entries if entries <= most}
        rows.append((each.name, *(cell for entries in effort.entries for cell in _show(found.get(entries)))))
        results.figures.update(_name(each.name, found))
    results.tables.append(Table("Many entries", _NOTE, ("contender", *columns), tuple(rows)))
    return results


def fill(name: str, entries: int) -> _Filled:
    """Stores so many answers and measures; for a process of its own."""
    return asyncio.run(_fill(next(each for each in contenders.ALL if each.name == name), entries))


def _measure_apart(name: str, entries: int) -> _Filled:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(fill, name, entries).result()


async def _fill(contender: Contender, entries: int) -> _Filled:
    running = contender.make(Upstream(), Place("memory", Path()))
    await _ask_range(running, -1000, 0)
    gc.collect()
    before = _resident_bytes()
    await _ask_range(running, 0, entries)
    gc.collect()
    size = (_resident_bytes() - before) / entries
    pauses = [_collect() for _ in range(5)]
    random = Random(entries)
    hits = [await _hit(running, random.randrange(entries)) for _ in range(_HITS)]
    await running.close()
    return _Filled(size, median(hits), median(pauses))


async def _ask_range(running: Running, begin: int, end: int) -> None:
    for number in range(begin, end):
        await ask(running.app, make_prompt(_SIZE, number))
        if number % _DRAIN_EVERY == 0:
            await running.drain()
    await running.drain()


async def _hit(running: Running, number: int) -> float:
    prompt = make_prompt(_SIZE, number)
    began = process_time()
    await ask(running.app, prompt)
    return process_time() - began


def _collect() -> float:
    began = process_time()
    gc.collect()
    return process_time() - began


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _show(filled: _Filled | None) -> tuple[float | None, ...]:
    return (filled.size, 1e6 * filled.hit, 1e3 * filled.pause) if filled else (None, None, None)


def _name(contender: str, found: dict[int, _Filled]) -> dict[str, float]:
    first, last = found[min(found)], found[max(found)]
    return {
        f"scale/{contender}/bytes over answer": last.size / len(make_answer()),
        f"scale/{contender}/hit x": last.hit / first.hit,
        f"scale/{contender}/pause x": found.get(100_000, last).pause / first.pause,
    }
