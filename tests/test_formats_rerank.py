"""Reranking in the dialects of several vendors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.exchange import Exchange
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.core.request import Headers
from coo_middleware.formats import recognise
from coo_middleware.formats.rerank import RERANK, read_ranks, read_rerank_fields

MEMBERS = st.sampled_from(("results", "data", "score", "relevance_score", "meta", "usage", "message", "query", "model"))
LEAVES = st.none() | st.booleans() | st.integers(-1, 9) | st.floats(allow_nan=False) | st.text(max_size=3)
ODD: st.SearchStrategy[Json] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(MEMBERS, inner, max_size=4), max_leaves=8
)
RANKED: Document = {"index": 0, "relevance_score": 0.98}


@pytest.mark.parametrize(
    ("document", "usage", "model"),
    [
        ({"id": "1", "results": [RANKED], "meta": {"billed_units": {"search_units": 1}}}, None, ""),
        (
            {"model": "jina", "results": [RANKED], "usage": {"total_tokens": 815, "prompt_tokens": 815}},
            Usage(815, 0),
            "jina",
        ),
        (
            {"object": "list", "data": [RANKED], "model": "rerank-2.5", "usage": {"total_tokens": 26}},
            Usage(26, 0),
            "rerank-2.5",
        ),
        ({"id": "1", "model": "bge", "results": [RANKED], "usage": {"total_tokens": 56}}, Usage(56, 0), "bge"),
        (
            {"model": "cohere/rerank-v3.5", "results": [RANKED], "usage": {"search_units": 1, "total_tokens": 150}},
            Usage(150, 0),
            "cohere/rerank-v3.5",
        ),
        ({"results": [RANKED], "meta": {"tokens": {"input_tokens": 9, "output_tokens": 0}}}, Usage(9, 0), ""),
        ({"results": [{"index": 0, "relevance_score": 0}]}, None, ""),
    ],
    ids=["cohere", "jina", "voyage", "vllm", "openrouter", "tokens", "bare"],
)
def test_every_dialect_is_read(document: Document, usage: Usage | None, model: str) -> None:
    """Results are `results` or `data`; tokens are told in three places, and search units are none."""
    assert Outcome(True, usage, (), error=False, sound=True, model=model) == RERANK.read_body(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"results": []}, UNREADABLE),
        ({"results": [1]}, UNREADABLE),
        ({}, UNREADABLE),
        ({"results": [RANKED, {"index": 1}]}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"message": "invalid api token"}, Outcome(False, None, (), error=True, sound=False, model="")),
        ({"error": "overloaded"}, Outcome(False, None, (), error=True, sound=False, model="")),
        ({"results": [RANKED], "message": "m"}, Outcome(True, None, (), error=False, sound=True, model="")),
    ],
)
def test_what_is_missing_is_told(document: Document, expected: Outcome) -> None:
    """Without results an answer is not whole, and without a score for each of them it is not sound."""
    assert expected == RERANK.read_body(document)


@pytest.mark.parametrize(
    ("headers", "usage"),
    [
        (((b"X-Compute-Tokens", b"41"),), Usage(41, 0)),
        (((b"x-compute-tokens", b"\xff"),), None),
        (((b"x-compute-characters", b"41"),), None),
        ((), None),
    ],
)
def test_a_field_tells_usage(headers: Headers, usage: Usage | None) -> None:
    """Text Embeddings Inference counts its tokens in the header section."""
    assert usage == read_rerank_fields(headers)


def test_a_list_is_the_results_themselves() -> None:
    """The answer of Text Embeddings Inference is a body that is a list, and its usage stands in a field."""
    exchange = Exchange(RERANK, 1 << 20)
    exchange.start(200, ((b"content-type", b"application/json"), (b"x-compute-tokens", b"41")))
    exchange.add(b'[{"index":1,"score":0.99},{"index":0,"score":-0.1,"text":"a"}]', more=False)
    answer = exchange.answer()

    assert "body" == answer.form
    assert Outcome(True, Usage(41, 0), (), error=False, sound=True, model="") == answer.outcome
    assert not read_ranks([{"index": 1}]).sound


def test_a_stream_of_results_is_never_whole() -> None:
    """No vendor streams results, so nothing is learned from such a stream."""
    reader = RERANK.read_stream()
    reader.feed(Event(b"x", "", '{"results":[{"relevance_score":1}]}'))

    assert UNREADABLE == reader.outcome()


def test_only_the_query_is_normalized() -> None:
    """Its outer white space counts, and documents keep their bytes, for the answer may repeat them."""
    document: Document = {"query": " a\r\n", "documents": ["b\r\n"]}

    assert {"query": " a\n", "documents": ["b\r\n"]} == RERANK.normalize(document, "text")
    assert document is RERANK.normalize(document, "strict")
    other: Document = {"texts": ["a"]}
    assert other is RERANK.normalize(other, "text")
    assert "" == RERANK.bypass(document)


@given(st.dictionaries(MEMBERS, ODD))
def test_odd_documents_never_raise(document: Document) -> None:
    """Any document has an outcome, and without results it is not whole."""
    outcome = RERANK.read_body(document)

    assert not outcome.whole or document.keys() & {"results", "data"}
    assert RERANK.normalize(document, "loose") == RERANK.normalize(RERANK.normalize(document, "loose"), "loose")


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank", "/api/v1/rerank", "/jina/v1/rerank"])
def test_all_rerank_paths_are_one_format(path: str) -> None:
    """The path says nothing of the vendor, and so it is Cohere's, who began it."""
    route = recognise(path)

    assert route is not None
    assert ("rerank", "cohere", False) == (route.format.name, route.provider, route.stream)
    assert recognise(f"{path}er") is None
