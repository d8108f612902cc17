"""Amazon Bedrock's InvokeModel: vendors in frames, guardrails, and what Bedrock meters."""

import json
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.event_stream import EventStreamDecoder
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats import recognise
from coo_middleware.formats.invoke import INVOKE
from tests.event_frames import chunk, event, failure
from tests.proof import choose


def read(*frames: bytes) -> Outcome:
    reader = INVOKE.read_stream()
    for each in EventStreamDecoder(1 << 20).feed(b"".join(frames)):
        reader.feed(each)
    return reader.outcome()


def metered(**counts: Json) -> dict[str, Json]:
    return {"amazon-bedrock-invocationMetrics": counts}


def guarded(action: Json) -> dict[str, Json]:
    return {"amazon-bedrock-guardrailAction": action, "amazon-bedrock-trace": {"guardrail": {}}}


START = chunk({"type": "message_start", "message": {"model": "m", "content": [], "usage": {"input_tokens": 702}}})
TEXT = chunk({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}})
DELTA = chunk({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 130}})
STOP = chunk({"type": "message_stop", **metered(inputTokenCount=702, outputTokenCount=98)})
METERED = chunk(metered(inputTokenCount=5, outputTokenCount=2))
COHERE = chunk({"is_finished": False, "text": "a"}) + chunk({"is_finished": True, "finish_reason": "COMPLETE"})
BLOCKED: Document = {"outputText": "Input blocked", "inputTextTokenCount": 6, "totalOutputTextTokenCount": 3}
TITAN: Document = {"results": [{"outputText": "a", "completionReason": "FINISH"}]}


@pytest.mark.parametrize(
    ("path", "model", "stream", "bypass"),
    [
        ("/model/anthropic.claude-v2:1/invoke", "anthropic.claude-v2:1", False, ""),
        ("/x/model/anthropic.claude-v2:1/invoke-with-response-stream", "anthropic.claude-v2:1", True, ""),
        ("/model/amazon.nova-sonic-v1:0/invoke-with-bidirectional-stream", "amazon.nova-sonic-v1:0", True, "realtime"),
        ("/model/anthropic.claude-v2:1/count-tokens", "anthropic.claude-v2:1", False, "not-a-generation"),
        ("/model/arn:aws:bedrock:us-east-1:1:prompt/ABC:1/invoke", "", False, "stateful"),
        ("/model/arn:aws:bedrock:us-east-1:1:prompt/ABC:1/invoke-with-response-stream", "", True, "stateful"),
        ("/guardrail/g-1/version/DRAFT/apply", "", False, "not-a-generation"),
        ("/guardrail-checks/invoke", "", False, "not-a-generation"),
        ("/async-invoke", "", False, "background"),
    ],
)
def test_the_path_tells_the_operation(path: str, model: str, stream: bool, bypass: str) -> None:
    """The path names the model, says whether it streams, and which operations are none that could be repeated."""
    route = recognise(path)

    assert route is not None
    assert (INVOKE, "aws.bedrock", model, stream, bypass) == (
        route.format,
        route.provider,
        route.model,
        route.stream,
        route.bypass,
    )


def test_the_models_own_usage_is_preferred() -> None:
    """What the model tells counts, though Bedrock meters less."""
    expected = Outcome(True, Usage(702, 130), ("end_turn",), error=False, sound=True, model="m")

    assert expected == read(START, TEXT, DELTA, STOP)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([COHERE, METERED], Usage(5, 2)),
        ([COHERE], None),
        (
            [COHERE, chunk(metered(inputTokenCount=5, outputTokenCount=2, cacheReadInputTokenCount=7))],
            Usage(12, 2, cache_read_tokens=7),
        ),
        ([START, METERED], Usage(702, 2)),
        ([chunk({"generation": "a", "generation_token_count": 9}), METERED], Usage(5, 9)),
        ([chunk({"generation": "a", "prompt_token_count": 9}), METERED], Usage(9, 2)),
        ([chunk({"generation": "a", "prompt_token_count": 9})], Usage(9, None)),
        ([chunk({"unheard": 1, **metered(inputTokenCount=5, outputTokenCount=2)})], Usage(5, 2)),
        ([chunk(metered(inputTokenCount=-5, outputTokenCount=None))], None),
    ],
)
def test_bedrocks_metrics_fill_in(frames: list[bytes], expected: Usage | None) -> None:
    """Of what the model does not tell Bedrock's count is taken, also for a vendor who is not known."""
    assert expected == read(*frames).usage


