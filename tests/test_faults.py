"""What faults say."""

from __future__ import annotations

import math
from pathlib import Path
from types import MappingProxyType

import pytest

from coo_middleware.faults import MAX_DEPTH, Fault, Source, explain_name, explain_rule, find_foreign


def test_a_fault_is_shown_with_file_line_column_and_field() -> None:
    """Every part that is known stands in front of the text, and no part that is not."""
    source = Source("coo.yaml", {})
    assert source.describe([Fault(("a", 0), "t", 3, 7)]) == "coo.yaml:3:7: a[0]: t"
    assert source.describe([Fault((), "t")]) == "coo.yaml: t"


def test_faults_stand_in_the_order_of_the_lines() -> None:
    """A field without a line of its own takes the line of the nearest section around it."""
    source = Source("coo.yaml", {}, {("a",): 2, ("a", "b"): 5})
    shown = source.describe([Fault(("a", "b"), "late"), Fault(("a", "c", "d"), "near"), Fault(("z",), "nowhere")])
    assert shown.splitlines() == ["coo.yaml: z: nowhere", "coo.yaml:2: a.c.d: near", "coo.yaml:5: a.b: late"]


@pytest.mark.parametrize("name", ["sk-ant-api03-0123456789abcdef", "two\nlines", "hun ter2", "9lives", ""])
def test_a_strange_name_is_not_repeated(name: str) -> None:
    """A name that looks like none of ours may be a secret in the wrong place, and may break the line."""
    assert Source("f", {}).describe([Fault(("policy", name), "t")]) == "f: policy.?: t"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "a boolean"),
        (-1.5, "a negative number"),
        (0, "zero"),
        (7, "a whole number"),
        (7.5, "a decimal number"),
        ("hunter2", "a text"),
        (["hunter2"], "a list"),
        ({"hunter2": 1}, "a section"),
    ],
)
def test_a_rule_is_explained_by_the_kind_of_the_value(value: object, kind: str) -> None:
    """The text tells what is wanted and what kind of value came, and not the value."""
    assert explain_rule("bool_type", ("a",), value, {}).text == f"must be true or false, without quotes, got {kind}"


def test_limits_are_named_in_plain_decimals() -> None:
    """A limit is written as an operator would write it."""
    assert explain_rule("less_than_equal", (), 9e9, {"le": 31_622_400.0}).text.startswith("must be at most 31622400,")
    assert explain_rule("greater_than", (), -1, {"gt": 0.0}).text.startswith("must be greater than 0,")


def test_a_rule_without_words_is_still_a_fault() -> None:
    """A rule that pydantic adds tomorrow is told without its own text, which might hold the value."""
    assert explain_rule("new_rule", (), "hunter2", {"input": "hunter2"}).text == "is not valid, got a text"


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all() -> None:
    """The way out of an unknown name is a known one."""
    known = ["enabled", "ttl_seconds"]
    assert explain_name(("ttl_secnds",), known).text == "unknown name; did you mean ttl_seconds?"
    assert explain_name(("q",), known).text == "unknown name; known: enabled, ttl_seconds"


def test_plain_values_are_not_foreign() -> None:
    """Whatever JSON can carry is fine, and a path and any mapping or sequence count as plain."""
    tree: dict[str, object] = {"a": [None, True, 1, 0.5, "é😀"], "b": ({},), "c": MappingProxyType({"d": Path("x")})}
    assert list(find_foreign(tree)) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, b"x", {1}, object(), "\ud800"])
def test_what_json_cannot_carry_is_named_by_its_field(value: object) -> None:
    """Each foreign value is a fault at its own place, whose text repeats nothing of it."""
    (fault,) = find_foreign({"a": [1, value]})
    assert fault.path == ("a", 1)
    assert fault.text.endswith(f"got {type(value).__name__}")


@pytest.mark.parametrize(("name", "step"), [(5, "?"), (None, "?"), (b"x", "?"), ("\ud800", "\ud800")])
def test_a_name_must_be_text(name: object, step: str) -> None:
    """JSON's names are texts; nothing else is turned into one."""
    assert list(find_foreign({"a": {name: 1}})) == [Fault(("a", step), "the name must be a Unicode text")]


def test_a_value_that_holds_itself_is_a_fault() -> None:
    """The depth is bounded for sections and for lists."""
    section: dict[str, object] = {}
    section["a"] = section
    items: list[object] = []
    items.append(items)
    assert [MAX_DEPTH, MAX_DEPTH] == [len(fault.path) for each in (section, items) for fault in find_foreign(each)]
