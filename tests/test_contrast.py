"""Where two JSON values differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.contrast import ABSENT, Contrast, contrast, differing_place, path_of

if TYPE_CHECKING:
    from coo_middleware.core.document import Json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
)


def test_a_place_is_told_by_its_path() -> None:
    """A path has dots before plain names and brackets round indexes."""
    a: Json = {"messages": [{"role": "user", "content": "hi"}], "n": 1}
    b: Json = {"messages": [{"role": "user", "content": "ho"}], "seed": 7}

    assert [
        Contrast("messages[0].content", "hi", "ho"),
        Contrast("n", 1, ABSENT),
        Contrast("seed", ABSENT, 7),
    ] == list(contrast(a, b))


def test_an_item_more_is_one_difference() -> None:
    """What lists of different lengths begin and end with alike is passed over."""
    a: Json = ["system", "one", "two"]
    b: Json = ["system", "new", "one", "two"]

    assert [Contrast("[1]", ABSENT, "new")] == list(contrast(a, b))


def test_the_order_of_members_is_told_apart() -> None:
    """Objects with the same members in another order differ in that alone."""
    a: Json = {"p": {"x": 1, "y": 2}}
    b: Json = {"p": {"y": 2, "x": 1}}

    assert [Contrast("p", {"x": 1, "y": 2}, {"y": 2, "x": 1}, is_order=True)] == list(contrast(a, b))


def test_true_is_not_one() -> None:
    """JSON knows booleans and numbers apart, and so is this."""
    assert [Contrast("", True, 1)] == list(contrast(True, 1))


def test_a_name_that_is_no_word_is_written_as_json() -> None:
    """No name can pass for a path, bring a control character, or be endless."""
    assert 'a["b.c"]["\\n"]' == path_of("\n", path_of("b.c", "a"))
    assert 90 > len(path_of("x" * 10_000))


def test_two_texts_begin_alike() -> None:
    """The place is a count of characters."""
    assert 3 == differing_place("abcd", "abcx")
    assert 4 == differing_place("abcd", "abcd")


@given(VALUES, VALUES)
def test_nothing_differs_exactly_where_the_values_are_the_same(a: Json, b: Json) -> None:
    """There is no difference if and only if both values are spelled alike."""
    assert (json.dumps(a) == json.dumps(b)) == (not list(contrast(a, b)))
