"""stores/http_series.py: what travels comes out as it went in, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.stores import Points, Total, TotalsPage
from coo_middleware.stores.http_layout import LayoutError, Parts, decode_json, encode_json
from coo_middleware.stores.http_series import (
    read_points,
    read_question,
    read_totals,
    totals_path,
    write_points,
    write_question,
    write_totals,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
counters = st.tuples(texts, texts, texts)
numbers = st.floats(allow_nan=False, allow_infinity=False)
COUNTER: Parts = {"provider": "p", "key_id": "k", "metric": "m"}


def travel(parts: Parts) -> Parts:
    return decode_json(encode_json(parts))


@given(st.lists(st.builds(Total, texts, texts, texts, numbers), max_size=4), texts)
def test_totals_arrive(totals: list[Total], cursor: str) -> None:
    """Names of all kinds, every finite number, and the cursor."""
    page = TotalsPage(tuple(totals), cursor)

    assert page == read_totals(travel(write_totals(page)))


@given(st.lists(counters, max_size=4), st.integers(1, 3_024_000))
def test_questions_arrive(asked: list[tuple[str, str, str]], seconds: int) -> None:
    """The counters in their order, and how far back."""
    assert (asked, seconds) == read_question(travel(write_question(asked, seconds)))


@given(st.lists(st.tuples(numbers, numbers), max_size=4), st.sampled_from([1, 60, 3_600]))
def test_points_arrive(values: list[tuple[float, ...]], step: int) -> None:
    """Every finite number, one list for each counter."""
    points = Points(1_700_000_000.0, step, tuple(values))

    assert points == read_points(travel(write_points(points)), len(values))


def test_store_without_them_says_so() -> None:
    """A list that was left out is not an empty one."""
    assert read_totals(travel(write_totals(None))) is None
    assert read_points(travel(write_points(None)), 3) is None
    assert TotalsPage(()) == read_totals({"totals": [], "cursor": ""})


def test_first_page_has_a_path() -> None:
    """An empty cursor is a segment too."""
    assert ["/totals/~", "/totals/1000", "/totals/a:b:c"] == [totals_path(each) for each in ("", "1000", "a:b:c")]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"totals": []},
        {"totals": None, "cursor": ""},
        {"totals": {}, "cursor": ""},
        {"totals": [1], "cursor": ""},
        {"totals": [COUNTER], "cursor": ""},
        {"totals": [{**COUNTER, "value": True}], "cursor": ""},
        {"totals": [{**COUNTER, "value": 1, "metric": None}], "cursor": ""},
        {"totals": [], "cursor": 1},
    ],
)
def test_other_pages_are_refused(document: Parts) -> None:
    """An odd answer is a fault, never data."""
    with pytest.raises(LayoutError):
        read_totals(document)


@pytest.mark.parametrize(
    "document",
    [{}, {"counters": []}, {"counters": [[]], "seconds": 60}, {"counters": [{}], "seconds": 60}]
    + [{"counters": [COUNTER], "seconds": seconds} for seconds in (0, 1.5, True, "60", None)],
)
def test_other_questions_are_refused(document: Parts) -> None:
    """What lacks a name, or is no window, is asked of no store."""
    with pytest.raises(LayoutError):
        read_question(document)


@pytest.mark.parametrize(
    "values", [None, {}, [], [[1], [2]], [[1, 2], [1]], [None, [1]], [["1"], [1]], [[True], [1]], [[float("inf")], [1]]]
)
def test_other_points_are_refused(values: object) -> None:
    """One list of finite numbers for each counter, all as long."""
    document: Parts = {"begins": 0, "step_seconds": 1, "values": values}  # type: ignore[dict-item]
    counters = 3 if values == [[1], [2]] else 2
    with pytest.raises(LayoutError, match=r"^values: must "):
        read_points(document, counters)


@pytest.mark.parametrize("change", [{"begins": None}, {"step_seconds": 0}, {"step_seconds": 1.5}])
def test_points_need_their_time(change: Parts) -> None:
    """When the first bucket began, and how long each is."""
    with pytest.raises(LayoutError, match=f"^{next(iter(change))}: "):
        read_points({"begins": 0, "step_seconds": 1, "values": [[1]], **change}, 1)