@pytest.mark.parametrize(
    ("frames", "whole"),
    [
        ([START, TEXT, DELTA, STOP], True),
        ([START, TEXT, DELTA, STOP, METERED], True),
        ([COHERE, METERED], True),
        ([METERED, COHERE], True),
        ([], False),
        ([METERED], False),
        ([START, TEXT, DELTA], False),
        ([START, TEXT, DELTA, STOP, STOP], False),
        ([chunk({"unheard": 1}), COHERE], False),
        ([COHERE, chunk("[1]")], False),
        ([COHERE, chunk("{")], False),
        ([COHERE, event("chunk", {})], False),
        ([COHERE, event("chunk", {"bytes": "e30"})], False),
        ([COHERE, event("chunk", {"bytes": "é"})], False),
        ([COHERE, event("chunk", {"bytes": None})], False),
        ([COHERE, event("chunk", {"bytes": b64encode(b"\xff").decode()})], False),
        ([COHERE, event("chunk", [])], False),
        ([COHERE, event("unheard", {"a": 1})], False),
    ],
)
def test_a_stream_is_whole_as_its_vendors(frames: list[bytes], whole: bool) -> None:
    """It ends as the vendor's own does; what is not understood, and a vendor who is not known, leave it open."""
    assert whole == read(*frames).whole


@pytest.mark.parametrize(
    ("action", "reasons"),
    [
        ("INTERVENED", ("guardrail INTERVENED",)),
        ("unheard", ("guardrail unheard",)),
        (1, ("guardrail",)),
        ({}, ("guardrail",)),
        ("NONE", ()),
        (None, ()),
    ],
)
def test_a_guardrail_is_a_finish_reason(action: Json, reasons: tuple[str, ...]) -> None:
    """A guardrail that acted ends an answer and is told beside the vendor's own reason, in a stream as in a body."""
    streamed = read(chunk({**BLOCKED, **guarded(action)}))
    body = INVOKE.read_body({**TITAN, **guarded(action)})

    assert (bool(reasons), reasons, Usage(6, 3)) == (streamed.whole, streamed.finish_reasons, streamed.usage)
    assert (True, ("FINISH", *reasons)) == (body.whole, body.finish_reasons)


def test_a_guardrail_ends_a_stream_where_it_is_told_last() -> None:
    """Text behind what a guardrail said leaves the stream open, Bedrock's metrics do not; the reason stays."""
    blocked = chunk({**BLOCKED, **guarded("INTERVENED")})
    text = chunk({"outputText": "a"})

    assert [True, False] == [read(blocked, METERED).whole, read(blocked, text).whole]
    assert ("guardrail INTERVENED",) == read(blocked, text).finish_reasons
    assert read(text, chunk({"outputText": "", "completionReason": "FINISH"}), chunk(guarded("INTERVENED"))).whole
    assert not read(chunk({"unheard": 1, **guarded("INTERVENED")})).whole
    assert not INVOKE.read_body({"unheard": 1, **guarded("INTERVENED")}).whole
    assert INVOKE.read_body({"outputText": "Input blocked", **guarded("INTERVENED")}).whole


@pytest.mark.parametrize("kind", ["exception", "error"])
def test_errors_within_a_stream_are_told(kind: str) -> None:
    """A frame of a failure is an error wherever it comes, and so is a vendor's own."""
    assert read(START, TEXT, failure(kind, {"message": "slow down"})).error
    assert read(failure(kind, {"message": "slow down"})).error
    assert read(START, chunk({"type": "error", "error": {"type": "overloaded_error"}})).error
    assert not read(START, TEXT, DELTA, STOP).error


@pytest.mark.parametrize("body", [{}, {"images": ["eA=="], "error": None}, {"unheard": 1}])
def test_strangers_are_not_read(body: Document) -> None:
    """The body of a vendor who is not known is not whole, so it is never stored, and no error either."""
    assert UNREADABLE == INVOKE.read_body(body)


