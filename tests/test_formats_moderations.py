"""Moderations of OpenAI and of Mistral."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats import recognise
from coo_middleware.formats.moderations import MODERATIONS

MEMBERS = st.sampled_from(("results", "categories", "usage", "prompt_tokens", "error", "input", "model"))
LEAVES = st.none() | st.booleans() | st.integers(-1, 9) | st.floats(allow_nan=False) | st.text(max_size=3)
ODD: st.SearchStrategy[Json] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(MEMBERS, inner, max_size=4), max_leaves=8
)
RESULT: Document = {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"id": "1", "model": "omni-moderation-latest", "results": [RESULT]},
            Outcome(True, None, (), error=False, sound=True, model="omni-moderation-latest"),
        ),
        (
            {"results": [RESULT], "usage": {"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0}},
            Outcome(True, Usage(7, 0), (), error=False, sound=True, model=""),
        ),
        ({"results": [RESULT, {}]}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"results": []}, UNREADABLE),
        ({"results": "x"}, UNREADABLE),
        ({}, UNREADABLE),
        ({"error": {"message": "x"}}, Outcome(False, None, (), error=True, sound=False, model="")),
    ],
)
def test_results_make_a_moderation_whole(document: Document, expected: Outcome) -> None:
    """There are results, each of which judges by category; where no usage is told it is unknown."""
    assert expected == MODERATIONS.read_body(document)


def test_a_stream_of_moderations_is_never_whole() -> None:
    """No provider streams moderations, so nothing is learned from such a stream."""
    reader = MODERATIONS.read_stream()
    reader.feed(Event(b"x", "", '{"results":[{"categories":{}}]}'))

    assert UNREADABLE == reader.outcome()


def test_the_edges_of_an_input_count() -> None:
    """Inputs are composed and get LF; parts and pictures stay, and nothing bypasses."""
    part: Document = {"type": "text", "text": " a\r\n"}
    document: Document = {"input": [" a\r\n", part]}

    assert {"input": [" a\n", part]} == MODERATIONS.normalize(document, "text")
    assert document is MODERATIONS.normalize(document, "strict")
    assert "" == MODERATIONS.bypass(document)


@given(st.dictionaries(MEMBERS, ODD))
def test_odd_documents_never_raise(document: Document) -> None:
    """Any document has an outcome, and without results it is not whole."""
    assert not MODERATIONS.read_body(document).whole or "results" in document


def test_moderations_are_recognised_by_their_path() -> None:
    """They are OpenAI's, and never stream."""
    route = recognise("/v1/moderations")

    assert route is not None
    assert ("moderations", "openai", "moderation", False) == (
        route.format.name,
        route.provider,
        route.format.operation,
        route.stream,
    )
