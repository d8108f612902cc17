"""core/vectors.py: lists of numbers that stay as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.vectors import Vectors

if TYPE_CHECKING:
    from coo_middleware.core.document import Json


def as_json(numbers: list[float | int]) -> Json:
    """The list as any value of an answer."""
    return [*numbers]


LISTS = st.lists(st.floats(-1, 1) | st.integers(-9, 9), max_size=30)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9) | LISTS.map(json.dumps)
LEAVES: st.SearchStrategy[Json] = LISTS.map(as_json) | TEXTS | st.none() | st.booleans()
ANSWERS: st.SearchStrategy[Json] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(ANSWERS, min_size=1, max_size=3), st.sampled_from([None, 2]))
def test_what_is_read_is_written(answers: list[Json], indent: int | None) -> None:
    """Several answers that are read, and put into one, are written as they were, lists in texts too."""
    vectors = Vectors()
    read = [vectors.read(json.dumps(answer, indent=indent).encode()) for answer in answers]

    assert answers == json.loads(vectors.write(read))


def test_a_list_keeps_its_spelling() -> None:
    """Numbers are written with the digits that the provider sent."""
    content = b'{"a":[1.50, -0.0,1E-5,1e-05,0.10000000000000000555],"b":[1]}'
    vectors = Vectors()

    assert content == vectors.write(vectors.read(content))


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"a":', b'["\\u00000"]', b"[NaN]"], ids=str)
def test_what_is_no_answer_is_none(content: bytes) -> None:
    """What is no JSON is nothing, nor is what could be taken for a list of numbers."""
    assert Vectors().read(content) is None
