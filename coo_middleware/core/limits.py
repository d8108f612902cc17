"""Limits as a store keeps them: what is taken of each, how it stands, and what was used in truth."""

from __future__ import annotations

from dataclasses import dataclass
from sys import float_info
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_LIMIT_SECONDS: Final = 3_024_000.0


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
    """Raises ValueError unless there is a choice and each take has a name, a limit above 0, a window of at most 35 days
    and an amount that is not negative.
    """
    if not choices:
        raise ValueError("choices: at least one is needed, and it may be empty")
    for take in (each for takes in choices for each in takes):
        _check_name(take.name)
        if not 0 < take.limit <= float_info.max:
            raise ValueError("limit must be a finite number above 0; leave a limit out where there is none")
        if not 0 <= take.window_seconds <= LONGEST_LIMIT_SECONDS:
            raise ValueError("window_seconds must be between 0 and 3024000, which is 35 days")
        if not 0 <= take.amount <= float_info.max:
            raise ValueError("amount must be a finite number that is not negative")


def _check_name(name: str) -> None:
    if not name or len(name) > 1024 or not name.isascii():
        raise ValueError("name must be 1 to 1024 ASCII characters; hash a longer one")
