"""What Google serves beside generations is seen and never cached."""

import pytest

from coo_middleware.core.document import Document
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE
from coo_middleware.formats import recognise
from coo_middleware.formats.gemini_refused import GEMINI_REFUSED


@pytest.mark.parametrize(
    ("path", "operation", "provider", "model", "reason"),
    [
        ("/v1beta/models/m:countTokens", "count_tokens", "gcp.gemini", "m", "count"),
        ("/v1beta/tunedModels/m:countTokens", "count_tokens", "gcp.gemini", "m", "count"),
        ("/v1/publishers/google/models/m:countTokens", "count_tokens", "gcp.vertex_ai", "m", "count"),
        ("/v1/publishers/google/models/m:computeTokens", "count_tokens", "gcp.vertex_ai", "m", "count"),
        ("/v1/projects/p/locations/l/endpoints/1:countTokens", "count_tokens", "gcp.vertex_ai", "1", "count"),
        ("/v1beta/models/m:batchGenerateContent", "batches", "gcp.gemini", "m", "batch"),
        ("/v1beta/models/m:asyncBatchEmbedContent", "batches", "gcp.gemini", "m", "batch"),
        ("/v1beta/cachedContents", "cached_contents", "gcp.gemini", "", "stateful"),
        ("/v1/projects/p/locations/l/cachedContents", "cached_contents", "gcp.vertex_ai", "", "stateful"),
    ],
)
def test_the_path_says_why_it_is_not_cached(path: str, operation: str, provider: str, model: str, reason: str) -> None:
    """Token counts, jobs and contexts that the provider keeps bypass by their path alone."""
    route = recognise(path)

    assert route is not None
    assert (operation, provider, model, reason) == (route.format.operation, route.provider, route.model, route.bypass)
    assert reason == route.format.bypass({})


@pytest.mark.parametrize(
    "document",
    [
        {"totalTokens": 31, "cachedContentTokenCount": 4},
        {"name": "cachedContents/x", "usageMetadata": {"totalTokenCount": 31}},
        {"usageMetadata": {"promptTokenCount": 31}},
        {},
    ],
)
def test_what_is_counted_is_not_used(document: Document) -> None:
    """No tokens are spent where nothing is generated, and nothing is ever given back."""
    assert [UNREADABLE] * 3 == [spoken.read_body(document) for spoken in GEMINI_REFUSED]


def test_a_failure_is_told() -> None:
    """An error under any status is an error."""
    assert all(spoken.read_body({"error": {"code": 400}}).error for spoken in GEMINI_REFUSED)


def test_nothing_is_streamed_or_keyed() -> None:
    """There is nothing to learn from a stream, and nothing to normalize without a key."""
    document: Document = {"contents": []}
    for spoken in GEMINI_REFUSED:
        reader = spoken.read_stream()
        reader.feed(Event(b"", "", "{}"))
        assert UNREADABLE == reader.outcome()
        assert document is spoken.normalize(document, "text")
