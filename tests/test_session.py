"""How long a session is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.session import read_session

LONGEST = {"s": 3_024_000, "m": 50_400, "h": 840, "d": 35}


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("90s", 90), ("5m", 300), ("1h", 3600), ("5h", 18_000), ("1d", 86_400)]
)
def test_a_number_and_a_unit_are_a_length(text: str, seconds: float) -> None:
    """The four units are those of everyday use."""
    assert seconds == read_session(text)


@pytest.mark.parametrize(("unit", "most"), LONGEST.items())
def test_a_session_has_at_most_35_days(unit: str, most: int) -> None:
    """The longest length is accepted in every unit, and one more is refused."""
    assert 3_024_000 == read_session(f"{most}{unit}")
    with pytest.raises(ValueError, match="from 1s to 35d"):
        read_session(f"{most + 1}{unit}")


@pytest.mark.parametrize(
    "text", ["", "0s", "h", "5", "1.5h", "-1h", "1 h", "1H", "1w", "1h30m", "1h\n", "٣h", "9" * 9 + "s"]
)
def test_what_only_looks_like_a_length_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="must be a number and s, m, h or d"):
        read_session(text)


@given(st.text(max_size=16))
def test_any_text_is_a_length_or_refused_without_a_word_of_it(text: str) -> None:
    """The message is always the same one."""
    expected = "must be a number and s, m, h or d, from 1s to 35d, such as 5m, 1h or 1d, got a text"
    assert outcome_of(text) == expected or text[:-1].isdigit()


def outcome_of(text: str) -> str:
    try:
        return f"{read_session(text)} s"
    except ValueError as error:
        return str(error)
