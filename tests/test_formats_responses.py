"""Responses: terminal events, output items, state behind an identifier."""

import json

import pytest

from coo_middleware.core.document import Document, Json
from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.responses import RESPONSES


def frame(kind: str, **members: Json) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def message(*parts: Json) -> Document:
    return {"type": "message", "role": "assistant", "content": list(parts)}


def end(status: str, *output: Json, **members: Json) -> bytes:
    return frame(f"response.{status}", response={"status": status, "output": list(output), **members})


def read(*frames: bytes) -> Outcome:
    reader = RESPONSES.read_stream()
    for event in SSEDecoder(1 << 20).feed(b"".join(frames)):
        reader.feed(event)
    return reader.outcome()


SAID: Document = {"type": "output_text", "text": "a"}
CREATED = frame("response.created", response={"status": "in_progress", "model": "m", "usage": None, "output": []})
COMPLETED = end("completed", message(SAID), model="m", usage={"input_tokens": 5, "output_tokens": 3})
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("frames", "whole"),
    [
        ([CREATED, COMPLETED], True),
        ([CREATED, frame("response.unheard"), COMPLETED], True),
        ([CREATED, COMPLETED, b": bye\n\n"], True),
        ([CREATED, COMPLETED, DONE], True),
        ([CREATED, end("incomplete", message(SAID))], True),
        ([CREATED, end("failed")], True),
        ([CREATED], False),
        ([], False),
        ([CREATED, frame("response.output_text.done", text="a")], False),
        ([CREATED, COMPLETED, COMPLETED], False),
        ([CREATED, COMPLETED, frame("response.unheard")], False),
        ([CREATED, COMPLETED, DONE, DONE], False),
        ([CREATED, b"data: {broken\n\n", COMPLETED], False),
        ([CREATED, frame("response.completed")], False),
        ([CREATED, frame("response.completed", response={"status": "in_progress"})], False),
        ([CREATED, frame("response.finished", response={"status": "completed"})], False),
    ],
)
def test_a_stream_is_whole_at_its_only_terminal_event(frames: list[bytes], whole: bool) -> None:
    """Exactly one terminal event ends a stream, with a final status; an event that is not known never does."""
    assert whole == read(*frames).whole


def test_a_stream_fed_twice_is_not_whole() -> None:
    """A second beginning after the end is not what the format knows; neither is a stream without its last event."""
    frames = [CREATED, frame("response.output_item.done", item=message(SAID)), COMPLETED]

    assert [False, False, False, True] == [read(*frames[:cut]).whole for cut in range(4)]
    assert not read(*frames, *frames).whole


def test_a_stream_tells_what_its_terminal_event_tells() -> None:
    """Usage is null until the end; the status is the finish reason."""
    assert Outcome(True, Usage(5, 3), ("completed",), error=False, sound=True, model="m") == read(CREATED, COMPLETED)
    assert Outcome(False, None, (), error=False, sound=False, model="m") == read(CREATED)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
                "output_tokens": 8,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 17,
            },
            Usage(9, 8, 1, 2, 4),
        ),
        ({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 0}}, Usage(9, None, 0)),
        ({"input_tokens": 9, "input_tokens_details": None, "output_tokens_details": [4]}, Usage(9, None)),
        ({"output_tokens": 8}, Usage(None, 8)),
        ({"input_tokens": None, "input_tokens_details": {"cached_tokens": 4}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage_is_told_with_its_parts(usage: Json, expected: Usage | None) -> None:
    """What was cached, written and thought stands beside the usage, and unknown is not zero."""
    assert expected == read(CREATED, end("completed", message(SAID), usage=usage)).usage
    assert expected == RESPONSES.read_body({"status": "completed", "usage": usage}).usage


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([CREATED, COMPLETED], False),
        ([CREATED, end("incomplete")], False),
        ([CREATED, end("failed", error={"code": "server_error"})], True),
        ([CREATED, frame("response.failed")], True),
        ([CREATED, frame("error", code="server_error")], True),
        ([CREATED, frame("response.created", response={"error": {"code": "x"}})], True),
    ],
)
def test_failures_are_told(frames: list[bytes], error: bool) -> None:
    """A failed response and an error event are errors; an incomplete response is none."""
    assert error == read(*frames).error


