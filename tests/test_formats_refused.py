"""What is never cached: each endpoint has its reason, and its usage is counted all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats import recognise
from coo_middleware.formats.refused import REFUSED

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json

IMAGES = next(fmt for fmt in REFUSED if fmt.name == "images")


def read(*frames: bytes) -> Outcome:
    reader = IMAGES.read_stream()
    for event in SSEDecoder(1 << 20).feed(b"".join(frames)):
        reader.feed(event)
    return reader.outcome()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/v1/files", "upload"),
        ("/openai/files", "upload"),
        ("/openai/v1/uploads/u_1/parts", "upload"),
        ("/v1/uploads/u_1/complete", "upload"),
        ("/v1/batches", "batch"),
        ("/v1/batches/b_1/cancel", "batch"),
        ("/v1/messages/batches", "batch"),
        ("/v1/messages/batches/b_1/cancel", "batch"),
        ("/v1/realtime/sessions", "realtime"),
        ("/v1/realtime/calls/c_1/accept", "realtime"),
        ("/v1/threads", "stateful"),
        ("/v1/threads/t_1/runs", "stateful"),
        ("/openai/threads/t_1/runs/r_1/submit_tool_outputs", "stateful"),
        ("/v1/assistants", "stateful"),
        ("/v1/responses/resp_1/cancel", "stateful"),
        ("/v1/responses/compact", "stateful"),
        ("/v1/conversations", "stateful"),
        ("/v1/conversations/c_1/restart", "stateful"),
        ("/v1/containers/c_1/files", "container"),
        ("/v1/vector_stores/v_1/search", "stateful"),
        ("/v1/fine_tuning/jobs", "fine-tuning"),
        ("/v1/evals/e_1/runs", "stateful"),
        ("/v1/skills", "stateful"),
        ("/v1/images/generations", "image"),
        ("/openai/deployments/d/images/generations", "image"),
        ("/v1/images/edits", "image"),
        ("/v1/audio/speech", "audio"),
        ("/openai/deployments/d/audio/transcriptions", "audio"),
        ("/v1/audio/translations", "audio"),
        ("/v1/videos", "video"),
        ("/v1/messages/count_tokens", "count"),
        ("/v1/responses/input_tokens", "count"),
        ("/v1/projects/p/publishers/anthropic/models/count-tokens:rawPredict", "count"),
    ],
)
def test_each_endpoint_has_its_reason(path: str, reason: str) -> None:
    """The path alone says that a call is never cached, and why; the format says the same of every document."""
    route = recognise(path)

    assert route is not None
    assert reason == route.bypass
    assert reason == route.format.bypass({})


@pytest.mark.parametrize(
    "path", ["/files", "/api/files", "/threads/t_1/runs", "/images/generations", "/v1/assistants/asst_1", "/v1/models"]
)
def test_an_application_s_own_paths_are_not_touched(path: str) -> None:
    """What does not stand under a version or under `/openai` is nobody's but the application's."""
    assert recognise(path) is None


def test_a_deployment_is_azure_s() -> None:
    """Pictures and sound are made by deployments as well, and a deployment is the model."""
    route = recognise("/openai/deployments/d/images/generations")

    assert route is not None
    assert ("azure.ai.openai", "d") == (route.provider, route.model)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 50, "output_tokens": 4160, "input_tokens_details": {"text_tokens": 50}}, Usage(50, 4160)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}, Usage(5, 3)),
        ({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2}}, Usage(5, None, 2)),
        ({"type": "duration", "seconds": 9}, None),
        (None, None),
        ("x", None),
    ],
)
def test_usage_is_found_in_an_answer(usage: Json, expected: Usage | None) -> None:
    """Usage is told in either vocabulary; such an answer is never whole and gives nothing, so it is never stored."""
    document: Document = {"data": [{"b64_json": "AA=="}], "model": "m", "usage": usage}

    assert Outcome(False, expected, (), error=False, sound=False, model="m") == IMAGES.read_body(document)


def test_an_error_is_seen() -> None:
    """An answer that is an error is one."""
    assert IMAGES.read_body({"error": {"message": "x"}}).error
    assert not IMAGES.read_body({"error": None}).error


@pytest.mark.parametrize(
    ("frames", "whole", "error", "usage"),
    [
        (
            [b'data: {"type":"image_generation.completed","usage":{"input_tokens":1,"output_tokens":2}}\n\n'],
            True,
            False,
            Usage(1, 2),
        ),
        ([b'event: speech.audio.done\ndata: {"usage":{"input_tokens":1}}\n\n'], True, False, Usage(1, None)),
        ([b'event: thread.run.completed\ndata: {"usage":{"prompt_tokens":3}}\n\n'], True, False, Usage(3, None)),
        ([b"event: done\ndata: [DONE]\n\n", b": bye\n\n"], True, False, None),
        ([b"data: [DONE]\n\n"], True, False, None),
        ([b'data: {"type":"image_generation.partial_image"}\n\n'], False, False, None),
        ([b"event: done\ndata: {}\n\n", b"data: {}\n\n"], False, False, None),
        ([b"data: {broken\n\n", b"data: [DONE]\n\n"], False, False, None),
        ([b"event: thread.run.failed\ndata: {}\n\n", b"event: done\ndata: [DONE]\n\n"], True, True, None),
        ([b'event: error\ndata: {"message":"x"}\n\n'], False, True, None),
        ([], False, False, None),
    ],
)
def test_a_stream_tells_usage_errors_and_its_end(
    frames: list[bytes], whole: bool, error: bool, usage: Usage | None
) -> None:
    """A stream ends with `[DONE]`, or with an event that is done or completed; the last usage counts."""
    outcome = read(*frames)

    assert (whole, error, usage) == (outcome.whole, outcome.error, outcome.usage)
    assert not outcome.sound


def test_nothing_is_left_to_the_key() -> None:
    """No document is normalized, none needs a model, and the errors are in the provider's own shape."""
    document: Document = {"prompt": " a\r\n"}

    for fmt in REFUSED:
        assert document is fmt.normalize(document, "loose")
        assert not fmt.names_model
        assert (b'"type":"error"' in fmt.error_body(429, "x")) == (fmt.provider == "anthropic")
