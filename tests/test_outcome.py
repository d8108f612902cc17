"""Token counts are read as providers send them."""

import math

import pytest

from coo_middleware.core.document import Json
from coo_middleware.core.outcome import tokens


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (6, 6), (6.0, 6), ("6", 6), ("007", 7), (2**53, 2**53), (1e15, 10**15)],
)
def test_counts_are_read(value: Json, expected: int) -> None:
    """A count may be a whole number, a fraction that is whole, or its digits."""
    assert expected == tokens(value)


@pytest.mark.parametrize(
    "value",
    [None, True, False, -1, -0.5, "", "six", "-1", "6.0", "٣", "9" * 16, 10**30, 1e30, math.inf, math.nan, [], {}],
)
def test_odd_counts_are_unknown(value: Json) -> None:
    """What is no count is not counted as zero."""
    assert tokens(value) is None
