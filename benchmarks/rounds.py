"""Rounds: every contender once in each, in a new order each time; a ratio is taken within a round."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

# What a contender needed in one round: seconds, one number for each thing that is measured.
Measure = Callable[[], Awaitable[tuple[float, ...]]]


@dataclass(frozen=True, slots=True)
class Figure:
    """What a contender needed, in microseconds, and the medians of its ratios to, and of its distances from, the base
    of the same round.
    """

    microseconds: float
    ratio: float
    over: float


async def take(
    measures: Mapping[str, Measure], base: str, rounds: int, random: Random
) -> dict[str, tuple[Figure, ...]]:
    """The figures of all. One round before the first is not counted."""
    seconds: dict[str, list[tuple[float, ...]]] = {name: [] for name in measures}
    # What stands by now is no contender's to look through.
    gc.collect()
    gc.freeze()
    for number in range(rounds + 1):
        for name in random.sample(sorted(measures), len(measures)):
            taken = await measures[name]()
            if number:
                seconds[name].append(taken)
    gc.unfreeze()
    return {name: _compare_all(values, seconds[base]) for name, values in seconds.items()}


def compare(seconds: Sequence[float], base: Sequence[float]) -> Figure:
    """The figure of one contender's seconds, round by round with the base's."""
    pairs = list(zip(seconds, base, strict=True))
    return Figure(
        microseconds=1e6 * median(seconds),
        ratio=median(own / other for own, other in pairs),
        over=1e6 * median(own - other for own, other in pairs),
    )


def _compare_all(seconds: Sequence[tuple[float, ...]], base: Sequence[tuple[float, ...]]) -> tuple[Figure, ...]:
    return tuple(
        compare(own, other) for own, other in zip(zip(*seconds, strict=True), zip(*base, strict=True), strict=True)
    )
