"""Cohere's chat, version 2: named events, tool calls in pieces, two kinds of counters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.normalize import Preset
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats import recognise
from coo_middleware.formats.cohere import COHERE

PRESETS: st.SearchStrategy[Preset] = st.sampled_from(("text", "loose"))
MEMBERS = st.sampled_from(
    (
        *("type", "index", "delta", "message", "content", "text", "tool_calls", "function", "arguments"),
        *("finish_reason", "usage", "tokens", "billed_units", "input_tokens", "error", "id", "role"),
        *("message-start", "message-end", "tools", "documents", "connectors", "messages", "conversation_id"),
    )
)
LEAVES = st.none() | st.booleans() | st.integers(-1, 9) | st.floats(allow_nan=False) | st.text(max_size=3) | MEMBERS
ODD: st.SearchStrategy[Json] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(MEMBERS, inner, max_size=4), max_leaves=8
)


def frame(kind: str, **members: Json) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def piece(kind: str, index: Json = 0, **message: Json) -> bytes:
    return frame(kind, index=index, delta={"message": dict(message)})


def call(kind: str, arguments: Json, index: Json = 0, **members: Json) -> bytes:
    return piece(f"tool-call-{kind}", index, tool_calls={**members, "function": {"arguments": arguments}})


def end(reason: Json = "COMPLETE", **members: Json) -> bytes:
    return frame("message-end", delta={"finish_reason": reason, **members})


def told(**usage: Json) -> bytes:
    return end(usage=dict(usage))


def read(*frames: bytes) -> Outcome:
    reader = COHERE.read_stream()
    for event in SSEDecoder(1 << 20).feed(b"".join(frames)):
        reader.feed(event)
    return reader.outcome()


START = frame("message-start", id="1", delta={"message": {"role": "assistant", "content": [], "tool_calls": []}})
TEXT = piece("content-start", content={"type": "text", "text": ""}) + piece("content-delta", content={"text": "a"})
STOP = frame("content-end", index=0)
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("frames", "whole", "closed"),
    [
        ([START, TEXT, STOP, end(), DONE], True, True),
        ([START, TEXT, STOP, end()], True, False),
        ([START, TEXT, frame("unheard"), frame("debug", prompt="p"), end(), DONE], True, True),
        ([b": ping\n\n", START, TEXT, end(), b": ping\n\n", DONE], True, True),
        ([], False, False),
        ([START, TEXT, STOP], False, False),
        ([START, TEXT, STOP, DONE], False, True),
        ([START, TEXT, end(None), DONE], False, True),
        ([START, TEXT, end(""), DONE], False, True),
        ([START, TEXT, frame("message-end", delta=None), DONE], False, True),
        ([START, TEXT, end(), end(), DONE], False, True),
        ([START, end(), TEXT, DONE], False, True),
        ([START, TEXT, end(), DONE, frame("debug")], False, True),
        ([START, b"data: {broken\n\n", TEXT, end(), DONE], False, True),
        ([START, b"data: []\n\n", TEXT, end(), DONE], False, True),
    ],
)
def test_a_stream_is_whole_at_message_end(frames: list[bytes], whole: bool, closed: bool) -> None:
    """A stream ends with message-end and its finish reason, and nothing but `[DONE]` comes after it and closes it."""
    outcome = read(*frames)

    assert (whole, closed) == (outcome.whole, outcome.closed)


def test_a_stream_cut_anywhere_is_not_whole() -> None:
    """Only message-end makes a stream whole, and one that is fed twice is whole no more."""
    frames = [START, TEXT, STOP, end(), DONE]

    assert [False] * 4 + [True, True] == [read(*frames[:cut]).whole for cut in range(6)]
    assert not read(*frames, *frames).whole


@pytest.mark.parametrize(
    ("frames", "usage"),
    [
        (
            [
                told(
                    billed_units={"input_tokens": 7, "output_tokens": 89},
                    tokens={"input_tokens": 69.0, "output_tokens": 89.0},
                    cached_tokens=48,
                )
            ],
            Usage(69, 89, cache_read_tokens=48),
        ),
        ([told(billed_units={"input_tokens": 7, "output_tokens": 89, "search_units": 4})], Usage(7, 89)),
        ([told(tokens={"input_tokens": 69}, billed_units={"output_tokens": 89})], Usage(69, 89)),
        ([told(tokens={"input_tokens": 0, "output_tokens": 0})], Usage(0, 0)),
        ([told(tokens={"input_tokens": None, "output_tokens": "3"})], Usage(None, 3)),
        ([told(tokens={"input_tokens": -1, "output_tokens": True}, cached_tokens=1)], None),
        ([told(billed_units={"search_units": 1})], None),
        ([told(tokens=None, billed_units=[])], None),
        ([end(usage=None)], None),
        ([end()], None),
        ([TEXT], None),
    ],
)
def test_processed_tokens_go_before_billed_ones(frames: list[bytes], usage: Usage | None) -> None:
    """What was processed counts, else what was billed; what is not told is unknown and no search unit is a token."""
    assert usage == read(START, *frames).usage


@pytest.mark.parametrize(
    ("frames", "sound"),
    [
        ([TEXT], True),
        ([piece("content-start", content={"type": "text", "text": "a"})], True),
        ([piece("content-delta", content={"thinking": "hm"})], False),
        ([piece("tool-plan-delta", tool_plan="I will")], False),
        ([piece("content-delta", content="a")], False),
        ([], False),
        ([call("start", "", id="1"), call("delta", '{"a"'), call("delta", ":1}")], True),
        ([call("start", "", id="1")], True),
        ([call("start", None, id="1")], True),
        ([call("start", "{", 0), call("start", "{", 1), call("delta", "}", 1), call("delta", "}", 0)], True),
        ([call("start", "{}", "0")], True),
        ([call("start", "{", 0), call("delta", "}", 1)], False),
        ([call("start", "[]")], False),
        ([TEXT, call("start", '{"a"')], False),
        ([call("start", {"a": 1})], False),
        ([call("start", 1)], False),
        ([piece("tool-call-start", tool_calls={"id": "1"})], False),
        ([piece("tool-call-start", tool_calls="f")], False),
        ([piece("tool-call-start", tool_calls=["f"])], False),
        ([TEXT, frame("citation-start", index=0, delta={"message": {"citations": {"start": 1}}})], True),
    ],
)
def test_sound_means_usable(frames: list[bytes], sound: bool) -> None:
    """There is a text or a call, a plan or a thought alone is none, and every call's arguments parse."""
    assert sound == read(START, *frames, end()).sound


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([TEXT, end()], False),
        ([TEXT, end("MAX_TOKENS")], False),
        ([TEXT, end("ERROR")], True),
        ([TEXT, end("TIMEOUT")], True),
        ([TEXT, end("COMPLETE", error="it went wrong")], True),
        ([TEXT, end("COMPLETE", error=None)], False),
        ([b'data: {"message":"internal server error"}\n\n'], True),
        ([b"event: error\ndata: x\n\n"], True),
        ([frame("error")], True),
        ([b'data: {"error":"x"}\n\n'], True),
    ],
)
def test_errors_within_a_stream_are_told(frames: list[bytes], error: bool) -> None:
    """A finish reason, an error beside it and a frame that is but a message are errors."""
    assert error == read(START, *frames).error


