"""What `get_usage_in_window` costs after few and after many increments."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.places import open_place
from benchmarks.results import Results, Table
from coo_middleware import open_store
from coo_middleware.stores import Increment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contenders import Contender
    from benchmarks.effort import Effort
    from coo_middleware import RuntimeStore

_COUNTER: Final = ("openai", "key1", "req")
_WINDOW_SECONDS: Final = 3_600
_BATCH: Final = 1_000
_READS: Final = 50
_NOTE: Final = "A look at a window of an hour, half of the increments inside, every one of them made by itself."


async def measure(effort: Effort, _among: Sequence[Contender]) -> Results:
    """Our stores, with every number of increments."""
    rows, figures = [], {}
    for kind in ("memory", "sqlite", "redis"):
        found = [await _measure_store(kind, increments, effort.rounds) for increments in effort.increments]
        rows.append((kind, *(1e6 * seconds for seconds in found), found[-1] / found[0]))
        figures[f"window/{kind}/most/x"] = found[-1] / found[0]
        figures[f"window/{kind}/most/µs"] = 1e6 * found[-1]
    columns = ("store", *(f"{increments:,}: µs" for increments in effort.increments), "last x first")
    return Results([Table("Windows", _NOTE, columns, tuple(rows))], figures)


async def _measure_store(kind: str, increments: int, rounds: int) -> float:
    """The median of the seconds that a look takes."""
    with open_place(kind) as place:
        store = open_store(place.runtime())
        await store.open()
        await _fill(store, increments)
        seconds = [await _look(store) for _ in range(rounds)]
        await store.close()
    return median(seconds)


async def _fill(store: RuntimeStore, increments: int) -> None:
    # Seven hundred ages, half of them within the window.
    batch = [Increment(*_COUNTER, 1.0, age=number % 700 * 2 * _WINDOW_SECONDS / 700) for number in range(_BATCH)]
    for sequence in range(1, increments // _BATCH + 1):
        await store.apply("benchmark", sequence, batch)


async def _look(store: RuntimeStore) -> float:
    began = perf_counter()
    for _ in range(_READS):
        await store.get_usage_in_window(*_COUNTER, _WINDOW_SECONDS)
    return (perf_counter() - began) / _READS
