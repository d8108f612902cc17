"""Anthropic's messages: blocks, inclusive usage, tools that the provider runs."""

import json

import pytest

from coo_middleware.core.document import Document, Json
from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.messages import MESSAGES


def frame(kind: str, **members: Json) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}   \n\n".encode()


def start(**usage: Json) -> bytes:
    return frame("message_start", message={"model": "m", "content": [], "stop_reason": None, "usage": usage})


def block(index: int, kind: str, *deltas: Document, **members: Json) -> bytes:
    head = frame("content_block_start", index=index, content_block={"type": kind, **members})
    body = b"".join(frame("content_block_delta", index=index, delta=delta) for delta in deltas)
    return head + body + frame("content_block_stop", index=index)


def delta(reason: str | None = "end_turn", **usage: Json) -> bytes:
    return frame("message_delta", delta={"stop_reason": reason}, usage=usage)


def read(*frames: bytes) -> Outcome:
    reader = MESSAGES.read_stream()
    for event in SSEDecoder(1 << 20).feed(b"".join(frames)):
        reader.feed(event)
    return reader.outcome()


def piece(text: str) -> Document:
    return {"type": "input_json_delta", "partial_json": text}


START = start(input_tokens=5, output_tokens=1)
TEXT = block(0, "text", {"type": "text_delta", "text": "a"}, text="")
PING = frame("ping")
STOP = frame("message_stop")


@pytest.mark.parametrize(
    ("frames", "whole"),
    [
        ([START, TEXT, delta(), STOP], True),
        ([PING, START, PING, TEXT, delta(), PING, STOP, PING], True),
        ([START, TEXT, delta("end_turn"), delta(None), STOP], True),
        ([START, TEXT, frame("unheard"), delta(), STOP], True),
        ([START, TEXT, delta(), STOP, b"data: [DONE]\n\n"], True),
        ([], False),
        ([STOP], False),
        ([START, TEXT], False),
        ([START, TEXT, delta()], False),
        ([START, TEXT, STOP], False),
        ([START, TEXT, delta(None), STOP], False),
        ([START, TEXT, delta(), STOP, STOP], False),
        ([START, TEXT, delta(), STOP, frame("unheard")], False),
        ([START, b"data: {broken\n\n", TEXT, delta(), STOP], False),
    ],
)
def test_a_stream_is_whole_at_message_stop(frames: list[bytes], whole: bool) -> None:
    """A stream ends with message_stop after a stop reason; pings may come anywhere, everything else not after it."""
    assert whole == read(*frames).whole


def test_a_stream_fed_twice_is_not_whole() -> None:
    """A second beginning after the end is not what the format knows; neither is a stream without its last event."""
    frames = [START, TEXT, delta(), STOP]

    assert [False, False, False, False, True] == [read(*frames[:cut]).whole for cut in range(5)]
    assert not read(*frames, *frames).whole


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([start(input_tokens=5, output_tokens=1), delta(output_tokens=9)], Usage(5, 9)),
        ([start(input_tokens=5, output_tokens=1)], Usage(5, 1)),
        ([start(input_tokens=5, cache_read_input_tokens=7, cache_creation_input_tokens=11)], Usage(23, None, 7, 11)),
        ([start(input_tokens=5, cache_read_input_tokens=None, cache_creation_input_tokens=None)], Usage(5, None)),
        ([start(cache_read_input_tokens=7)], Usage(7, None, 7)),
        ([start(input_tokens=5, cache_read_input_tokens=7), delta(input_tokens=90, output_tokens=2)], Usage(97, 2, 7)),
        ([start(input_tokens=-1, output_tokens=True)], None),
        ([start()], None),
        ([delta(output_tokens=2)], Usage(None, 2)),
        ([delta(output_tokens=9, output_tokens_details={"thinking_tokens": 4})], Usage(None, 9, reasoning_tokens=4)),
        ([delta(output_tokens=9, output_tokens_details=[4])], Usage(None, 9)),
        (
            [
                start(input_tokens=0, output_tokens=0),
                delta(
                    input_tokens=0,
                    output_tokens=0,
                    iterations=[
                        {"type": "compaction", "input_tokens": 50, "cache_read_input_tokens": 3, "output_tokens": 4},
                        {"type": "message", "input_tokens": 20, "output_tokens": 6},
                    ],
                ),
            ],
            Usage(73, 10, 3),
        ),
        ([start(iterations=[{"input_tokens": 5, "output_tokens": 1}]), delta(iterations=[])], Usage(5, 1)),
        ([start(input_tokens=5, output_tokens=1, iterations=[{"input_tokens": 9}])], Usage(5, 1)),
        (
            [
                start(input_tokens=5, output_tokens=1),
                delta(
                    output_tokens=6,
                    output_tokens_details={"thinking_tokens": 2},
                    iterations=[
                        {"type": "compaction", "input_tokens": 50, "output_tokens": 4, "cache_read_input_tokens": 3},
                        {"type": "message", "input_tokens": 5, "output_tokens": 6},
                    ],
                ),
            ],
            Usage(58, 10, 3, reasoning_tokens=2),
        ),
    ],
)
def test_usage_counts_what_the_provider_cached(frames: list[bytes], expected: Usage | None) -> None:
    """Input includes cache reads and writes, later counters win, and iterations where the top level lacks them."""
    assert expected == read(*frames).usage


