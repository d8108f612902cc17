"""Chat completions: what a stream or a body tells, which requests bypass, what is normalized."""

import json

import pytest

from coo_middleware.core.document import Document, Json
from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.chat import CHAT


def frame(document: Json, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document)}\n\n".encode()


def chunk(index: int = 0, finish: str | None = None, **delta: Json) -> bytes:
    return chunk_of(delta, index, finish)


def chunk_of(delta: Document, index: int = 0, finish: str | None = None) -> bytes:
    return frame({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


def usage(**counts: Json) -> bytes:
    return frame({"choices": [], "usage": counts})


def call(index: int, arguments: Json, **more: Json) -> dict[str, Json]:
    return {"index": index, "function": {"arguments": arguments}, **more}


def read(*frames: bytes) -> Outcome:
    reader = CHAT.read_stream()
    for event in SSEDecoder(1 << 20).feed(b"".join(frames)):
        reader.feed(event)
    return reader.outcome()


def body(*messages: Document, finish: str | None = "stop", **more: Json) -> Outcome:
    choices: list[Json] = [{"message": message, "finish_reason": finish} for message in messages]
    return CHAT.read_body({"choices": choices, **more})


DONE = b"data: [DONE]\n\n"
TEXT = chunk(content="a")
STOP = chunk(finish="stop")


@pytest.mark.parametrize(
    ("frames", "whole"),
    [
        ([TEXT, STOP, DONE], True),
        ([TEXT, STOP], True),
        ([chunk(finish="stop", content="a")], True),
        ([b": keep-alive\n\n", TEXT, b": ping\n\n", STOP, b": bye\n\n", DONE, b": bye\n\n"], True),
        ([TEXT, STOP, usage(prompt_tokens=1), DONE], True),
        ([TEXT, frame({"type": "new.thing"}, "new.thing"), STOP], True),
        ([TEXT, STOP, chunk(), DONE], True),
        ([], False),
        ([DONE], False),
        ([TEXT], False),
        ([TEXT, DONE], False),
        ([TEXT, chunk(finish="")], False),
        ([TEXT, STOP, TEXT], False),
        ([TEXT, STOP, chunk(tool_calls=[call(0, "{}")])], False),
        ([TEXT, STOP, DONE, DONE], False),
        ([TEXT, STOP, DONE, usage(prompt_tokens=1)], False),
        ([TEXT, STOP, DONE, b"data: x\n\n", DONE], False),
        ([TEXT, STOP, b"data:  [DONE]\n\n"], False),
        ([TEXT, b"data: {broken\n\n", STOP, DONE], False),
        ([TEXT, b"data: []\n\n", STOP, DONE], False),
        ([TEXT, b'data: {"a":1,"a":2}\n\n', STOP, DONE], False),
        ([TEXT, b'data: {"a":NaN}\n\n', STOP, DONE], False),
        ([chunk(0, content="a"), chunk(1, content="b"), chunk(0, "stop"), DONE], False),
        ([chunk(1, content="b"), chunk(0, content="a"), chunk(0, "stop"), chunk(1, "length")], True),
        ([frame({"choices": [], "prompt_filter_results": []}), DONE], False),
    ],
)
def test_a_stream_is_whole_at_its_own_end(frames: list[bytes], whole: bool) -> None:
    """A stream is whole when every choice finished, nothing was told after that, and every frame could be read."""
    assert whole == read(*frames).whole


def test_a_stream_is_whole_from_its_last_finish_on() -> None:
    """Cut before any event up to the last finish reason it is not whole, after it it is, and fed twice it is not."""
    frames = [TEXT, chunk(1, content="b"), STOP, chunk(1, "stop"), usage(prompt_tokens=1), DONE]

    assert [False] * 4 + [True] * 3 == [read(*frames[:cut]).whole for cut in range(7)]
    assert not read(*frames, *frames).whole


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([usage(prompt_tokens=5, completion_tokens=3, total_tokens=8)], Usage(5, 3)),
        ([usage(prompt_tokens=5, completion_tokens=3, total_tokens=20)], Usage(5, 15)),
        ([usage(prompt_tokens=5, completion_tokens=3, total_tokens=1)], Usage(5, 3)),
        ([usage(prompt_tokens=5, total_tokens=8)], Usage(5, 3)),
        ([usage(prompt_tokens=5)], Usage(5, None)),
        ([usage(completion_tokens=3)], Usage(None, 3)),
        ([usage(completion_tokens=3, total_tokens=8)], Usage(None, 3)),
        ([usage(prompt_tokens=5, total_tokens=1)], Usage(5, None)),
        ([usage(prompt_tokens="5", completion_tokens=3.0)], Usage(5, 3)),
        ([usage(prompt_tokens=0, completion_tokens=0)], Usage(0, 0)),
        ([usage(prompt_tokens=None, completion_tokens=-1, total_tokens=True)], None),
        ([usage(prompt_tokens="many", completion_tokens=10**30)], None),
        ([usage()], None),
        ([frame({"choices": [], "usage": None})], None),
        ([frame({"choices": [], "usage": [1]})], None),
        ([TEXT, STOP, DONE], None),
        # vLLM's running usage: the last of each field counts, and none is added.
        ([usage(prompt_tokens=5, completion_tokens=n, total_tokens=5 + n) for n in range(4)], Usage(5, 3)),
        ([usage(prompt_tokens=5, completion_tokens=2), usage(prompt_tokens=None, completion_tokens=3)], Usage(5, 3)),
        ([usage(prompt_tokens=9, completion_tokens=2), usage(prompt_tokens=5)], Usage(5, 2)),
        ([frame({"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 3}}})], Usage(5, 3)),
        ([usage(prompt_tokens=5, completion_tokens=3), b"data: {broken\n\n", TEXT], Usage(5, 3)),
        ([usage(prompt_tokens=5), frame({"error": {"message": "x"}})], Usage(5, None)),
    ],
)
def test_usage_is_the_last_of_each_field(frames: list[bytes], expected: Usage | None) -> None:
    """Usage is inclusive and cumulative, unknown is not zero, and a broken stream still tells it."""
    assert expected == read(*frames).usage


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (
            {
                "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2, "audio_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 5},
            },
            Usage(9, 8, 1, 2, 4, 3, 5),
        ),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, Usage(9, 8, cache_read_tokens=0)),
        ({"prompt_tokens_details": {"cached_tokens": None}, "completion_tokens_details": None}, Usage(9, 8)),
        ({"prompt_tokens_details": [1], "completion_tokens_details": "x"}, Usage(9, 8)),
        ({"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3}, Usage(9, 8, cache_read_tokens=6)),
        ({"prompt_cache_hit_tokens": 6, "prompt_tokens_details": {"cached_tokens": 5}}, Usage(9, 8, 5)),
        # xAI: the reasoning is in the total alone.
        (
            {"total_tokens": 27, "completion_tokens_details": {"reasoning_tokens": 10}},
            Usage(9, 18, reasoning_tokens=10),
        ),
    ],
)
def test_the_parts_of_usage_stand_beside_it(counts: Document, expected: Usage) -> None:
    """Cached, written, thought and spoken tokens are told by themselves, wherever the dialect puts the usage."""
    whole: Document = {"prompt_tokens": 9, "completion_tokens": 8, **counts}

    assert expected == read(usage(**whole)).usage
    assert expected == read(frame({"x_groq": {"usage": whole}})).usage
    assert expected == body({"content": "a"}, usage=whole).usage


def test_parts_are_the_last_of_each_field() -> None:
    """A part that a later object leaves out keeps its last value, and none is added."""
    frames = [usage(prompt_tokens=5, prompt_tokens_details={"cached_tokens": n}) for n in (2, 3)]

    assert Usage(5, 1, cache_read_tokens=3) == read(*frames, usage(completion_tokens=1)).usage


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([STOP], ("stop",)),
        ([chunk(1, "length"), chunk(0, "stop")], ("stop", "length")),
        ([STOP, STOP], ("stop",)),
        ([STOP, chunk(finish="content_filter")], ("stop", "content_filter")),
        ([chunk(refusal="no"), STOP], ("stop", "refusal")),
        ([chunk(refusal="no"), chunk(finish="refusal")], ("refusal",)),
        ([TEXT], ()),
    ],
)
def test_finish_reasons_are_all_told(frames: list[bytes], expected: tuple[str, ...]) -> None:
    """Reasons come in the order of the choices; a refusal is one although it ends with stop."""
    assert expected == read(*frames).finish_reasons


