"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.prompts import SIZES


@dataclass(frozen=True, slots=True)
class Effort:
    """`batch_seconds`: how long a contender is measured in a round, in process. `entries`: how many answers are stored,
    with `peer_entries` the most that a peer gets. `load_seconds`: how long a contender is under load in a round, over
    sockets, in `load_rounds` rounds of `groups` groups of modes.
    """

    rounds: int
    batch_seconds: float
    sizes: tuple[str, ...]
    entries: tuple[int, ...]
    peer_entries: int
    increments: tuple[int, ...]
    crowds: tuple[int, ...]
    load_rounds: int
    load_seconds: float
    groups: int
    seed: int = 8


FULL: Final = Effort(
    rounds=40,
    batch_seconds=0.005,
    sizes=tuple(SIZES),
    entries=(1_000, 10_000, 100_000, 1_000_000),
    peer_entries=100_000,
    increments=(1_000, 10_000, 100_000, 1_000_000),
    crowds=(50, 1_000),
    load_rounds=5,
    load_seconds=1.5,
    groups=3,
)
QUICK: Final = Effort(
    rounds=8,
    batch_seconds=0.002,
    sizes=tuple(SIZES),
    entries=(1_000, 10_000),
    peer_entries=1_000,
    increments=(1_000, 10_000),
    crowds=(50,),
    load_rounds=1,
    load_seconds=0.15,
    groups=1,
)
