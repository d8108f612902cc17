"""Cohere's embeddings: a list, or one list for each type of number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats import recognise
from coo_middleware.formats.cohere_embeddings import COHERE_EMBEDDINGS

MEMBERS = st.sampled_from(("embeddings", "float", "meta", "billed_units", "message", "texts", "inputs", "content"))
LEAVES = st.none() | st.booleans() | st.integers(-1, 9) | st.floats(allow_nan=False) | st.text(max_size=3)
ODD: st.SearchStrategy[Json] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(MEMBERS, inner, max_size=4), max_leaves=8
)


@pytest.mark.parametrize(
    ("embeddings", "whole", "sound"),
    [
        ([[0.1, 0.2]], True, True),
        ({"float": [[0.1]], "int8": [[1]]}, True, True),
        ({"base64": ["AAAA"]}, True, True),
        ({"float": [[0.1]], "int8": None}, True, True),
        ([[0.1], []], True, False),
        ({"float": [[0.1]], "int8": []}, True, False),
        ({"float": "x"}, True, False),
        ([], False, False),
        ({}, False, False),
        ({"float": []}, False, False),
        (None, False, False),
    ],
)
def test_an_embedding_is_a_list_or_one_by_type(embeddings: Json, whole: bool, sound: bool) -> None:
    """No list of what was asked for may be empty, and none of the vectors."""
    outcome = COHERE_EMBEDDINGS.read_body({"id": "1", "embeddings": embeddings})

    assert (whole, sound) == (outcome.whole, outcome.sound)


def test_usage_is_what_was_billed() -> None:
    """The tokens of the texts are all that is told, and an embedding generates nothing."""
    document: Document = {
        "id": "1",
        "texts": ["a"],
        "embeddings": {"float": [[0.1]]},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3}},
        "response_type": "embeddings_by_type",
    }
    expected = Outcome(True, Usage(3, 0), (), error=False, sound=True, model="")

    assert expected == COHERE_EMBEDDINGS.read_body(document)


def test_a_body_with_nothing_but_a_message_is_an_error() -> None:
    """Beside embeddings a message is none."""
    expected = Outcome(False, None, (), error=True, sound=False, model="")

    assert expected == COHERE_EMBEDDINGS.read_body({"message": "no"})
    assert UNREADABLE == COHERE_EMBEDDINGS.read_body({})
    assert not COHERE_EMBEDDINGS.read_body({"embeddings": [[1]], "message": "m"}).error


def test_a_stream_of_embeddings_is_never_whole() -> None:
    """Cohere streams no embeddings, so nothing is learned from such a stream."""
    reader = COHERE_EMBEDDINGS.read_stream()
    reader.feed(Event(b"x", "", '{"embeddings":[[1]]}'))

    assert UNREADABLE == reader.outcome()


def test_the_edges_of_an_input_count() -> None:
    """Texts are composed and get LF, and a single text part equals its text; pictures stay."""
    picture: Document = {"type": "image_url", "image_url": {"url": "data:"}}
    document: Document = {
        "texts": [" a\r\n"],
        "images": ["data:"],
        "inputs": [{"content": [{"type": "text", "text": " b\r\n"}]}, {"content": [picture]}, {"odd": 1}, "odd"],
    }
    expected: Document = {
        "texts": [" a\n"],
        "images": ["data:"],
        "inputs": [{"content": " b\n"}, {"content": [picture]}, {"odd": 1}, "odd"],
    }

    assert expected == COHERE_EMBEDDINGS.normalize(document, "text")
    assert document is COHERE_EMBEDDINGS.normalize(document, "strict")
    assert {"model": "m"} == COHERE_EMBEDDINGS.normalize({"model": "m"}, "text")


@given(st.dictionaries(MEMBERS, ODD))
def test_odd_documents_never_raise(document: Document) -> None:
    """Any document has an outcome, and normalizing it twice is normalizing it once."""
    once = COHERE_EMBEDDINGS.normalize(document, "loose")

    assert "" == COHERE_EMBEDDINGS.read_body(document).model
    assert once == COHERE_EMBEDDINGS.normalize(once, "loose")


@pytest.mark.parametrize("path", ["/v1/embed", "/v2/embed", "/cohere/v2/embed"])
def test_both_versions_are_recognised(path: str) -> None:
    """Both paths are Cohere's, and neither streams."""
    route = recognise(path)

    assert route is not None
    assert ("cohere-embeddings", "cohere", False) == (route.format.name, route.provider, route.stream)
