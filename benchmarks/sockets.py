"""Over real sockets: uvicorn with httptools and uvloop on one core, the load on another."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import count, repeat
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks import contenders
from benchmarks.load import Load, make_request, put_under_load
from benchmarks.places import open_place
from benchmarks.prompts import SIZES, make_prompt
from benchmarks.results import Results, Table
from benchmarks.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.contenders import Contender
    from benchmarks.effort import Effort
    from benchmarks.serving import Server


@dataclass(frozen=True, slots=True)
class _Mode:
    name: str
    size: str
    connections: int
    stream: bool = False
    misses: bool = False


@dataclass(frozen=True, slots=True)
class _Group:
    """Modes that the same servers are put through, with the seconds that a provider takes for each event."""

    kind: str
    wait_seconds: float
    modes: tuple[_Mode, ...]


_GROUPS: Final = (
    _Group(
        "memory",
        0.0,
        (
            _Mode("hit, one connection", "4 KB", 1),
            _Mode("hit", "200 B", 32),
            _Mode("hit", "4 KB", 32),
            _Mode("hit", "100 KB", 32),
            _Mode("streamed hit", "4 KB", 32, stream=True),
            _Mode("miss", "4 KB", 32, misses=True),
        ),
    ),
    _Group("memory", 0.002, (_Mode("streamed miss, 2 ms an event", "4 KB", 8, stream=True, misses=True),)),
    _Group("redis", 0.0, (_Mode("hit in Redis", "4 KB", 8),)),
)
_NOTE: Final = (
    "{connections} connections, prompts of {size}. x: requests a second to those of the least cache and of the bare "
    "handler in the same round. First: milliseconds to the first byte of the content."
)
_COLUMNS: Final = ("contender", "req/s", "x (c)", "x bare", "p50 ms", "p99 ms", "first p50 ms")


async def measure(effort: Effort, among: Sequence[Contender]) -> Results:
    """All modes; all contenders of a round stand at the same time, one of them awake."""
    results = Results()
    for group in _GROUPS[: effort.groups]:
        with open_place(group.kind) as place:
            able = [each for each in among if group.kind in each.stores]
            with serve(able, place, group.wait_seconds) as servers:
                for mode in group.modes:
                    results.add(await _measure_mode(mode, effort, able, servers))
    return results


async def _measure_mode(mode: _Mode, effort: Effort, able: Sequence[Contender], servers: dict[str, Server]) -> Results:
    names = [each.name for each in able if each.streams or not mode.stream]
    loads: dict[str, list[Load]] = defaultdict(list)
    requests = {name: _make_requests(mode) for name in names}
    random = Random(effort.seed)
    for _ in range(effort.load_rounds):
        for name in random.sample(names, len(names)):
            with servers[name].awake() as port:
                # What is not yet stored, or not yet warm, is asked for before it counts.
                await put_under_load(port, requests[name], 1, 0.0)
                loads[name].append(await put_under_load(port, requests[name], mode.connections, effort.load_seconds))
    rows = tuple(_make_row(name, loads) for name in names)
    title = f"Over sockets: {mode.name}, {mode.size}"
    table = Table(title, _NOTE.format(connections=mode.connections, size=mode.size), _COLUMNS, rows)
    return Results([table], _name(mode, rows))


def _make_requests(mode: _Mode) -> Iterator[bytes]:
    prompt = make_prompt(SIZES[mode.size], stream=mode.stream)
    if not mode.misses:
        return repeat(make_request(prompt))
    before, number, after = make_request(prompt).partition(b"0" * 9)
    return (b"%b%0*d%b" % (before, len(number), each, after) for each in count(1))


def _make_row(name: str, loads: dict[str, list[Load]]) -> tuple[str | float | None, ...]:
    own = loads[name]
    whole = sorted(seconds for load in own for seconds in load.whole)
    first = [seconds for load in own for seconds in load.first]
    rate = median(_rate(load) for load in own)
    to = [_compare(own, loads.get(base.name)) for base in (contenders.LEAST, contenders.BARE)]
    return name, rate, *to, 1e3 * median(whole), 1e3 * whole[int(0.99 * len(whole))], 1e3 * median(first)


def _rate(load: Load) -> float:
    return len(load.whole) / load.seconds


def _compare(own: Sequence[Load], base: Sequence[Load] | None) -> float | None:
    return median(_rate(load) / _rate(other) for load, other in zip(own, base, strict=True)) if base else None


def _name(mode: _Mode, rows: Sequence[tuple[str | float | None, ...]]) -> dict[str, float]:
    return {
        f"sockets, {mode.name}/{mode.size}/{row[0]}/{column}": float(cell)
        for row in rows
        for column, cell in zip(_COLUMNS[1:], row[1:], strict=True)
        if cell is not None
    }
