"""Gemini's interactions: counted, and never answered from the cache."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats import recognise
from coo_middleware.formats.interactions import INTERACTIONS

JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(("interaction", "status", "model", "usage", "event_type", "error", "total_input_tokens"))
ODD = st.recursive(JSON, lambda children: st.lists(children, max_size=2) | st.dictionaries(MEMBERS, children))

DONE = b"event: done\ndata: [DONE]\n\n"


def frame(kind: str, **members: Json) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({**members, 'event_type': kind})}\n\n".encode()


def completed(status: str = "completed", **members: Json) -> bytes:
    return frame("interaction.completed", interaction={"status": status, "model": "m", **members})


CREATED = frame("interaction.created", interaction={"status": "in_progress", "model": "m"})
UPDATE = frame("interaction.status_update", interaction_id="1", status="in_progress")
STEP = frame("step.delta", index=0, delta={"type": "text", "text": "a"})
STREAM = [CREATED, UPDATE, STEP, completed(usage={"total_input_tokens": 2, "total_output_tokens": 3}), DONE]


def read(*frames: bytes) -> Outcome:
    reader = INTERACTIONS.read_stream()
    for event in SSEDecoder(1 << 20).feed(b"".join(frames)):
        reader.feed(event)
    return reader.outcome()


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        ("/v1beta/interactions", "gcp.gemini"),
        ("/v1beta1/projects/p/locations/us-central1/interactions", "gcp.vertex_ai"),
    ],
)
def test_an_interaction_is_never_cached(path: str, provider: str) -> None:
    """The provider keeps it, so the path alone says that it bypasses."""
    route = recognise(path)

    assert route is not None
    assert (INTERACTIONS, provider, "stateful") == (route.format, route.provider, route.bypass)
    assert "stateful" == INTERACTIONS.bypass({})
    document: Document = {"input": " a "}
    assert document is INTERACTIONS.normalize(document, "text")


def test_a_stream_cut_anywhere_is_not_whole() -> None:
    """It ends with its completion, which a done event may follow."""
    assert [False] * 4 + [True] * 2 == [read(*STREAM[:cut]).whole for cut in range(6)]
    assert Outcome(True, Usage(2, 3), ("completed",), error=False, sound=False, model="m") == read(*STREAM)


@pytest.mark.parametrize(
    ("frames", "whole"),
    [
        ([CREATED, completed("incomplete")], True),
        ([CREATED, completed("requires_action")], True),
        ([CREATED, completed("in_progress")], False),
        ([CREATED, completed("unheard")], False),
        ([CREATED, frame("interaction.completed", interaction=None)], False),
        ([*STREAM, *STREAM], False),
        ([*STREAM[:4], STEP], False),
        ([completed(), completed()], False),
        ([b"data: x\n\n", *STREAM], False),
    ],
)
def test_only_a_final_status_that_came_last_is_whole(frames: list[bytes], whole: bool) -> None:
    """A status that is not known may change, and nothing follows a completion."""
    assert whole == read(*frames).whole


@pytest.mark.parametrize(
    ("status", "whole", "error"),
    [("completed", True, False), ("in_progress", False, False), ("queued", False, False), ("failed", True, True)],
)
def test_a_body_tells_its_status(status: str, whole: bool, error: bool) -> None:
    """The status is the finish reason, and a failure is one under any status of HTTP."""
    body = INTERACTIONS.read_body({"status": status})

    assert (whole, error, (status,)) == (body.whole, body.error, body.finish_reasons)
    assert Outcome(False, None, (), error=True, sound=False, model="") == INTERACTIONS.read_body({"error": {"code": 1}})


def test_errors_within_a_stream_are_told() -> None:
    """An error event, or an interaction that failed, is an error."""
    assert read(CREATED, frame("error", error={"code": "service_unavailable"})).error
    assert read(CREATED, completed("failed")).error
    assert not read(*STREAM).error


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "total_tokens": 211,
                "total_input_tokens": 9,
                "total_tool_use_tokens": 4,
                "total_cached_tokens": 2,
                "total_output_tokens": 13,
                "total_thought_tokens": 189,
            },
            Usage(13, 202, cache_read_tokens=2, reasoning_tokens=189),
        ),
        ({"total_input_tokens": 9}, Usage(9, None)),
        ({"total_thought_tokens": 0}, Usage(None, 0, reasoning_tokens=0)),
        (
            {
                "total_input_tokens": 9,
                "total_output_tokens": 8,
                "input_tokens_by_modality": [{"modality": "text", "tokens": 4}, {"modality": "audio", "tokens": 5}],
                "tool_use_tokens_by_modality": [{"modality": "audio", "tokens": 1}],
                "output_tokens_by_modality": [{"modality": "audio", "tokens": 8}],
            },
            Usage(9, 8, input_audio_tokens=6, output_audio_tokens=8),
        ),
        ({"total_input_tokens": None, "total_output_tokens": -1}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
def test_usage_is_inclusive(usage: Json, expected: Usage | None) -> None:
    """What tools read is input and thoughts are output, in a body and in a stream."""
    assert expected == INTERACTIONS.read_body({"status": "completed", "usage": usage}).usage
    assert expected == read(CREATED, completed(usage=usage)).usage


@given(st.lists(ODD, max_size=4))
def test_odd_content_never_raises(values: list[Json]) -> None:
    """Whatever JSON an event or a body is made of, it is read and never reused."""
    reader = INTERACTIONS.read_stream()
    for value in values:
        reader.feed(Event(b"", "", json.dumps(value)))

    assert not reader.outcome().sound
    assert not any(INTERACTIONS.read_body(value).sound for value in values if isinstance(value, dict))
