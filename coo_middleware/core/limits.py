"""Limits as a store keeps them: what is taken of each, how it stands, and what was used in truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST_LIMIT_SECONDS: Final = 0.01
LONGEST_LIMIT_SECONDS: Final = 3_024_000.0
# Beyond it the sums of fractions are not exact, nor is anything so large that is counted.
MOST: Final = 1e15


@dataclass(frozen=True, slots=True)
class Take:
    """`amount` of what is counted under `name`, of which there may be `limit` in any `window_seconds`; where these are
    0, at the same time.
    """

    name: str
    limit: float
    window_seconds: float
    amount: float


Takes: TypeAlias = tuple[Take, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """How a limit stands: what of it is `used`, reservations among it, and in how many seconds all of that will be free
    again if nothing more is taken.
    """

    used: float
    reset_seconds: float


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a reservation. `choice` says which of the choices was taken, as a whole; -1 is none, and then the
    first that would pass does in `wait_seconds`. `levels` are those of each choice's takes, after the reservation.
    """

    choice: int
    wait_seconds: float
    levels: tuple[tuple[Level, ...], ...]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was used in truth under a ticket: `amount` in each take that had been reserved, 0 where nothing was."""

    ticket: str
    takes: Takes


def check_takes(choices: Sequence[Takes]) -> None:
    """Raises ValueError unless there is a choice, no name is twice in one, and each take has a name, a limit above 0, a
    window of 0 or of 0.01 s to 35 days, and an amount that is not negative.
    """
    if not choices:
        raise ValueError("choices: at least one is needed, and it may be empty")
    for takes in choices:
        if len({take.name for take in takes}) < len(takes):
            raise ValueError("name must be another in each take of a choice; add up what it takes of one limit")
        for take in takes:
            _check_take(take)


def _check_take(take: Take) -> None:
    _check_name(take.name)
    if not 0 < take.limit <= MOST:
        raise ValueError("limit must be a number above 0, at most 1e15; leave a limit out where there is none")
    if take.window_seconds and not SHORTEST_LIMIT_SECONDS <= take.window_seconds <= LONGEST_LIMIT_SECONDS:
        raise ValueError("window_seconds must be 0, or between 0.01 and 3024000, which is 35 days")
    if not 0 <= take.amount <= MOST:
        raise ValueError("amount must be a number that is not negative, at most 1e15")


def _check_name(name: str) -> None:
    if not name or len(name) > 1024 or not name.isascii():
        raise ValueError("name must be 1 to 1024 ASCII characters; hash a longer one")