@pytest.mark.parametrize(
    ("blocks", "sound"),
    [
        ([TEXT], True),
        ([block(0, "text", text="a")], True),
        ([block(0, "text", text="")], False),
        ([block(0, "thinking", {"type": "thinking_delta", "thinking": "hm"})], False),
        ([block(0, "redacted_thinking", data="x")], False),
        ([block(0, "compaction"), block(1, "fallback")], False),
        ([], False),
        ([block(0, "tool_use", input={})], True),
        ([block(0, "tool_use", piece('{"a"'), piece(":1}"), input={})], True),
        ([block(0, "tool_use", piece('{"a"'), input={})], False),
        ([TEXT, block(1, "tool_use", piece("[]"), input={})], False),
        ([block(0, "tool_use")], False),
        ([block(0, "server_tool_use", piece("{"), input={}), TEXT], True),
        ([block(1, "server_tool_use", piece("{"), input={}), TEXT], False),
        ([frame("content_block_delta", index=4, delta={"text": "a"})], False),
        ([frame("content_block_start", index="0", content_block={"type": "text", "text": "a"})], False),
        ([frame("content_block_start", index=0), frame("content_block_delta", index=0)], False),
    ],
)
def test_sound_means_usable(blocks: list[bytes], sound: bool) -> None:
    """There is more than thinking, and the input of every call is put together by block and parses."""
    assert sound == read(START, *blocks, delta(), STOP).sound


@pytest.mark.parametrize(
    "frames",
    [
        [frame("error", error={"type": "overloaded_error"})],
        [b"event: error\ndata: x\n\n"],
        [b'data: {"type":"error"}\n\n'],
    ],
)
def test_errors_within_a_stream_are_told(frames: list[bytes]) -> None:
    """An error event is an error, by its name or by its type."""
    assert read(START, *frames).error
    assert not read(START, TEXT, delta(), STOP).error


def test_a_body_tells_all_at_once() -> None:
    """A body is whole by its stop reason, and its calls have parsed already."""
    document: Document = {
        "type": "message",
        "model": "m",
        "stop_reason": "tool_use",
        "content": [{"type": "thinking"}, {"type": "tool_use", "input": {"a": 1}}],
        "usage": {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3},
    }

    assert Outcome(True, Usage(3, 3, 2), ("tool_use",), error=False, sound=True, model="m") == MESSAGES.read_body(
        document
    )
    assert not MESSAGES.read_body({**document, "stop_reason": None}).whole
    assert not MESSAGES.read_body({**document, "content": [{"type": "tool_use", "input": "x"}]}).sound
    assert MESSAGES.read_body({"type": "error", "error": {"type": "overloaded_error"}}).error


def test_a_start_without_a_message_is_passed_over() -> None:
    """An event of a known type with other content tells nothing and raises nothing."""
    assert Outcome(False, None, (), error=False, sound=False, model="") == read(frame("message_start", message=1))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, ""),
        ({"container": "c_1"}, "stateful"),
        ({"container": {"skills": []}}, "stateful"),
        ({"container": None, "mcp_servers": None, "tools": None}, ""),
        ({"mcp_servers": [{"url": "x"}]}, "server-tool"),
        ({"mcp_servers": []}, ""),
        ({"tools": [{"name": "a"}, {"type": "custom"}, {"type": None}]}, ""),
        ({"tools": [{"type": "bash_20250124"}, {"type": "text_editor_20250728"}]}, ""),
        ({"tools": [{"type": "computer_20250124"}, {"type": "memory_20250818"}]}, ""),
        ({"tools": [{"name": "a"}, {"type": "web_search_20250305"}]}, "server-tool"),
        ({"tools": [{"type": "code_execution_20250825"}]}, "server-tool"),
        ({"tools": [{"type": "web_fetch_20250910"}]}, "server-tool"),
        ({"tools": [{"type": "tool_search_tool_regex_20251119"}]}, "server-tool"),
        ({"tools": [{"type": "unheard"}]}, "server-tool"),
        ({"tools": [{"type": 1}]}, "server-tool"),
    ],
)
def test_state_and_server_tools_bypass(members: Document, reason: str) -> None:
    """What depends on a container or on tools that the provider may run bypasses; null is absent."""
    assert reason == MESSAGES.bypass({"model": "m", **members})


def test_system_and_messages_are_normalized() -> None:
    """Prose is normalized, a tool's result keeps its bytes, a marked block stays a block."""
    result: Document = {"type": "tool_result", "content": " a\r\n"}
    document: Document = {
        "system": [{"type": "text", "text": " s "}],
        "messages": [{"role": "user", "content": [result]}],
    }

    assert {**document, "system": "s"} == MESSAGES.normalize(document, "text")
    assert document is MESSAGES.normalize(document, "strict")
    assert {"model": "m"} == MESSAGES.normalize({"model": "m"}, "text")
    marked: Document = {"system": [{"type": "text", "text": "s", "cache_control": {}}]}
    assert marked == MESSAGES.normalize(marked, "text")


def test_only_metadata_is_left_out() -> None:
    """Anthropic knows one member of bookkeeping."""
    assert {"metadata"} == MESSAGES.left_out
    assert {"tools", "output_format", "output_config"} <= MESSAGES.ordered
