"""stores/claims.py: what the contract of every store cannot see."""

import pytest

from coo_middleware.stores import claims as module
from coo_middleware.stores.claims import Claims
from coo_middleware.testing import Clock


def test_claims_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys are claimed, only so many are kept; one that had to leave may be claimed again."""
    monkeypatch.setattr(module, "_MOST", 10)
    claims = Claims(Clock())
    for number in range(100):
        assert "a" == claims.claim(f"key-{number}", "a", 600)

    assert ["b", "a"] == [claims.claim(f"key-{number}", "b", 600) for number in (0, 99)]


def test_claims_that_lapsed_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that ended makes room before one that runs."""
    monkeypatch.setattr(module, "_MOST", 2)
    clock = Clock()
    claims = Claims(clock)
    claims.claim("long", "a", 600)
    claims.claim("short", "a", 1)
    clock.advance(2)
    claims.claim("new", "a", 600)

    assert ["a", "a"] == [claims.claim(key, "b", 600) for key in ("long", "new")]
