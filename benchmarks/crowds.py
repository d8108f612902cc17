"""Many identical requests at once: how often the provider is asked."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.driver import ask, body_of
from benchmarks.handler import Upstream
from benchmarks.places import Trips, open_place
from benchmarks.prompts import SIZES, make_prompt
from benchmarks.results import Results, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contenders import Contender
    from benchmarks.effort import Effort
    from benchmarks.places import Place

_WAIT_SECONDS: Final = 0.2
_KINDS: Final = ("memory", "redis")
_NOTE: Final = (
    "The provider takes 200 ms. Calls: how often it was asked. ms: until the last of the crowd had its answer."
)


async def measure(effort: Effort, among: Sequence[Contender]) -> Results:
    """Crowds of every size, in memory and over Redis."""
    found: dict[str, dict[str, tuple[int, float]]] = {each.name: {} for each in among}
    columns = [f"{kind}, {crowd:,}" for kind in _KINDS for crowd in effort.crowds]
    for kind in _KINDS:
        with open_place(kind) as place:
            for each in among:
                for crowd in effort.crowds if kind in each.stores else ():
                    found[each.name][f"{kind}, {crowd:,}"] = await _measure_one(each, place, crowd)
    rows = tuple(
        (name, *(cell for column in columns for cell in _show(own.get(column)))) for name, own in found.items()
    )
    heads = tuple(head for column in columns for head in (f"{column}: calls", "ms"))
    table = Table("Identical requests at once", _NOTE, ("contender", *heads), rows)
    figures = {
        f"crowd/{column}/{name}/calls": float(own[0]) for name, each in found.items() for column, own in each.items()
    }
    return Results([table], figures)


def _show(own: tuple[int, float] | None) -> tuple[str | None, float | None]:
    return (f"{own[0]:,}", 1e3 * own[1]) if own else (None, None)


async def _measure_one(contender: Contender, place: Place, crowd: int) -> tuple[int, float]:
    if place.url:
        Trips(place).clear()
    upstream = Upstream(_WAIT_SECONDS)
    running = contender.make(upstream, place)
    await ask(running.app, make_prompt(SIZES["4 KB"]))
    upstream.calls = 0
    began = perf_counter()
    prompt = make_prompt(SIZES["4 KB"], crowd)
    answers = await asyncio.gather(*(ask(running.app, prompt) for _ in range(crowd)))
    taken = perf_counter() - began
    if len({body_of(answer) for answer in answers}) != 1:
        raise ValueError(contender.name)
    await running.close()
    return upstream.calls, taken
