"""Microseconds per request without a socket, everything in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from benchmarks import contenders, modes
from benchmarks.contenders import Contender
from benchmarks.handler import Upstream
from benchmarks.places import Place
from benchmarks.prompts import SIZES
from benchmarks.results import Cell, Results, Table
from benchmarks.rounds import Figure, Measure, take
from benchmarks.running import Running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.effort import Effort


@dataclass(frozen=True, slots=True)
class _Mode:
    """`parts`: the columns, each with the number of the measured thing and what of its figure is shown."""

    name: str
    note: str
    base: Contender
    prepare: Callable[[Running, int, float], Awaitable[Measure]]
    parts: tuple[tuple[str, int, str], ...]
    able: Callable[[Contender], bool] = lambda _contender: True
    sized: bool = True


_RATIO: Final = (("µs", 0, "microseconds"), ("x", 0, "ratio"))
_MODES: Final = (
    _Mode(
        "hit",
        "The same request again. x: to the least cache with all features.",
        contenders.WHOLE,
        modes.hit,
        _RATIO,
    ),
    _Mode(
        "hit, written differently",
        "The same document with its members in another order and other white space, never twice the same bytes; to the "
        "peers it is another request. x: to the least cache.",
        contenders.LEAST,
        modes.respelled,
        _RATIO,
        lambda contender: contender.reads or not contender.caches,
    ),
    _Mode(
        "streamed hit",
        "A stored stream of 202 events. x: to the least cache with all features. A decorator cannot cache a stream.",
        contenders.WHOLE,
        modes.streamed_hit,
        _RATIO,
        lambda contender: contender.streams,
    ),
    _Mode(
        "miss",
        "Every request is new. Over: microseconds to the last byte over the pass-through. All over: the same with all "
        "work after the answer.",
        contenders.PASS,
        modes.miss,
        (("µs", 0, "microseconds"), ("over", 0, "over"), ("all over", 1, "over")),
    ),
    _Mode(
        "streamed miss",
        "Every request is new, its answer 202 events. First: microseconds to the first of them. Event over: what one "
        "costs over the pass-through. All over: the whole request with all work after it.",
        contenders.PASS,
        modes.streamed_miss,
        (("first", 0, "microseconds"), ("first x", 0, "ratio"), ("event over", 1, "over"), ("all over", 2, "over")),
        lambda contender: contender.streams,
    ),
    _Mode(
        "requests not ours",
        "A GET of another path. Over: microseconds over the bare handler.",
        contenders.BARE,
        modes.other,
        (("µs", 0, "microseconds"), ("over", 0, "over")),
        sized=False,
    ),
)


async def measure(effort: Effort, among: Sequence[Contender]) -> Results:
    """All modes, sizes and contenders."""
    results = Results()
    for mode in _MODES:
        able = [each for each in among if "memory" in each.stores and mode.able(each)]
        sizes = effort.sizes if mode.sized else effort.sizes[:1]
        found = {size: await _measure_size(mode, size, effort, able) for size in sizes}
        results.tables.append(_tabulate(mode, found))
        for size, figures in found.items():
            results.figures.update(_name(mode, size, figures))
    return results


async def _measure_size(
    mode: _Mode, size: str, effort: Effort, able: Sequence[Contender]
) -> dict[str, tuple[Figure, ...]]:
    place = Place("memory", Path())
    standing = {each.name: each.make(Upstream(), place) for each in able}
    measures = {
        name: await mode.prepare(running, SIZES[size], effort.batch_seconds) for name, running in standing.items()
    }
    base = mode.base.name if mode.base.name in measures else able[0].name
    figures = await take(measures, base, effort.rounds, Random(effort.seed))
    for running in standing.values():
        await running.close()
    return figures


def _tabulate(mode: _Mode, found: dict[str, dict[str, tuple[Figure, ...]]]) -> Table:
    columns = [f"{size}: {label}" if mode.sized else label for size in found for label, _, _ in mode.parts]
    names = list(next(iter(found.values())))
    rows: list[tuple[Cell, ...]] = [
        (name, *(_pick(figures[name], part) for figures in found.values() for part in mode.parts)) for name in names
    ]
    return Table(f"In process: {mode.name}", mode.note, ("contender", *columns), tuple(rows))


def _name(mode: _Mode, size: str, figures: dict[str, tuple[Figure, ...]]) -> dict[str, float]:
    return {
        f"{mode.name}/{size}/{name}/{part[0]}": _pick(own, part) for name, own in figures.items() for part in mode.parts
    }


def _pick(figures: Sequence[Figure], part: tuple[str, int, str]) -> float:
    value: float = getattr(figures[part[1]], part[2])
    return value
