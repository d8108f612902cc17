"""Fragments: how pieces of a streamed object are put together."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.formats.fragments import ContradictionError, join_fragment, repeat_fragment

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
NAMES = st.sampled_from(["a", "id", "type", "index", "content", "data", "channel", "signature"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
FRAGMENTS = st.lists(st.dictionaries(NAMES, JSON, max_size=3), max_size=4)


def join(*values: Json, name: str = "a") -> Json:
    whole: Document = {}
    for value in values:
        join_fragment(whole, {name: value})
    return whole[name]


def repeat(*values: Json) -> Json:
    whole: Document = {}
    for value in values:
        repeat_fragment(whole, {"a": value})
    return whole["a"]


def part(text: str, kind: str = "text", **more: Json) -> Document:
    return {"type": kind, kind: text, **more}


@pytest.mark.parametrize(
    ("values", "whole"),
    [
        (["a", "b", "", "c"], "abc"),
        ([None, "a", None], "a"),
        ([None, None], None),
        ([1, 2.5], 2.5),
        ([True, False], False),
        ([{"a": "x", "b": 1}, {"a": "y", "c": None}], {"a": "xy", "b": 1, "c": None}),
        ([[], [1, "a"], [1]], [1, "a", 1]),
        ([[{"token": "a"}], [{"token": "b"}]], [{"token": "a"}, {"token": "b"}]),
        ([None, [{"index": 0, "a": "x"}, {"index": 0, "a": "y"}]], [{"index": 0, "a": "xy"}]),
        ([[{"index": 1, "a": "x"}], [{"index": 0, "a": "y"}, {"index": 1, "a": "z"}]],
         [{"index": 1, "a": "xz"}, {"index": 0, "a": "y"}]),
        ([[{"index": 0, "type": "t", "a": "x"}, 1], [{"index": 0, "a": "y"}]],
         [{"index": 0, "type": "t", "a": "xy"}, 1]),
        ([[{"index": 0, "type": "t"}], [{"index": 0, "type": "u"}]],
         [{"index": 0, "type": "t"}, {"index": 0, "type": "u"}]),
        ([[{"index": None}], [{"index": None}]], [{"index": None}, {"index": None}]),
        ([[part("a")], [part("b")]], [part("ab")]),
        ([[part("a"), part("b")], [part("c"), part("d")]], [part("a"), part("bc"), part("d")]),
        ([[part("a", "thinking")], [part("b")]], [part("a", "thinking"), part("b")]),
        ([[part("a", "thinking")], [part("b", "thinking", closed=True)], [part("c", "thinking")]],
         [part("ab", "thinking", closed=True), part("c", "thinking")]),
        ([[part("a", "thinking", signature="s")], [part("b", "thinking")]],
         [part("a", "thinking", signature="s"), part("b", "thinking")]),
        ([[part("a", "reference")], [part("b", "reference")]], [part("a", "reference"), part("b", "reference")]),
        ([[part("a", index=0)], [part("b")]], [part("a", index=0), part("b")]),
        ([[part("a")], [part("b", index=0)]], [part("a"), part("b", index=0)]),
        ([["a"], [part("b")]], ["a", part("b")]),
        ([[part("a")], ["b"]], [part("a"), "b"]),
    ],
)  # fmt: skip
def test_fragments_are_joined(values: list[Json], whole: Json) -> None:
    """Texts are joined, entries meet by index and type, open pieces of text go on, null says nothing."""
    assert whole == join(*copy.deepcopy(values))


@pytest.mark.parametrize(
    ("name", "values", "whole"),
    [
        ("id", ["a", "a", "", None], "a"),
        ("role", [None, "assistant", "assistant"], "assistant"),
        ("name", ["", "f"], "f"),
        ("channel", ["analysis", "analysis", "final"], "final"),
        ("data", ["YQ", "Yg=="], "YQYg=="),
        ("data", ["YQ==", ""], "YQ=="),
        ("content", ["", [part("a")], "", "b"], [part("ab")]),
        ("content", ["a", [part("b", "thinking")]], [part("a"), part("b", "thinking")]),
    ],
)
def test_some_names_have_a_rule_of_their_own(name: str, values: list[Json], whole: Json) -> None:
    """Labels are repeated and not continued, and a content may be a text as well as a list."""
    assert whole == join(*copy.deepcopy(values), name=name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", ["a", "b"]),
        ("type", ["a", 1]),
        ("data", ["YQ==", "YQ=="]),
        ("a", ["a", 1]),
        ("a", ["a", []]),
        ("a", [{}, []]),
        ("content", ["a", {}]),
    ],
)
def test_contradictions_are_refused(name: str, values: list[Json]) -> None:
    """What cannot be of one whole is refused and not guessed at."""
    with pytest.raises(ContradictionError):
        join(*values, name=name)


@pytest.mark.parametrize(
    ("values", "whole"),
    [
        (["a", "a"], "a"),
        (["", "a", ""], "a"),
        ([None, "a", None], "a"),
        ([None, ""], ""),
        (["", None], ""),
        ([1, 2], 2),
        ([3, 0], 0),
        ([False, True], True),
        ([{}, {"a": 1, "b": "x"}, {"a": 2}, {}], {"a": 2, "b": "x"}),
        ([[1], [1], []], [1]),
    ],
)
def test_what_is_told_again_stays(values: list[Json], whole: Json) -> None:
    """What is empty gives way, a number is a counter whose last value stays, and objects are told member by member."""
    assert whole == repeat(*values)


@pytest.mark.parametrize("values", [["a", "b"], [[1], [1, 2]], ["a", 1], [{"a": "x"}, {"a": "y"}], [{"a": 1}, [1]]])
def test_what_is_told_otherwise_is_refused(values: list[Json]) -> None:
    """A text or a list that changes may have been replaced or continued, so it is refused."""
    with pytest.raises(ContradictionError):
        repeat(*values)


@given(FRAGMENTS)
def test_any_fragments_are_joined_or_refused(fragments: list[Document]) -> None:
    """Whatever the fragments are, nothing but a contradiction is raised, and every name that was told is kept."""
    for add in (join_fragment, repeat_fragment):
        whole: Document = {}
        try:
            for fragment in copy.deepcopy(fragments):
                add(whole, fragment)
        except ContradictionError:
            continue
        assert {name for fragment in fragments for name in fragment} == whole.keys()