@pytest.mark.parametrize("reason", ["COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL", "ERROR", "TIMEOUT", "new"])
def test_the_finish_reason_is_spelled_as_sent(reason: str) -> None:
    """Whatever Cohere says is handed on."""
    assert (reason,) == read(START, TEXT, end(reason)).finish_reasons
    assert () == read(START, TEXT).finish_reasons


def test_a_body_tells_all_at_once() -> None:
    """A body is closed, lists its contents and its calls, and its counters mean what a stream's do."""
    function: Document = {"name": "f", "arguments": '{"a":1}'}
    message: Document = {
        "role": "assistant",
        "tool_plan": "I will",
        "tool_calls": [{"id": "1", "type": "function", "function": function}, {"function": {"arguments": "{}"}}],
        "content": None,
    }
    usage: Document = {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 5, "output_tokens": 3}}
    document: Document = {"id": "1", "finish_reason": "TOOL_CALL", "message": message, "usage": usage}

    assert Outcome(True, Usage(5, 3), ("TOOL_CALL",), error=False, sound=True, model="") == COHERE.read_body(document)
    assert COHERE.read_body({**document, "message": {"content": [{"type": "text", "text": "a"}]}}).sound
    assert not COHERE.read_body({**document, "message": {"content": [{"type": "thinking", "thinking": "a"}]}}).sound
    assert not COHERE.read_body({**document, "message": {"tool_calls": [{"function": {"arguments": "{"}}]}}).sound
    assert not COHERE.read_body({**document, "message": {"tool_calls": [1]}}).sound
    assert not COHERE.read_body({**document, "finish_reason": None}).whole
    assert COHERE.read_body({**document, "finish_reason": "ERROR"}).error