@pytest.mark.parametrize("body", [{"message": "no"}, {"__type": "x"}, {"error": "x"}, {**TITAN, "error": "x"}])
def test_errors_within_a_body_are_told(body: Document) -> None:
    """A body that tells of a failure as AWS or as a vendor does is an error."""
    assert INVOKE.read_body(body).error


S3: Document = {"source": {"s3Location": {"uri": "s3://bucket/key"}}}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"prompt": "a", "max_gen_len": 5}, ""),
        ({"inputText": "a"}, ""),
        ({"anthropic_version": "bedrock-2023-05-31", "tools": [{"name": "f"}, {"type": "custom"}]}, ""),
        ({"anthropic_version": "bedrock-2023-05-31", "tools": [{"type": "bash_20250124"}]}, ""),
        ({"anthropic_version": "bedrock-2023-05-31", "tools": [{"type": "web_search_20250305"}]}, "server-tool"),
        ({"anthropic_version": "bedrock-2023-05-31", "container": "c"}, "stateful"),
        ({"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function"}]}, ""),
        ({"messages": [], "tools": [{"type": "web_search"}]}, "server-tool"),
        ({"schemaVersion": "messages-v1", "toolConfig": {"tools": [{"toolSpec": {}}]}}, ""),
        ({"schemaVersion": "messages-v1", "toolConfig": {"tools": [{"systemTool": {}}]}}, "server-tool"),
        ({"messages": [{"role": "user", "content": [{"video": S3}]}]}, "file"),
    ],
)
def test_what_the_provider_keeps_or_runs_bypasses(document: Document, reason: str) -> None:
    """The rules of Anthropic's requests hold for those that say so, those of Converse and of chat for all others."""
    assert reason == INVOKE.bypass(document)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"inputText": " a\r\n"}, {"inputText": " a\n"}),
        ({"prompt": " e\u0301 "}, {"prompt": " \xe9 "}),
        ({"texts": [" a\r"], "input_type": "x"}, {"texts": [" a\n"], "input_type": "x"}),
        (
            {"system": " s ", "messages": [{"role": "user", "content": [{"type": "text", "text": " a "}]}]},
            {"system": "s", "messages": [{"role": "user", "content": "a"}]},
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": " a "}]}]},
            {"messages": [{"role": "user", "content": "a"}]},
        ),
    ],
)
def test_prompts_are_normalized(document: Document, expected: Document) -> None:
    """Messages are prose in every vendor's shape; of raw prompts and inputs the outer white space counts."""
    assert expected == INVOKE.normalize(document, "text")
    assert document is INVOKE.normalize(document, "strict")


MARKS = [
    *("type", "choices", "completion", "output", "messageStart", "messageStop", "metadata", "results", "outputText"),
    *("generation", "outputs", "generations", "text", "finish_reason", "stop_reason", "completions", "embedding"),
    *("amazon-bedrock-guardrailAction", "amazon-bedrock-invocationMetrics", "inputTokenCount", "stopReason", "index"),
    *("messages", "tools", "anthropic_version", "prompt", "content", "message", "usage", "error"),
]
SCALARS: st.SearchStrategy[Json] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "a", "message", "message_start"])
)
JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(MARKS), inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=choose(100, 10_000))
@given(st.lists(JSON, max_size=4), st.dictionaries(st.sampled_from(MARKS), JSON, max_size=5))
def test_odd_content_raises_nothing(pieces: list[Json], document: Document) -> None:
    """Whatever the chunks, the body or the request hold, they are judged."""
    reader = INVOKE.read_stream()
    for piece in [*pieces, document]:
        carried = b64encode(json.dumps(piece).encode()).decode()
        reader.feed(Event(b"", "chunk", json.dumps({"bytes": carried})))
        reader.feed(Event(b"", "chunk", json.dumps(piece)))

    assert not reader.outcome().whole
    assert INVOKE.read_body(document).whole in (True, False)
    assert INVOKE.bypass(document) in ("", "stateful", "server-tool", "file", "stored-completion")
    once = INVOKE.normalize(document, "text")
    assert repr(once) == repr(INVOKE.normalize(once, "text"))
