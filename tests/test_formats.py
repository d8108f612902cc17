"""A path is recognised by its end, as whole segments, and no format is upset by odd content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.framing import Event
from coo_middleware.formats import FORMATS, recognise
from tests.proof import choose

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.format import Format

# The names that readers look for, so that what is drawn gets past the first of their questions.
WORDS = (
    "answers arguments audio background choices content content_block custom data delta document embedding error "
    "finish_reason function function_call id index input input_tokens_details instructions item iterations markdown "
    "mcp_servers message messages model output output_tokens_details pages prompt prompt_tokens prompt_tokens_details "
    "refusal response role stop_reason status store stream system text tool_calls tools type usage x_groq"
)
KIND_WORDS = (
    "message_start message_delta message_stop content_block_start content_block_delta text tool_use function_call "
    "message output_text refusal response.completed response.failed response.output_item.done error thread.run.done "
    "[DONE] stop completed user assistant {}"
)
NAMES, KINDS = WORDS.split(), KIND_WORDS.split()

LEAVES = st.none() | st.booleans() | st.integers(-2, 5) | st.floats(allow_nan=False) | st.sampled_from(KINDS)
VALUES: st.SearchStrategy[Json] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)
DOCUMENTS: st.SearchStrategy[Document] = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)


def name_of(fmt: Format) -> str:
    return fmt.name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/chat/completions", "chat"),
        ("/v1beta/openai/chat/completions", "chat"),
        ("/v1/completions", "completions"),
        ("/completions", "completions"),
        ("/v1/xchat/completions", "completions"),
        ("/v1/fim/completions", "fim"),
        ("/v1/agents/completions", "agents"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/responses", "responses"),
        ("/proxy/x/openai/v1/responses", "responses"),
        ("/v1/messages", "messages"),
        ("/anthropic/v1/messages", "messages"),
        ("/v1/threads/thread_1/messages", "assistants"),
        ("/v1/messages/count_tokens", "count_tokens"),
        ("/v1/messages/batches", "message_batches"),
    ],
)
def test_a_format_is_known_under_any_mount(path: str, name: str) -> None:
    """What stands before the format's own segments does not count."""
    route = recognise(path)

    assert route is not None
    assert name == route.format.name


@pytest.mark.parametrize(
    ("path", "provider", "model", "stream"),
    [
        ("/v1/chat/completions", "openai", "", None),
        ("/openai/deployments/gpt-4o/chat/completions", "azure.ai.openai", "gpt-4o", None),
        ("/proxy/openai/deployments/d/completions", "azure.ai.openai", "d", None),
        ("/openai/deployments/d/embeddings", "azure.ai.openai", "d", None),
        ("/openai/deployments//chat/completions", None, "", None),
        ("/models/chat/completions", "azure.ai.inference", "", None),
        ("/v1beta/openai/chat/completions", "gcp.gemini", "", None),
        ("/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "gcp.vertex_ai", "", None),
        ("/v1/projects/p/publishers/anthropic/models/claude@1:rawPredict", "gcp.vertex_ai", "claude@1", None),
        ("/v1/projects/p/publishers/anthropic/models/claude@1:streamRawPredict", "gcp.vertex_ai", "claude@1", True),
        ("/v1/projects/p/publishers/other/models/m:rawPredict", None, "", None),
        ("/v1/fim/completions", "mistral_ai", "", None),
    ],
)
def test_a_path_tells_provider_model_and_stream(
    path: str, provider: str | None, model: str, stream: bool | None
) -> None:
    """A path that belongs to one provider says so, and names the model or the stream where the document does not."""
    route = recognise(path)

    assert provider == (route and route.provider)
    assert (model, stream) == ((route.model, route.stream) if route else ("", None))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "completions",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/chatcmpl-1",
        "/v1/xcompletions",
        "/messages",
        "/xv1/messages",
        "/v1/responses/resp_1",
        "/v1/Embeddings",
        "/v1/models",
        "/files",
        "/threads/thread_1/messages",
    ],
)
def test_other_paths_speak_no_format(path: str) -> None:
    """A neighbour of a format's path, or another spelling of it, is not that format."""
    assert recognise(path) is None


def test_every_format_is_found_by_its_endpoints() -> None:
    """The endpoints that a format names are those by which it is recognised, with what they say; names are unique."""
    for fmt in FORMATS:
        for endpoint in fmt.endpoints:
            route = recognise("/mount" + endpoint.tail.replace("*", "x_1").replace("{model}", "m"))
            assert route is not None
            assert fmt is route.format
            assert (endpoint.provider or fmt.provider, endpoint.stream) == (route.provider, route.stream)
            assert ("m" if "{model}" in endpoint.tail else "", endpoint.bypass) == (route.model, route.bypass)
    assert len(FORMATS) == len({fmt.name for fmt in FORMATS})


@pytest.mark.parametrize("fmt", FORMATS, ids=name_of)
@given(pieces=st.lists(VALUES, max_size=4), names=st.lists(st.sampled_from(["", *KINDS]), min_size=4, max_size=4))
@settings(max_examples=choose(40, 4000))
def test_readers_never_raise(fmt: Format, pieces: list[Json], names: list[str]) -> None:
    """An answer of any content, in any shape, is judged and never refused."""
    reader = fmt.read_stream()
    for name, piece in zip(names, pieces, strict=False):
        reader.feed(Event(b"", name, json.dumps(piece)))
        reader.outcome()
    documents = [piece for piece in pieces if isinstance(piece, dict)]
    for document in documents:
        fmt.read_body(document)
    if fmt.read_list is not None and documents:
        fmt.read_list(documents)


@pytest.mark.parametrize("fmt", FORMATS, ids=name_of)
@given(document=DOCUMENTS)
@settings(max_examples=choose(40, 4000))
def test_requests_of_any_content_are_planned(fmt: Format, document: Document) -> None:
    """A request of any content has a reason to bypass or none, and normalizing it twice is normalizing it once."""
    assert isinstance(fmt.bypass(document), str)
    assert document is fmt.normalize(document, "strict")
    for preset in ("text", "loose"):
        once = fmt.normalize(document, preset)
        assert once == fmt.normalize(once, preset)
