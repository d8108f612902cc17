"""Differences in words, with and without the text of a prompt."""

from __future__ import annotations

import pytest

from coo_middleware.core.contrast import ABSENT, WITHHELD, Found
from coo_middleware.core.explain import Difference
from coo_middleware.core.showing import Shown, show

CANARY = "canary-prompt"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.7, "0.7"),
        (None, "null"),
        (True, "true"),
        (ABSENT, "absent"),
        (WITHHELD, "not shown"),
        (CANARY, "text of 13 characters"),
        ([CANARY], "list of 1"),
        ({CANARY: CANARY}, "object of 1 members"),
    ],
)
def test_a_value_is_told_without_its_text(value: Found, words: str) -> None:
    """Numbers and the like are shown, texts by their length, and what holds texts by its size."""
    assert words == show(Difference("x", "counts", value, ABSENT), texts=False).a


def test_texts_are_shown_round_their_first_difference() -> None:
    """Where it is asked for, a piece of a long text is shown that begins a little before the difference."""
    a, b = "x" * 1000 + "left" + "y" * 1000, "x" * 1000 + "right"

    shown = show(Difference("x", "counts", a, b), texts=True)

    assert Shown("x", "counts", is_order=False, a=shown.a, b='…"' + "x" * 20 + 'right"', alike=1000) == shown
    assert shown.a.startswith('…"' + "x" * 20 + "left")
    assert 110 > len(shown.a)


def test_what_holds_texts_is_shown_in_short() -> None:
    """A whole message that only one request has is written as JSON, not all of a long one."""
    shown = show(Difference("x", "counts", ABSENT, {"content": "z" * 1000}), texts=True)

    assert shown.b.startswith('{"content":"zzz')
    assert shown.b.endswith("…")


def test_the_model_is_no_text_of_a_prompt() -> None:
    """Models and paths are shown either way."""
    assert '"gpt-5"' == show(Difference("model", "counts", "gpt-5", "gpt-6"), texts=False).a
