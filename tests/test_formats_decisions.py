"""Decisions: answers to questions, usage in the words of responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats.decisions import DECISIONS

if TYPE_CHECKING:
    from coo_middleware.core.document import Document


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {
                "answers": [{"type": "predicate", "probability": 0.5}, {"type": "choice", "choice": True}],
                "model": "m",
                "usage": {
                    "input_tokens": 9,
                    "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
                    "output_tokens": 3,
                    "output_tokens_details": {"reasoning_tokens": 0},
                },
            },
            Outcome(True, Usage(9, 3, 1, 2, 0), (), error=False, sound=True, model="m"),
        ),
        (
            {"answers": [{"type": "score", "score": 1}, {"type": "refusal"}]},
            Outcome(True, None, ("refusal",), error=False, sound=True, model=""),
        ),
        ({"answers": [{}]}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"answers": []}, UNREADABLE),
        ({"answers": "x", "usage": "y"}, UNREADABLE),
        ({"error": {"code": "x"}}, Outcome(False, None, (), error=True, sound=False, model="")),
    ],
)
def test_answers_are_read(document: Document, expected: Outcome) -> None:
    """A decision is whole with its answers; a refused question is a finish reason."""
    assert expected == DECISIONS.read_body(document)


def test_decisions_are_never_streamed() -> None:
    """Nothing is learned from a stream of decisions."""
    reader = DECISIONS.read_stream()
    reader.feed(Event(b"", "", '{"answers":[{"type":"score"}]}'))

    assert UNREADABLE == reader.outcome()


def test_the_input_is_normalized() -> None:
    """Input is prose like that of responses; questions keep their bytes; bookkeeping is not in the key."""
    questions: list[Document] = [{"type": "predicate", "instructions": " a "}]
    document: Document = {"input": " a\r\n", "questions": [*questions]}

    assert {"input": "a", "questions": questions} == DECISIONS.normalize(document, "text")
    assert "" == DECISIONS.bypass(document)
    assert not {"input", "questions", "model"} & DECISIONS.left_out
