"""What a store takes of reservations: whoever sends or keeps them refuses the same in the same words."""

from __future__ import annotations

from sys import float_info
from typing import TYPE_CHECKING

from coo_middleware.core.limits import check_takes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.limits import Settlement, Takes


def check_reservation(ticket: str, choices: Sequence[Takes], lease_seconds: float) -> None:
    """Raises ValueError unless a ticket, its lease and all takes are valid."""
    _check_ticket(ticket)
    check_takes(choices)
    check_lease(lease_seconds)


def check_settlements(settlements: Sequence[Settlement]) -> None:
    """Raises ValueError unless every ticket and all takes are valid."""
    for each in settlements:
        _check_ticket(each.ticket)
        check_takes([each.takes])


def check_lease(lease_seconds: float) -> None:
    """Raises ValueError unless a lease is a finite number above 0."""
    if not 0 < lease_seconds <= float_info.max:
        raise ValueError("lease_seconds must be a finite number above 0")


def _check_ticket(ticket: str) -> None:
    if not 0 < len(ticket) <= 1024 or not ticket.isascii():
        raise ValueError("ticket must be 1 to 1024 ASCII characters")
