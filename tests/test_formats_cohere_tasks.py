"""Cohere's classify and summarize: answers in one piece, without a finish reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats import recognise
from coo_middleware.formats.cohere_tasks import COHERE_CLASSIFY, COHERE_SUMMARIZE

MEMBERS = st.sampled_from(("classifications", "prediction", "summary", "meta", "message", "inputs", "text", "tokens"))
LEAVES = st.none() | st.booleans() | st.integers(-1, 9) | st.floats(allow_nan=False) | st.text(max_size=3)
ODD: st.SearchStrategy[Json] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(MEMBERS, inner, max_size=4), max_leaves=8
)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"classifications": [{"prediction": "a"}, {"predictions": ["b"]}]},
            Outcome(True, None, (), error=False, sound=True, model=""),
        ),
        (
            {"classifications": [{"prediction": "a"}], "meta": {"billed_units": {"classifications": 1}}},
            Outcome(True, None, (), error=False, sound=True, model=""),
        ),
        (
            {"classifications": [{"prediction": "a"}, {"predictions": []}], "meta": {"tokens": {"input_tokens": 4}}},
            Outcome(True, Usage(4, 0), (), error=False, sound=False, model=""),
        ),
        ({"classifications": []}, UNREADABLE),
        ({"message": "no"}, Outcome(False, None, (), error=True, sound=False, model="")),
    ],
)
def test_a_classification_has_a_prediction(document: Document, expected: Outcome) -> None:
    """There is one for every input; the classifications that are billed are no tokens."""
    assert expected == COHERE_CLASSIFY.read_body(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"id": "1", "summary": "a", "meta": {"billed_units": {"input_tokens": 5, "output_tokens": 2}}},
            Outcome(True, Usage(5, 2), (), error=False, sound=True, model=""),
        ),
        ({"summary": ""}, UNREADABLE),
        ({"summary": 1}, UNREADABLE),
        ({"message": "no"}, Outcome(False, None, (), error=True, sound=False, model="")),
    ],
)
def test_a_summary_is_a_text(document: Document, expected: Outcome) -> None:
    """A summary is there or it is not: no finish reason tells how it ended."""
    assert expected == COHERE_SUMMARIZE.read_body(document)


def test_the_edges_of_a_text_count() -> None:
    """Inputs and texts are composed and get LF, examples and commands stay."""
    document: Document = {"inputs": [" a\r\n"], "examples": [{"text": " b ", "label": "c"}]}
    expected: Document = {"inputs": [" a\n"], "examples": [{"text": " b ", "label": "c"}]}

    assert expected == COHERE_CLASSIFY.normalize(document, "text")
    assert document is COHERE_CLASSIFY.normalize(document, "strict")
    assert {"text": "a\n", "additional_command": " b "} == COHERE_SUMMARIZE.normalize(
        {"text": "a\r\n", "additional_command": " b "}, "text"
    )


def test_a_stream_is_never_whole() -> None:
    """Neither is ever streamed, so nothing is learned from a stream."""
    reader = COHERE_SUMMARIZE.read_stream()
    reader.feed(Event(b"x", "", '{"summary":"a"}'))

    assert UNREADABLE == reader.outcome()


@given(st.dictionaries(MEMBERS, ODD))
def test_odd_documents_never_raise(document: Document) -> None:
    """Any document has an outcome, and normalizing it twice is normalizing it once."""
    once = COHERE_CLASSIFY.normalize(document, "loose")

    assert "" == COHERE_CLASSIFY.read_body(document).model == COHERE_SUMMARIZE.read_body(document).model
    assert once == COHERE_CLASSIFY.normalize(once, "loose")


@pytest.mark.parametrize(
    ("path", "name"), [("/v1/classify", "cohere-classify"), ("/cohere/v1/summarize", "cohere-summarize")]
)
def test_tasks_are_recognised_by_their_paths(path: str, name: str) -> None:
    """Both paths are of version 1."""
    route = recognise(path)

    assert route is not None
    assert name == route.format.name
    assert recognise(path.replace("v1", "v3")) is None
