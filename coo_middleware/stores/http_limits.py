"""Reservations in the HTTP layout, for both of its ends: what is taken, what became of it, and what was used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.limits import Admission, Level, Settlement, Take, Takes
from coo_middleware.stores.http_layout import LayoutError, read_list, read_number, read_objects, read_text
from coo_middleware.stores.limit_checks import check_reservation, check_settlements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coo_middleware.core.document import Json
    from coo_middleware.stores.http_layout import Parts

# Of one request, so that it keeps the other end's store for a moment only.
MOST_TAKES: Final = 4096
MOST_SETTLEMENTS: Final = 512


def write_reservation(ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Parts:
    """What is asked of `POST /limits/reserve`. Raises ValueError for what no store takes, and for MOST_TAKES."""
    check_reservation(ticket, choices, lease_seconds)
    _check_number(choices)
    return {
        "ticket": ticket,
        "lease_seconds": float(lease_seconds),
        "choices": [_write_takes(takes) for takes in choices],
    }


def read_reservation(document: Parts) -> tuple[str, tuple[Takes, ...], float]:
    """What `write_reservation` wrote. Raises ValueError."""
    ticket, lease = read_text(document, "ticket"), read_number(document, "lease_seconds")
    choices = tuple(_read_takes(each, "choices") for each in read_list(document.get("choices"), "choices"))
    check_reservation(ticket, choices, lease)
    _check_number(choices)
    return ticket, choices, lease


def write_admission(admission: Admission | None) -> Parts:
    """What became of a reservation; that nothing was kept where this store keeps no limits."""
    if admission is None:
        return {"kept": False}
    levels: list[Json] = [
        [{"used": level.used, "reset_seconds": level.reset_seconds} for level in levels] for levels in admission.levels
    ]
    return {"choice": admission.choice, "wait_seconds": admission.wait_seconds, "levels": levels}


def read_admission(document: Parts, choices: Sequence[Takes]) -> Admission | None:
    """What `write_admission` wrote of these choices. Raises LayoutError."""
    if document.get("kept") is False:
        return None
    levels = tuple(_read_levels(each) for each in read_list(document.get("levels"), "levels"))
    if [*map(len, levels)] != [*map(len, choices)]:
        raise LayoutError("levels: must be one for each take of each choice")
    choice = document.get("choice")
    if isinstance(choice, bool) or not isinstance(choice, int) or not -1 <= choice < len(levels):
        raise LayoutError("choice: must be the number of a choice, from 0 on, or -1")
    return Admission(choice, read_number(document, "wait_seconds"), levels)


def write_settlements(settlements: Sequence[Settlement]) -> Iterator[list[Json]]:
    """The settlements of one request after the other. Raises ValueError for what no store takes."""
    check_settlements(settlements)
    for begin in range(0, len(settlements), MOST_SETTLEMENTS):
        some = settlements[begin : begin + MOST_SETTLEMENTS]
        yield [{"ticket": each.ticket, "takes": _write_takes(each.takes)} for each in some]


def read_settlements(document: Parts) -> list[Settlement]:
    """What `write_settlements` wrote. Raises ValueError."""
    parts = read_objects(document.get("settlements"), "settlements")
    if len(parts) > MOST_SETTLEMENTS:
        raise LayoutError(f"settlements: must be at most {MOST_SETTLEMENTS}")
    found = [Settlement(read_text(each, "ticket"), _read_takes(each.get("takes"), "takes")) for each in parts]
    check_settlements(found)
    return found


def _check_number(choices: Sequence[Takes]) -> None:
    if sum(map(len, choices)) + len(choices) > MOST_TAKES:
        raise LayoutError(f"choices: must be at most {MOST_TAKES} with their takes")


def _write_takes(takes: Takes) -> list[Json]:
    return [
        {"name": each.name, "limit": each.limit, "window_seconds": each.window_seconds, "amount": each.amount}
        for each in takes
    ]


def _read_takes(part: Json, name: str) -> Takes:
    return tuple(
        Take(
            read_text(each, "name"),
            read_number(each, "limit"),
            read_number(each, "window_seconds"),
            read_number(each, "amount"),
        )
        for each in read_objects(part, name)
    )


def _read_levels(part: Json) -> tuple[Level, ...]:
    parts = read_objects(part, "levels")
    return tuple(Level(read_number(each, "used"), read_number(each, "reset_seconds")) for each in parts)
