"""Ollama's embeddings, of the newer and of the older kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats.ollama_embeddings import OLLAMA_EMBEDDINGS

ODD: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"model": "m", "embeddings": [[0.1], [0.2]], "prompt_eval_count": 8},
            Outcome(True, Usage(8, None), (), error=False, sound=True, model="m"),
        ),
        ({"embedding": [0.1]}, Outcome(True, None, (), error=False, sound=True, model="")),
        ({"embeddings": [[0.1], []]}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"embeddings": [0.1]}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"embedding": []}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"embedding": None}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"embeddings": []}, UNREADABLE),
        ({}, UNREADABLE),
        ({"error": "x"}, Outcome(False, None, (), error=True, sound=False, model="")),
    ],
)
def test_both_kinds_are_read(document: Document, expected: Outcome) -> None:
    """The newer kind tells its model and its input tokens, the older one neither, which is unknown and not zero."""
    assert expected == OLLAMA_EMBEDDINGS.read_body(document)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"model": "m", "input": "a"}, ""),
        ({"model": "m", "input": ["a"]}, ""),
        ({"model": "m", "prompt": "a"}, ""),
        ({"model": "m", "keep_alive": 0}, "model-load"),
        ({"model": "m", "input": [], "prompt": ""}, "model-load"),
    ],
)
def test_loading_a_model_reaches_the_provider(document: Document, reason: str) -> None:
    """A request without an input loads or unloads its model."""
    assert reason == OLLAMA_EMBEDDINGS.bypass(document)


def test_inputs_keep_their_outer_white_space() -> None:
    """Inputs and the older prompt get LF, and strict gives the very same document."""
    document: Document = {"input": [" a\r\n", "b"], "prompt": "c\r", "model": "m"}

    assert {"input": [" a\n", "b"], "prompt": "c\n", "model": "m"} == OLLAMA_EMBEDDINGS.normalize(document, "text")
    assert document is OLLAMA_EMBEDDINGS.normalize(document, "strict")


@given(st.dictionaries(st.sampled_from(["embeddings", "embedding", "model", "prompt_eval_count", "input"]), ODD))
def test_odd_content_never_raises(document: Document) -> None:
    """Whatever the members hold, there is an outcome, and what is sound is whole."""
    outcome = OLLAMA_EMBEDDINGS.read_body(document)

    assert outcome.whole or not outcome.sound
    assert document == OLLAMA_EMBEDDINGS.normalize(document, "strict")
    assert OLLAMA_EMBEDDINGS.bypass(document) in ("", "model-load")
