"""Which settings are sections, and what a null means in their place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import pytest
from annotated_types import MaxLen

from coo_middleware.sections import fill, find_section, names_beside, section_fields


@dataclass(frozen=True, slots=True)
class Leaf:
    """A section within others."""

    size: int = 1
    names: tuple[Annotated[str, MaxLen(3)], ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """A section with every kind of field."""

    kind: ClassVar[str] = "tree"

    leaf: Leaf = field(default_factory=Leaf)
    perhaps: Leaf | None = None
    leaves: tuple[Leaf, ...] = ()
    size: int | None = None


def test_the_fields_of_a_section_have_their_order() -> None:
    """What belongs to the class alone is no field."""
    assert ["leaf", "perhaps", "leaves", "size"] == list(section_fields(Tree))


@pytest.mark.parametrize(("name", "section"), [("leaf", Leaf), ("perhaps", Leaf), ("leaves", Leaf), ("size", None)])
def test_a_section_is_found_in_its_field(name: str, section: type | None) -> None:
    """By itself, where it may be null, and as the items of a list."""
    assert section == find_section(section_fields(Tree)[name])


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        (None, {}),
        ({"leaf": None}, {"leaf": {}}),
        ({"perhaps": None}, {"perhaps": None}),
        ({"perhaps": {"size": None}}, {"perhaps": {"size": None}}),
        ({"leaves": [None, {"size": 2}]}, {"leaves": [{}, {"size": 2}]}),
        ({"leaves": None, "size": None}, {"leaves": None, "size": None}),
        ({"unknown": None, "leaf": 5}, {"unknown": None, "leaf": 5}),
        ([None], [{}]),
        (5, 5),
    ],
)
def test_only_a_section_that_may_not_be_null_is_filled(value: object, filled: object) -> None:
    """What else is null, unknown or wrong stays as it is, for others to judge."""
    assert filled == fill(value, Tree)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (("x",), ["leaf", "perhaps", "leaves", "size"]),
        (("leaf", "x"), ["size", "names"]),
        (("perhaps", "x"), ["size", "names"]),
        (("leaves", 3, "x"), ["size", "names"]),
    ],
)
def test_the_known_names_are_those_of_the_same_section(path: tuple[str | int, ...], names: list[str]) -> None:
    """A misspelt name is compared with its siblings, in lists too."""
    assert names == names_beside(path, Tree)
