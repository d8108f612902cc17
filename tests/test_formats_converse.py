"""Amazon Bedrock's Converse: frames, blocks, inclusive usage, what the provider keeps or runs."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.event_stream import EventStreamDecoder
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.formats import recognise
from coo_middleware.formats.converse import CONVERSE
from tests.event_frames import event, failure
from tests.proof import choose


def read(*frames: bytes) -> Outcome:
    reader = CONVERSE.read_stream()
    for each in EventStreamDecoder(1 << 20).feed(b"".join(frames)):
        reader.feed(each)
    return reader.outcome()


def delta(index: Json, **part: Json) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": part, "p": "abc"})


def begin(index: Json, **part: Json) -> bytes:
    return event("contentBlockStart", {"contentBlockIndex": index, "start": part})


def piece(text: Json) -> dict[str, Json]:
    return {"toolUse": {"input": text}}


def metadata(**usage: Json) -> bytes:
    return event("metadata", {"usage": usage, "metrics": {"latencyMs": 5}})


def body(*content: Json, **members: Json) -> Document:
    message: Document = {"role": "assistant", "content": [*content]}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": {"inputTokens": 5}, **members}


START = event("messageStart", {"role": "assistant", "p": "a"})
TEXT = delta(0, text="a")
BLOCK = TEXT + event("contentBlockStop", {"contentBlockIndex": 0})
CALL = begin(0, toolUse={"name": "f", "toolUseId": "t"})
STOP = event("messageStop", {"stopReason": "end_turn"})
TOLD = metadata(inputTokens=5, outputTokens=2, totalTokens=7)


@pytest.mark.parametrize(
    ("path", "model", "stream", "bypass"),
    [
        ("/model/us.amazon.nova-micro-v1:0/converse", "us.amazon.nova-micro-v1:0", False, ""),
        ("/bedrock/model/us.amazon.nova-micro-v1:0/converse-stream", "us.amazon.nova-micro-v1:0", True, ""),
        (
            "/model/arn:aws:bedrock:us-east-1:1:inference-profile/us.x/converse",
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.x",
            False,
            "",
        ),
        ("/model/arn:aws:bedrock:us-east-1:1:prompt/ABC:1/converse", "", False, "stateful"),
        ("/model/arn:aws:bedrock:us-east-1:1:prompt/ABC:1/converse-stream", "", True, "stateful"),
        (
            "/model/arn:aws:bedrock:us-east-1:1:default-prompt-router/x:1/converse",
            "arn:aws:bedrock:us-east-1:1:default-prompt-router/x:1",
            False,
            "",
        ),
    ],
)
def test_the_path_tells_the_model(path: str, model: str, stream: bool, bypass: str) -> None:
    """The path names the model and says whether it streams; a prompt that the provider keeps is no model."""
    route = recognise(path)

    assert route is not None
    assert (CONVERSE, "aws.bedrock", model, stream, bypass) == (
        route.format,
        route.provider,
        route.model,
        route.stream,
        route.bypass,
    )


@pytest.mark.parametrize(
    ("frames", "whole"),
    [
        ([START, BLOCK, STOP, TOLD], True),
        ([BLOCK, event("unheard", {}), STOP, TOLD], True),
        ([], False),
        ([START, BLOCK], False),
        ([START, BLOCK, STOP], False),
        ([START, BLOCK, TOLD], False),
        ([START, BLOCK, TOLD, STOP], False),
        ([START, BLOCK, STOP, BLOCK, TOLD], False),
        ([START, BLOCK, STOP, STOP, TOLD], False),
        ([START, BLOCK, STOP, TOLD, TOLD], False),
        ([START, BLOCK, STOP, TOLD, event("unheard", {})], False),
        ([START, BLOCK, event("messageStop", {"stopReason": None}), TOLD], False),
        ([START, BLOCK, event("messageStop", {}), STOP, TOLD], True),
        ([START, event("contentBlockDelta", []), BLOCK, STOP, TOLD], False),
    ],
)
def test_a_stream_is_whole_at_its_metadata(frames: list[bytes], whole: bool) -> None:
    """A stream ends with messageStop, which tells a reason, and metadata; nothing else comes between or after."""
    assert whole == read(*frames).whole


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}, Usage(5, 2)),
        (
            {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 11},
            Usage(23, 2, cache_read_tokens=7, cache_write_tokens=11),
        ),
        (
            {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokens": 7, "cacheReadInputTokenCount": 7},
            Usage(12, 2, cache_read_tokens=7),
        ),
        (
            {"inputTokens": 5, "cacheReadInputTokenCount": 7, "cacheWriteInputTokenCount": 0},
            Usage(12, None, cache_read_tokens=7, cache_write_tokens=0),
        ),
        ({"inputTokens": "5", "outputTokens": 2.0, "serverToolUsage": {}}, Usage(5, 2)),
        ({"inputTokens": -5, "outputTokens": None}, None),
        ({}, None),
    ],
)
def test_usage_counts_what_the_provider_cached(usage: Document, expected: Usage | None) -> None:
    """Input takes in cache reads and writes in both spellings, in a stream as in a body; unknown is not zero."""
    assert expected == read(START, BLOCK, STOP, metadata(**usage)).usage
    assert expected == CONVERSE.read_body(body(usage=usage)).usage


@pytest.mark.parametrize(
    ("frames", "sound"),
    [
        ([BLOCK], True),
        ([delta(0, text="")], False),
        ([delta(0, reasoningContent={"text": "hm"})], False),
        ([delta(0, citation={"title": "t"})], False),
        ([delta(0, reasoningContent={"text": "hm"}), delta(1, text="a")], True),
        ([delta(0, image={"source": {"bytes": "eA=="}})], True),
        ([CALL], True),
        ([CALL, delta(0, **piece('{"a"')), delta(0, **piece(":1}"))], True),
        ([CALL, delta(0, **piece('{"a"'))], False),
        ([CALL, delta(0, **piece([]))], False),
        ([CALL, delta(0, toolUse="{}")], False),
        ([BLOCK, delta(1, **piece("{}"))], False),
        ([BLOCK, begin(1, toolUse={"toolUseId": "t"})], False),
        ([CALL, delta(0, **piece("{}")), delta("0", **piece("{"))], False),
        ([delta(None, text="a")], True),
        ([event("contentBlockDelta", {"contentBlockIndex": 0, "delta": 1})], False),
        ([event("contentBlockDelta", {"contentBlockIndex": 0})], False),
        ([], False),
    ],
)
def test_sound_means_usable(frames: list[bytes], sound: bool) -> None:
    """There is more than thinking, and every call has a name and, put together by block, an input that parses."""
    assert sound == read(START, *frames, STOP, TOLD).sound


@pytest.mark.parametrize(
    ("content", "sound"),
    [
        ([{"text": "a"}], True),
        ([{"citationsContent": {"content": [{"text": "a"}]}}], True),
        ([{"toolUse": {"name": "f", "input": {"a": 1}}}], True),
        ([{"toolUse": {"name": "f", "input": [1]}}], False),
        ([{"text": "a"}, {"toolUse": {}}], False),
        ([{"reasoningContent": {"reasoningText": {"text": "hm"}}}], False),
        (["a"], False),
        ([], False),
    ],
)
def test_a_body_tells_all_at_once(content: list[Json], sound: bool) -> None:
    """A body is whole by its stop reason, and its calls have parsed already."""
    expected = Outcome(True, Usage(5, None), ("end_turn",), error=False, sound=sound, model="")

    assert expected == CONVERSE.read_body(body(*content))
    assert not CONVERSE.read_body(body(*content, stopReason=None)).whole


@pytest.mark.parametrize("odd", [None, 1, "a", [], {"message": 1}, {"message": {"content": 1}}])
def test_a_body_without_a_message_gives_nothing(odd: Json) -> None:
    """Other content where the message should be is nothing that could be given back."""
    assert not CONVERSE.read_body(body(output=odd)).sound


@pytest.mark.parametrize("kind", ["exception", "error"])
def test_errors_within_a_stream_are_told(kind: str) -> None:
    """A frame of a failure is an error wherever it comes, and no other frame is."""
    assert read(START, BLOCK, failure(kind, {"message": "slow down"})).error
    assert read(START, BLOCK, STOP, TOLD, failure(kind, {"message": "late"})).error
    assert not read(START, BLOCK, STOP, TOLD).error


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"message": "The request was denied"}, True),
        ({"__type": "ThrottlingException"}, True),
        ({"error": {}}, True),
        (body({"image": {"format": "png", "error": {"message": "blocked"}}}), True),
        (body({"text": "error"}), False),
    ],
)
def test_errors_within_a_body_are_told(document: Document, error: bool) -> None:
    """A body that tells of a failure as AWS does, or an image that could not be made, is an error."""
    assert error == CONVERSE.read_body(document).error


def test_a_prompt_router_tells_the_model() -> None:
    """The trace of a prompt router says which model answered; without one nothing does."""
    trace: Document = {"promptRouter": {"invokedModelId": "m"}, "guardrail": {}}

    assert "m" == CONVERSE.read_body(body({"text": "a"}, trace=trace)).model
    assert "m" == read(START, BLOCK, STOP, event("metadata", {"usage": {}, "trace": trace})).model
    assert "" == CONVERSE.read_body(body({"text": "a"}, trace={"guardrail": {}})).model


S3: Document = {"s3Location": {"uri": "s3://bucket/key"}}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, ""),
        ({"promptVariables": {}}, "stateful"),
        ({"promptVariables": None}, ""),
        ({"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}}, ""),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}, {"cachePoint": {"type": "default"}}]}}, ""),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}, {"systemTool": {"name": "x"}}]}}, "server-tool"),
        ({"toolConfig": {"tools": [{"unheard": {}}]}}, "server-tool"),
        ({"toolConfig": None}, ""),
        ({"messages": [{"content": [{"video": {"format": "mp4", "source": S3}}]}]}, "file"),
        ({"messages": [{"content": [{"text": "a"}]}, {"content": [{"document": {"source": S3}}]}]}, "file"),
        ({"messages": [{"content": [{"toolResult": {"content": [{"image": {"source": S3}}]}}]}]}, "file"),
        ({"messages": [{"content": [{"image": {"source": {"bytes": "eA==", "s3Location": None}}}]}]}, ""),
        ({"messages": [{"content": [{"searchResult": {"source": "u", "content": [{"text": "a"}]}}]}]}, ""),
        ({"messages": ["a", {"content": "a"}, {"content": ["a", {"text": "a"}]}]}, ""),
        ({"additionalModelRequestFields": {"top_k": 5}}, ""),
        ({"additionalModelRequestFields": {"tools": [{"type": "computer_20250124"}]}}, ""),
        ({"additionalModelRequestFields": {"tools": [{"type": "web_search_20250305"}]}}, "server-tool"),
        ({"additionalModelRequestFields": {"container": "c"}}, "stateful"),
        ({"additionalModelRequestFields": 1}, ""),
    ],
)
def test_what_the_provider_keeps_or_runs_bypasses(members: Document, reason: str) -> None:
    """Kept prompts, objects in S3 and tools that the provider may run bypass; null is absent."""
    assert reason == CONVERSE.bypass(members)


def test_system_and_messages_are_normalized() -> None:
    """Prose is normalized though its blocks have no type; a tool's result and a prefill's end keep their bytes."""
    result: Document = {"toolResult": {"toolUseId": "t", "content": [{"text": " a\r\n"}]}}
    guarded: Document = {"guardContent": {"text": {"text": " g "}}}
    document: Document = {
        "system": [{"text": " s\r\n"}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {"role": "user", "content": [{"text": " a\r\nb "}]},
            {"role": "user", "content": [result, guarded]},
            {"role": "assistant", "content": [{"text": " x "}]},
            "odd",
        ],
    }
    expected: Document = {
        "system": [{"type": "text", "text": "s\n"}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {"role": "user", "content": "a\nb"},
            {"role": "user", "content": [result, guarded]},
            {"role": "assistant", "content": "x"},
            "odd",
        ],
    }
    prefill: Document = {"messages": [{"role": "assistant", "content": [{"text": " x "}]}]}

    assert expected == CONVERSE.normalize(document, "text")
    assert {"messages": [{"role": "assistant", "content": " x "}]} == CONVERSE.normalize(prefill, "text")
    assert document is CONVERSE.normalize(document, "strict")
    assert {"messages": 1, "system": 1} == CONVERSE.normalize({"messages": 1, "system": 1}, "loose")
    assert {"messages": [{}]} == CONVERSE.normalize({"messages": [{}]}, "text")


NAMES = st.sampled_from(
    [
        *("contentBlockIndex", "start", "delta", "toolUse", "input", "name", "text", "stopReason"),
        *("usage", "trace", "promptRouter", "output", "message", "content", "inputTokens", "source"),
        *("s3Location", "toolConfig", "tools", "system", "messages", "role", "type"),
    ]
)
SCALARS: st.SearchStrategy[Json] = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))
JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)
EVENTS = st.builds(
    lambda name, document: Event(b"", name, json.dumps(document)),
    st.sampled_from(["messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata", "error", ""]),
    JSON,
)


@settings(max_examples=choose(100, 10_000))
@given(st.lists(EVENTS, max_size=5), st.dictionaries(NAMES, JSON, max_size=5))
def test_odd_content_raises_nothing(events: list[Event], document: Document) -> None:
    """Whatever the events, the body or the request hold, they are judged; what is whole has told its reason."""
    reader = CONVERSE.read_stream()
    for each in events:
        reader.feed(each)

    for outcome in (reader.outcome(), CONVERSE.read_body(document)):
        assert not outcome.whole or outcome.finish_reasons
    assert CONVERSE.bypass(document) in ("", "stateful", "server-tool", "file")
    once = CONVERSE.normalize(document, "text")
    assert repr(once) == repr(CONVERSE.normalize(once, "text"))