@pytest.mark.parametrize(
    ("output", "sound"),
    [
        ([message(SAID)], True),
        ([message({"type": "refusal", "refusal": "no"})], True),
        ([message({"type": "output_text", "text": ""})], False),
        ([message()], False),
        ([{"type": "reasoning", "content": []}], False),
        ([], False),
        ([{"type": "reasoning"}, {"type": "function_call", "arguments": '{"a":1}'}], True),
        ([{"type": "function_call", "arguments": ""}], True),
        ([{"type": "function_call", "arguments": '{"a":'}], False),
        ([{"type": "function_call"}], False),
        ([message(SAID), {"type": "function_call", "arguments": "[]"}], False),
        ([{"type": "custom_tool_call", "input": "not json"}], True),
        ([{"type": "apply_patch_call"}], True),
    ],
)
def test_sound_means_usable(output: list[Json], sound: bool) -> None:
    """There is an item beside the reasoning that holds something, and functions can be called."""
    assert sound == read(CREATED, end("completed", *output)).sound
    assert sound == RESPONSES.read_body({"status": "completed", "output": output}).sound


def test_items_count_where_the_terminal_event_has_none() -> None:
    """Some servers leave the output of the terminal event empty; the items have been told before."""
    assert read(CREATED, frame("response.output_item.done", item=message(SAID)), end("completed")).sound


def test_a_refusal_is_a_finish_reason() -> None:
    """A completed response that refuses says so beside its status."""
    answer = read(CREATED, end("completed", message({"type": "refusal", "refusal": "no"})))

    assert ("completed", "refusal") == answer.finish_reasons


@pytest.mark.parametrize(
    ("status", "whole", "error"),
    [
        ("completed", True, False),
        ("incomplete", True, False),
        ("cancelled", True, False),
        ("failed", True, True),
        ("queued", False, False),
        ("in_progress", False, False),
        (None, False, False),
    ],
)
def test_a_body_is_whole_at_a_final_status(status: Json, whole: bool, error: bool) -> None:
    """Only a final status ends a response, and it is its finish reason."""
    answer = RESPONSES.read_body({"status": status, "output": [message(SAID)], "error": None})

    assert (whole, error) == (answer.whole, answer.error)
    assert ((status,) if whole else ()) == answer.finish_reasons


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, ""),
        ({"store": True}, ""),
        ({"previous_response_id": "resp_1"}, "stateful"),
        ({"conversation": {"id": "conv_1"}}, "stateful"),
        ({"prompt": {"id": "pmpt_1"}}, "stateful"),
        ({"previous_response_id": None, "conversation": None, "prompt": None}, ""),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "stateful"),
        ({"input": [{"id": "msg_1"}]}, "stateful"),
        ({"input": [{"role": "user", "content": "a"}]}, ""),
        ({"background": True}, "background"),
        ({"background": False}, ""),
        ({"background": None, "tools": None}, ""),
        ({"tools": []}, ""),
        ({"tools": [{"type": "function"}, {"type": "custom"}, {"type": "apply_patch"}, {"type": "local_shell"}]}, ""),
        ({"tools": [{"type": "shell", "environment": {"type": "local"}}]}, ""),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "server-tool"),
        ({"tools": [{"type": "shell"}]}, ""),
        ({"tools": [{"type": "shell", "environment": "x"}]}, "server-tool"),
        ({"tools": [{"type": "apply_patch", "environment": {"type": "container_auto"}}]}, "server-tool"),
        ({"tools": [{"type": "web_search_preview"}]}, "server-tool"),
        ({"tools": [{"type": "function"}, {"type": "mcp"}]}, "server-tool"),
        ({"tools": [{"type": "computer_use_preview"}]}, "server-tool"),
        ({"tools": [{"type": "unheard"}]}, "server-tool"),
        ({"tools": [{}]}, "server-tool"),
        ({"tools": ["x"]}, "server-tool"),
        ({"tools": {}}, "server-tool"),
    ],
)
def test_state_and_server_tools_bypass(members: Document, reason: str) -> None:
    """What depends on state, on the background or on tools that the provider may run bypasses; null is absent."""
    assert reason == RESPONSES.bypass({"model": "m", **members})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"instructions": " a\r\n", "input": " b "}, {"instructions": "a", "input": "b"}),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": " a "}]}]},
            {"input": [{"role": "user", "content": "a"}]},
        ),
        (
            {"input": [{"type": "function_call_output", "output": " a "}], "instructions": None},
            {"input": [{"type": "function_call_output", "output": " a "}], "instructions": None},
        ),
        ({"input": 7}, {"input": 7}),
        ({}, {}),
    ],
)
def test_instructions_and_input_are_normalized(given: Document, expected: Document) -> None:
    """Prose is normalized, a tool's output keeps its bytes."""
    assert expected == RESPONSES.normalize(given, "text")
    assert given is RESPONSES.normalize(given, "strict")


def test_nothing_that_comes_back_is_left_out() -> None:
    """The response repeats user, metadata and prompt_cache_key, so all of them are in the key."""
    assert frozenset() == RESPONSES.left_out
    assert {"tools", "text"} <= RESPONSES.ordered
