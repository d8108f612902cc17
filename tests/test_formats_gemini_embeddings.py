"""Google's embeddings, by each of the three ways in which they are asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats import recognise
from coo_middleware.formats.gemini_embeddings import GEMINI_EMBEDDINGS

JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    (
        *("embedding", "embeddings", "predictions", "values", "statistics", "token_count", "usageMetadata"),
        *("content", "requests", "instances", "parts", "text", "error"),
    )
)
ODD = st.recursive(JSON, lambda children: st.lists(children, max_size=2) | st.dictionaries(MEMBERS, children))

VECTOR: Document = {"values": [0.1, 0.2]}


@pytest.mark.parametrize(
    ("path", "provider", "model"),
    [
        ("/v1beta/models/gemini-embedding-001:embedContent", "gcp.gemini", "gemini-embedding-001"),
        ("/v1/models/gemini-embedding-001:batchEmbedContents", "gcp.gemini", "gemini-embedding-001"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:embedContent", "gcp.vertex_ai", "m"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:batchEmbedContents", "gcp.vertex_ai", "m"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:predict", "gcp.vertex_ai", "m"),
    ],
)
def test_the_path_tells_provider_and_model(path: str, provider: str, model: str) -> None:
    """The path names the model, and embeddings never stream."""
    route = recognise(path)

    assert route is not None
    assert (GEMINI_EMBEDDINGS, provider, model, False) == (route.format, route.provider, route.model, route.stream)


def test_a_model_of_ones_own_is_not_understood() -> None:
    """What a custom model predicts behind an endpoint is anything."""
    assert recognise("/v1/projects/p/locations/l/endpoints/123:predict") is None


def counted(count: Json, name: str = "token_count") -> Document:
    return {**VECTOR, "statistics": {name: count, "truncated": False}}


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"embedding": VECTOR}, None),
        ({"embeddings": [VECTOR, VECTOR]}, None),
        ({"embedding": VECTOR, "usageMetadata": {"promptTokenCount": 4}}, Usage(4, 0)),
        (
            {
                "embedding": VECTOR,
                "usageMetadata": {
                    "promptTokenCount": 4,
                    "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
                },
            },
            Usage(4, 0, input_audio_tokens=3),
        ),
        ({"embeddings": [counted(3, "tokenCount")]}, Usage(3, 0)),
        ({"predictions": [{"embeddings": counted(3)}, {"embeddings": counted(4.0)}]}, Usage(7, 0)),
        ({"predictions": [{"embeddings": counted(0)}]}, Usage(0, 0)),
        ({"predictions": [{"embeddings": counted(3)}, {"embeddings": counted(None)}]}, None),
        ({"predictions": [{"embeddings": counted(3)}, {"embeddings": VECTOR}]}, None),
        ({"predictions": [{"embeddings": counted(3)}], "usageMetadata": {"promptTokenCount": 5}}, Usage(5, 0)),
    ],
)
def test_an_embedding_costs_its_input(document: Document, usage: Usage | None) -> None:
    """Usage is told once or with every vector; where one is missing the sum is unknown. Nothing is generated."""
    assert Outcome(True, usage, (), error=False, sound=True, model="") == GEMINI_EMBEDDINGS.read_body(document)


@pytest.mark.parametrize(
    "document",
    [
        {"embedding": {}},
        {"embedding": None},
        {"embedding": {"values": []}},
        {"embedding": {"values": "x"}},
        {"embeddings": [VECTOR, {}]},
        {"embeddings": [VECTOR, 1]},
        {"predictions": [{"embeddings": VECTOR}, {}]},
        {"predictions": [{"embeddings": VECTOR}, 1]},
        {"predictions": [{"bytesBase64Encoded": "AA==", "mimeType": "image/png"}]},
    ],
)
def test_a_missing_vector_is_not_sound(document: Document) -> None:
    """Every vector has numbers."""
    assert Outcome(True, None, (), error=False, sound=False, model="") == GEMINI_EMBEDDINGS.read_body(document)


def test_what_has_no_vectors_is_not_whole() -> None:
    """An empty answer and an error are no embeddings, and neither is a stream of them."""
    assert UNREADABLE == GEMINI_EMBEDDINGS.read_body({})
    assert UNREADABLE == GEMINI_EMBEDDINGS.read_body({"embeddings": {"a": VECTOR}, "predictions": "x"})
    assert GEMINI_EMBEDDINGS.read_body({"error": {"code": 400}}).error
    reader = GEMINI_EMBEDDINGS.read_stream()
    reader.feed(Event(b"", "", json.dumps({"embedding": VECTOR})))
    assert UNREADABLE == reader.outcome()


FILE: Document = {"parts": [{"fileData": {"fileUri": "gs://b/a"}}]}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"content": {"parts": [{"text": "a"}]}}, ""),
        ({"content": FILE}, "file"),
        ({"requests": [{"content": {"parts": [{"text": "a"}]}}]}, ""),
        ({"requests": [{"content": {}}, {"content": FILE}]}, "file"),
        ({"requests": {"content": FILE}}, "file"),
        ({"instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}]}, ""),
        ({"instances": [{"content": "a"}, {"prompt": "a cat"}]}, "prediction"),
        ({"instances": [{"text": "a", "image": {"gcsUri": "gs://b/a"}}]}, "prediction"),
        ({"instances": {"content": "a"}}, "prediction"),
        ({"instances": ["a"]}, "prediction"),
        ({"instances": None}, "prediction"),
    ],
)
def test_only_texts_and_given_content_are_embedded_from_the_cache(document: Document, reason: str) -> None:
    """Files of the provider and predictions of any other kind bypass."""
    assert reason == GEMINI_EMBEDDINGS.bypass(document)


def test_the_edges_of_an_input_count() -> None:
    """Inputs are composed and get LF; titles, token counts and documents without an input stay."""
    raw: Document = {"parts": [{"text": " a\r\n"}]}
    read: Document = {"parts": [{"text": " a\n"}]}

    assert {"content": read} == GEMINI_EMBEDDINGS.normalize({"content": raw}, "text")
    batch: Document = {"requests": [{"content": raw, "title": " t\r\n"}, 1, {"taskType": "x"}]}
    assert {"requests": [{"content": read, "title": " t\r\n"}, 1, {"taskType": "x"}]} == GEMINI_EMBEDDINGS.normalize(
        batch, "text"
    )
    assert batch is GEMINI_EMBEDDINGS.normalize(batch, "strict")
    assert {"instances": [{"content": " a\n"}]} == GEMINI_EMBEDDINGS.normalize(
        {"instances": [{"content": " a\r\n"}]}, "text"
    )


@given(st.dictionaries(MEMBERS, ODD))
def test_odd_content_never_raises(document: Document) -> None:
    """Whatever JSON a request or an answer is made of, it gets a verdict; without vectors it is never sound."""
    assert GEMINI_EMBEDDINGS.bypass(document) in {"", "file", "prediction"}
    once = GEMINI_EMBEDDINGS.normalize(document, "loose")
    assert once == GEMINI_EMBEDDINGS.normalize(once, "loose")
    outcome = GEMINI_EMBEDDINGS.read_body(document)
    assert outcome.whole or not outcome.sound
