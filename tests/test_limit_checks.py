"""stores/limit_checks.py: what no store takes of reservations."""

import pytest

from coo_middleware.core.limits import Settlement, Take
from coo_middleware.stores.limit_checks import check_lease, check_reservation, check_settlements

TAKE = Take("n", 1, 60, 1)
NAN = float("nan")


@pytest.mark.parametrize("lease", [0, -1, NAN, float("inf")])
def test_a_lease_is_a_number_above_0(lease: float) -> None:
    """For a reservation and by itself."""
    with pytest.raises(ValueError, match=r"^lease_seconds must be"):
        check_lease(lease)
    with pytest.raises(ValueError, match=r"^lease_seconds must be"):
        check_reservation("t", [(TAKE,)], lease)


@pytest.mark.parametrize("ticket", ["", "t" * 1025, "ключ", "\ud800"])
def test_a_ticket_is_short_ascii(ticket: str) -> None:
    """For reservations and settlements alike; the text does not repeat it."""
    with pytest.raises(ValueError, match=r"^ticket must be 1 to 1024 ASCII characters$"):
        check_reservation(ticket, [()], 1)
    with pytest.raises(ValueError, match=r"^ticket must be 1 to 1024 ASCII characters$"):
        check_settlements([Settlement(ticket, ())])


@pytest.mark.parametrize("take", [Take("", 1, 60, 1), Take("m", 0, 60, 1), Take("m", 1, -1, 1), Take("m", 1, 60, NAN)])
def test_takes_are_those_of_the_ledger(take: Take) -> None:
    """Whatever core/limits.py refuses is refused in both, and what it takes is taken."""
    with pytest.raises(ValueError, match=" must be "):
        check_reservation("t", [(TAKE, take)], 1)
    with pytest.raises(ValueError, match=" must be "):
        check_settlements([Settlement("t", (take,))])
    check_reservation("t", [(TAKE,), ()], 1)
    check_settlements([Settlement("t", (TAKE,))])
