"""admin/queries.py: what a query string may say."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.admin.queries import Filters, read_choice, read_filters, read_query, read_seconds


def test_parameters_are_read() -> None:
    """Percent-encoding is undone, and an empty one counts as left out."""
    assert {"model": "a&b", "window": "5"} == read_query(b"model=a%26b&window=5&key=", ("window", "key", "model"))


@pytest.mark.parametrize("query", [b"canary=1", b"window=1&window=2", b"=1", b"x" * 8193])
def test_what_is_not_known_is_refused(query: bytes) -> None:
    """It is told what is known, and nothing of what came."""
    with pytest.raises(ValueError, match=r"^query: ") as caught:
        read_query(query, ("window",))

    assert "canary" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    """No bytes bring another error."""
    with suppress(ValueError):
        assert read_query(query, ("window", "key")).keys() <= {"window", "key"}


@pytest.mark.parametrize(("text", "seconds"), [("1", 1), ("3024000", 3_024_000), ("007", 7)])
def test_seconds_are_whole(text: str, seconds: int) -> None:
    """From one second to 35 days."""
    assert seconds == read_seconds({"window": text}, "window", 60)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "3024001", "1e3", "9" * 4400, "٣", "NaN", "canary"])
def test_other_seconds_are_refused(text: str) -> None:
    """The parameter is named."""
    with pytest.raises(ValueError, match=r"^window: must be a whole number from 1 to 3024000"):
        read_seconds({"window": text}, "window", 60)


def test_a_choice_is_one_of_them() -> None:
    """The first where nothing is said."""
    assert ["", "key"] == [read_choice(each, "by", ("", "key")) for each in ({}, {"by": "key"})]
    with pytest.raises(ValueError, match=r"^by: must be one of key$"):
        read_choice({"by": "canary"}, "by", ("", "key"))
    with pytest.raises(ValueError, match=r"^by: must be left out here$"):
        read_choice({"by": "key"}, "by", ("",))


def test_filters_let_through_what_they_name() -> None:
    """An empty one lets everything through."""
    assert Filters().match("a", "b", "c")
    assert read_filters({"provider": "a", "model": "c"}).match("a", "b", "c")
    assert not read_filters({"key": "c"}).match("a", "b", "c")