def test_a_body_with_nothing_but_a_message_is_an_error() -> None:
    """Cohere's error has its text where an answer has the assistant's message."""
    assert Outcome(False, None, (), error=True, sound=False, model="") == COHERE.read_body({"message": "no"})
    assert UNREADABLE == COHERE.read_body({})


@given(st.lists(ODD, max_size=4), st.sampled_from([(), (START, TEXT, end())]))
def test_odd_events_never_raise(values: list[Json], before: tuple[bytes, ...]) -> None:
    """Whatever the events hold, and whatever is fed after them, there is an outcome, and nothing follows the end."""
    events = [f"data: {json.dumps(value)}\n\n".encode() for value in values]

    assert not read(*before, *events).whole or not before or not values


@given(st.dictionaries(MEMBERS, ODD), PRESETS)
def test_odd_documents_never_raise(document: Document, preset: Preset) -> None:
    """Any document has an outcome and a reason to bypass, or none, and normalizing it twice is normalizing it once."""
    once = COHERE.normalize(document, preset)

    assert "" == COHERE.read_body(document).model
    assert COHERE.bypass(document) in ("", "stateful", "server-tool")
    assert once == COHERE.normalize(once, preset)


def test_bytes_past_the_limit_tell_nothing() -> None:
    """An event without data is passed over."""
    reader = COHERE.read_stream()
    reader.feed(Event(b"x", "", None))

    assert Outcome(False, None, (), error=False, sound=False, model="", closed=False) == reader.outcome()


def test_the_prose_of_messages_is_normalized() -> None:
    """A text equals its one part; a tool's result keeps its bytes."""
    tool: Document = {"role": "tool", "tool_call_id": "1", "content": " a\r\n"}
    document: Document = {"messages": [{"role": "user", "content": [{"type": "text", "text": " a\r\n"}]}, tool]}

    assert {"messages": [{"role": "user", "content": "a"}, tool]} == COHERE.normalize(document, "text")
    assert document is COHERE.normalize(document, "strict")


def test_only_the_priority_is_left_out_of_the_key() -> None:
    """Whom a busy server serves first is no part of the answer; citations are, and the order of a document's fields."""
    assert {"priority"} == COHERE.left_out
    assert {"tools", "documents", "response_format"} == COHERE.ordered


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v2/chat", "cohere"),
        ("/cohere/v2/chat", "cohere"),
        ("/v1/chat", "cohere-v1"),
        ("/v1/chat/completions", "chat"),
        ("/compatibility/v1/chat/completions", "chat"),
        ("/v2/chat/completions", "chat"),
        ("/api/chat", "ollama-chat"),
        ("/cohere/v1/generate", "cohere-generate"),
        ("/generate", "tgi"),
    ],
)
def test_neighbours_are_told_apart_by_their_paths(path: str, name: str) -> None:
    """Neither version is taken for chat completions, nor for what Ollama or TGI call the same."""
    route = recognise(path)

    assert route is not None
    assert name == route.format.name