@pytest.mark.parametrize(
    "frames",
    [
        [frame({"error": {"message": "x"}})],
        [frame({"error": "x"})],
        [frame({"message": "x"}, "error")],
        [b"event: error\n\n"],
        [frame({"type": "error"})],
        [frame({"x_groq": {"error": "x"}})],
        [frame({"choices": [{"index": 0, "error": {"code": 502}, "finish_reason": "error"}]})],
        [TEXT, STOP, frame({"error": {"message": "x"}}), DONE],
    ],
)
def test_errors_within_a_stream_are_told(frames: list[bytes]) -> None:
    """A provider's failure is seen wherever its dialect puts it, and a null one is none."""
    assert read(*frames).error
    assert not read(TEXT, STOP, frame({"error": None, "x_groq": {"error": None}}), DONE).error


@pytest.mark.parametrize(
    ("deltas", "sound"),
    [
        ([{"content": "a"}], True),
        ([{"content": " "}], True),
        ([{"refusal": "no"}], True),
        ([{"audio": {"id": "a"}}], True),
        ([{"images": [{"type": "image_url"}]}], True),
        ([{"content": [{"type": "text", "text": "a"}]}], True),
        ([{"content": [{"type": "thinking", "thinking": []}]}], False),
        ([{"reasoning_content": "hm", "reasoning": "hm"}], False),
        ([{"role": "assistant", "content": "", "tool_calls": None, "function_call": None}], False),
        ([{}], False),
        ([{"tool_calls": [call(0, "")]}], True),
        ([{"tool_calls": [call(0, None)]}], True),
        ([{"tool_calls": [call(0, '{"a"')]}, {"tool_calls": [call(0, ":1}")]}], True),
        ([{"tool_calls": [call(0, '{"a"'), call(1, "{}")]}, {"tool_calls": [call(0, ":1}")]}], True),
        ([{"tool_calls": [call(0, '{"a"')]}, {"tool_calls": [call(1, ":1}")]}], False),
        ([{"tool_calls": [call(0, '{"a":')]}], False),
        ([{"tool_calls": [call(0, "[]")]}], False),
        ([{"tool_calls": [call(0, '{"a":1,"a":2}')]}], False),
        ([{"tool_calls": [call(0, {"a": 1})]}], True),
        ([{"tool_calls": [call(0, [1])]}], False),
        ([{"tool_calls": [{"function": {"arguments": "{}"}}, {"function": {"arguments": "{}"}}]}], True),
        ([{"tool_calls": [{"id": name, "function": {"arguments": "{}"}}]} for name in "ab"], True),
        ([{"tool_calls": [{"index": 0, "type": "custom", "custom": {"input": "not json"}}]}], True),
        ([{"tool_calls": [{"index": 0, "type": "unheard"}]}], False),
        ([{"tool_calls": ["x"]}], False),
        ([{"function_call": {"arguments": '{"a"'}}, {"function_call": {"arguments": ":1}"}}], True),
        ([{"function_call": {"arguments": "a"}}], False),
        ([{"function_call": "x"}], False),
    ],
)
def test_sound_means_usable(deltas: list[Document], sound: bool) -> None:
    """Something is there to give back, and the arguments of every call are put together and parse."""
    assert sound == read(*map(chunk_of, deltas), STOP).sound


