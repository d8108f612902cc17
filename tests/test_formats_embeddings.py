"""Embeddings."""

import pytest

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats.embeddings import EMBEDDINGS


@pytest.mark.parametrize("embedding", [[0.1, 0.2], "AAAA"])
def test_an_embedding_is_a_list_or_base64(embedding: Json) -> None:
    """Both encodings are sound; the input is all that costs."""
    document: Document = {
        "data": [{"embedding": embedding}],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }

    assert Outcome(True, Usage(3, 0), (), error=False, sound=True, model="m") == EMBEDDINGS.read_body(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"data": []}, UNREADABLE),
        ({}, UNREADABLE),
        ({"data": [{"embedding": []}]}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"data": [{"embedding": [1]}, {}]}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"error": {"message": "x"}}, Outcome(False, None, (), error=True, sound=False, model="")),
        ({"usage": {"total_tokens": 4}}, Outcome(False, Usage(4, 0), (), error=False, sound=False, model="")),
        ({"usage": {"completion_tokens": 0}}, UNREADABLE),
    ],
)
def test_what_is_missing_is_told(document: Document, expected: Outcome) -> None:
    """An answer without data is not whole, one with an empty embedding not sound, and unknown usage not zero."""
    assert expected == EMBEDDINGS.read_body(document)


def test_a_stream_of_embeddings_is_never_whole() -> None:
    """No provider streams embeddings, so nothing is learned from such a stream."""
    reader = EMBEDDINGS.read_stream()
    reader.feed(Event(b'data: {"data":[{"embedding":[1]}]}\n\n', "", '{"data":[{"embedding":[1]}]}'))

    assert UNREADABLE == reader.outcome()


def test_the_edges_of_an_input_count() -> None:
    """Inputs are composed and get LF; token lists and documents without an input stay."""
    document: Document = {"input": [" a\r\n", [1, 2]]}

    assert {"input": [" a\n", [1, 2]]} == EMBEDDINGS.normalize(document, "text")
    assert document is EMBEDDINGS.normalize(document, "strict")
    other: Document = {"model": "m"}
    assert other is EMBEDDINGS.normalize(other, "text")
    assert "" == EMBEDDINGS.bypass(document)