def test_every_choice_must_be_sound() -> None:
    """An answer with one empty choice is not sound, nor is one without choices."""
    assert read(chunk(0, "stop", content="a"), chunk(1, "stop", content="b")).sound
    assert not read(chunk(0, "stop", content="a"), chunk(1, "stop")).sound
    assert not read(DONE).sound


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (body({"content": "a"}), True),
        (body({"content": "a"}, {"content": "b"}), True),
        (body({"content": "a"}, finish=None), False),
        (body(), False),
        (CHAT.read_body({}), False),
        (CHAT.read_body({"choices": {}}), False),
        (CHAT.read_body({"choices": [None, {"index": 0}]}), False),
        (CHAT.read_body({"choices": [{"index": 0, "finish_reason": 1}]}), False),
        (CHAT.read_body({"error": {"message": "x"}}), False),
    ],
)
def test_a_body_is_whole_when_every_choice_finished(answer: Outcome, whole: bool) -> None:
    """A body needs a choice, and on each a finish reason."""
    assert whole == answer.whole


def test_a_body_tells_all_at_once() -> None:
    """Usage, model, reasons and soundness of a body are those of its members."""
    tool: Document = {"content": None, "tool_calls": [{"id": "", "function": {"arguments": "{}"}}] * 2}
    answer = body(tool, finish="tool_calls", model="m", usage={"prompt_tokens": 1, "completion_tokens": 2})

    assert Outcome(True, Usage(1, 2), ("tool_calls",), error=False, sound=True, model="m") == answer
    assert CHAT.read_body({"error": {"code": "content_filter"}}).error


def test_the_model_of_an_empty_first_chunk_does_not_count() -> None:
    """Azure's first chunk names no model; the last that is named counts."""
    assert "m" == read(frame({"model": "", "choices": []}), frame({"model": "m"}), frame({"model": None})).model


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, ""),
        ({"store": True}, "stored-completion"),
        ({"store": "yes"}, "stored-completion"),
        ({"store": False}, ""),
        ({"store": None}, ""),
        ({"web_search_options": {}}, "server-tool"),
        ({"search_parameters": {"mode": "auto"}}, "server-tool"),
        ({"plugins": [{"id": "web"}]}, "server-tool"),
        ({"search_settings": {}}, "server-tool"),
        ({"data_sources": [{"type": "azure_search"}]}, "server-tool"),
        ({"web_search_options": None, "plugins": []}, ""),
        ({"tools": [{"type": "function"}, {"type": "custom"}, {}]}, ""),
        ({"tools": [{"type": "function"}, {"type": "browser_search"}]}, "server-tool"),
        ({"tools": [{"type": ["function"]}]}, "server-tool"),
        ({"tools": None}, ""),
        ({"tools": "none"}, ""),
        ({"temperature": 1, "n": 3, "stream": True, "unheard": {}}, ""),
    ],
)
def test_requests_with_effects_bypass(members: Document, reason: str) -> None:
    """A request that stores something or asks the world bypasses; null counts as absent."""
    assert reason == CHAT.bypass({"model": "m", **members})


def test_the_texts_of_messages_are_normalized() -> None:
    """Messages are normalized into a new document; a document without any stays the same object."""
    document: Document = {"messages": [{"role": "user", "content": [{"type": "text", "text": " a\r\n"}]}], "stop": " "}

    assert {"messages": [{"role": "user", "content": "a"}], "stop": " "} == CHAT.normalize(document, "text")
    assert document is CHAT.normalize(document, "strict")
    other: Document = {"model": "m"}
    assert other is CHAT.normalize(other, "text")


def test_what_reaches_the_model_is_in_the_key() -> None:
    """Only bookkeeping is left out; a salt that keeps tenants apart is not."""
    assert {"user", "metadata", "prompt_cache_key"} <= CHAT.left_out
    assert not {"cache_salt", "messages", "tools", "stream_options", "seed"} & CHAT.left_out
    assert {"tools", "functions", "response_format"} <= CHAT.ordered
