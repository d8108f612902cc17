"""Cohere's chat and generate, version 1: lines of JSON, of which the last holds the whole answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.exchange import Exchange
from coo_middleware.core.format import Format
from coo_middleware.core.framing import Event
from coo_middleware.core.ndjson import NDJSONDecoder
from coo_middleware.core.normalize import Preset
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats.cohere_v1 import COHERE_GENERATE, COHERE_V1

PRESETS: st.SearchStrategy[Preset] = st.sampled_from(("text", "loose"))
MEMBERS = st.sampled_from(
    (
        *("event_type", "stream-end", "is_finished", "finish_reason", "response", "text", "message", "meta", "tokens"),
        *("generations", "tool_calls", "tool_call_delta", "parameters", "index", "input_tokens", "billed_units"),
        *("chat_history", "preamble", "prompt", "raw_prompting", "connectors", "documents", "preset", "id"),
    )
)
LEAVES = st.none() | st.booleans() | st.integers(-1, 9) | st.floats(allow_nan=False) | st.text(max_size=3) | MEMBERS
ODD: st.SearchStrategy[Json] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(MEMBERS, inner, max_size=4), max_leaves=8
)


def line(kind: str, **members: Json) -> Document:
    return {"is_finished": kind in ("stream-end", "stream-error"), "event_type": kind, **members}


def end(reason: Json = "COMPLETE", response: Json = None) -> Document:
    return line("stream-end", finish_reason=reason, response={} if response is None else response)


def chunk(parameters: Json, index: Json = 0) -> Document:
    return line("tool-calls-chunk", tool_call_delta={"index": index, "parameters": parameters})


def call(parameters: Json) -> Document:
    return {"name": "f", "parameters": parameters}


def fold(raw: bytes) -> Outcome:
    reader = COHERE_V1.read_stream()
    decoder = NDJSONDecoder(1 << 20)
    for event in [*decoder.feed(raw), *decoder.close()]:
        reader.feed(event)
    return reader.outcome()


def read(*lines: Json) -> Outcome:
    return fold("".join(json.dumps(each) + "\n" for each in lines).encode())


START = line("stream-start", generation_id="1")
TEXT = line("text-generation", text="a")
META: Document = {
    "api_version": {"version": "1"},
    "billed_units": {"input_tokens": 9, "output_tokens": 20},
    "tokens": {"input_tokens": 17, "output_tokens": 20},
}
ANSWER: Document = {
    "response_id": "1",
    "text": "a",
    "chat_history": [{"role": "USER", "message": "q"}, {"role": "CHATBOT", "message": "a"}],
    "finish_reason": "COMPLETE",
    "meta": META,
}


@pytest.mark.parametrize(
    ("lines", "whole"),
    [
        ([START, TEXT, end(response=ANSWER)], True),
        ([START, TEXT, end()], True),
        ([START, TEXT, end(None, ANSWER)], True),
        ([START, TEXT, end("COMPLETE", "odd")], True),
        ([{"text": "a", "is_finished": False}, {"is_finished": True, "finish_reason": "COMPLETE"}], True),
        ([], False),
        ([START, TEXT], False),
        ([START, TEXT, end(None)], False),
        ([START, TEXT, end(""), end("")], False),
        ([START, TEXT, {"finish_reason": "COMPLETE"}], False),
        ([START, TEXT, {"is_finished": 1, "finish_reason": "COMPLETE"}], False),
        ([START, line("text-generation", text="a", finish_reason="COMPLETE", is_finished=True)], False),
        ([START, TEXT, end(), TEXT], False),
        ([START, TEXT, end(), end()], False),
        ([START, TEXT, "odd", end()], False),
    ],
)
def test_a_stream_is_whole_at_its_end(lines: list[Json], whole: bool) -> None:
    """The line that ends a stream gives the reason, itself or in its response, and nothing comes after it."""
    assert whole == read(*lines).whole


def test_a_stream_cut_anywhere_is_not_whole() -> None:
    """Only the last line makes a stream whole, and one that is fed twice is whole no more."""
    lines = [START, TEXT, TEXT, end(response=ANSWER)]

    assert [False] * 4 + [True] == [read(*lines[:cut]).whole for cut in range(5)]
    assert not read(*lines, *lines).whole


@pytest.mark.parametrize(
    ("meta", "usage"),
    [
        (META, Usage(17, 20)),
        ({"billed_units": {"input_tokens": 9, "output_tokens": 20}}, Usage(9, 20)),
        ({**META, "cached_tokens": 16.0}, Usage(17, 20, cache_read_tokens=16)),
        ({"tokens": {"output_tokens": 20}}, Usage(None, 20)),
        ({"billed_units": {"search_units": 1}}, None),
        ({"warnings": ["x"]}, None),
        ([], None),
    ],
)
def test_usage_stands_in_the_last_response(meta: Json, usage: Usage | None) -> None:
    """Processed tokens go before billed ones, in a stream as in a body; what is not told is unknown."""
    assert usage == read(START, TEXT, end(response={**ANSWER, "meta": meta})).usage
    assert usage == COHERE_V1.read_body({**ANSWER, "meta": meta}).usage


@pytest.mark.parametrize(
    ("lines", "sound"),
    [
        ([TEXT, end()], True),
        ([end(response=ANSWER)], True),
        ([line("search-queries-generation", search_queries=[{"text": "q"}]), end()], True),
        ([line("text-generation", text=""), end()], False),
        ([end()], False),
        ([line("citation-generation", citations=[{"start": 0}]), end()], False),
        ([line("tool-calls-generation", tool_calls=[call({"a": 1}), call({})]), end()], True),
        ([line("tool-calls-generation", tool_calls=[call('{"a":1}')]), end()], False),
        ([line("tool-calls-generation", tool_calls=["f"]), end()], False),
        ([line("tool-calls-generation", tool_calls="f"), end()], False),
        ([TEXT, line("tool-calls-generation", tool_calls=None), end()], True),
        ([TEXT, end(response={"tool_calls": [call(None)]})], False),
        ([chunk('{"a"'), chunk(":1}"), end(response={"tool_calls": [call({"a": 1})]})], True),
        ([chunk("{", 0), chunk("{", 1.0), chunk("}", 1), chunk("}", 0), TEXT, end()], True),
        ([chunk('{"a"'), TEXT, end()], False),
        ([chunk(None), line("tool-calls-chunk", tool_call_delta=1), TEXT, end()], True),
        ([TEXT, end(response={"generations": [{"text": "a"}, {"text": "b"}]})], True),
        ([TEXT, end(response={"generations": [{"text": "a"}, {"text": ""}]})], False),
    ],
)
def test_sound_means_usable(lines: list[Json], sound: bool) -> None:
    """There is a text, a call or a query, every generation has a text, and every call's parameters are an object."""
    assert sound == read(START, *lines).sound


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([TEXT, end(response=ANSWER)], False),
        ([TEXT, end("ERROR_LIMIT")], False),
        ([TEXT, end("ERROR_TOXIC")], False),
        ([TEXT, end("ERROR")], True),
        ([TEXT, end("TIMEOUT")], True),
        ([TEXT, line("stream-error", finish_reason="ERROR", err="x")], True),
        ([{"message": "internal server error"}], True),
        ([TEXT, {"error": "x"}], True),
        ([line("text-generation", text="a", message="b")], False),
    ],
)
def test_errors_within_a_stream_are_told(lines: list[Json], error: bool) -> None:
    """A finish reason, a line of that type and one that is but a message are errors; what is filtered is none."""
    assert error == read(START, *lines).error


@pytest.mark.parametrize(
    ("lines", "reasons"),
    [
        ([end("MAX_TOKENS")], ("MAX_TOKENS",)),
        ([end("USER_CANCEL", ANSWER)], ("COMPLETE",)),
        (
            [end("COMPLETE", {"generations": [{"finish_reason": "COMPLETE"}, {"finish_reason": "MAX_TOKENS"}]})],
            ("COMPLETE", "MAX_TOKENS"),
        ),
        ([end("COMPLETE", {"generations": [{"finish_reason": "COMPLETE"}, {}]})], ("COMPLETE",)),
        ([TEXT], ()),
    ],
)
def test_finish_reasons_are_spelled_as_sent(lines: list[Json], reasons: tuple[str, ...]) -> None:
    """There is one for each generation where all of them tell, else that of the whole answer."""
    assert reasons == read(START, *lines).finish_reasons


def test_a_body_tells_all_at_once() -> None:
    """A chat has one reason, a generate one for each generation, and without one it is not whole."""
    generation: Document = {"id": "1", "text": "a", "finish_reason": "COMPLETE"}
    many: Document = {"id": "1", "prompt": "p", "generations": [generation, {**generation, "text": "b"}], "meta": META}
    expected = Outcome(True, Usage(17, 20), ("COMPLETE",), error=False, sound=True, model="")

    assert expected == COHERE_V1.read_body(ANSWER)
    assert ("COMPLETE", "COMPLETE") == COHERE_GENERATE.read_body(many).finish_reasons
    assert COHERE_GENERATE.read_body(many).sound
    assert not COHERE_V1.read_body({**ANSWER, "finish_reason": None}).whole
    assert not COHERE_GENERATE.read_body({**many, "generations": [generation, {"text": "b"}]}).whole
    assert not COHERE_V1.read_body({**ANSWER, "tool_calls": [call("x")]}).sound
    assert COHERE_V1.read_body({**ANSWER, "text": "", "tool_calls": [call({})]}).sound
    assert COHERE_V1.read_body({**ANSWER, "finish_reason": "ERROR"}).error


def test_a_body_with_nothing_but_a_message_is_an_error() -> None:
    """A message beside an answer is none."""
    assert Outcome(False, None, (), error=True, sound=False, model="") == COHERE_V1.read_body({"message": "no"})
    assert UNREADABLE == COHERE_V1.read_body({})
    assert not COHERE_V1.read_body({**ANSWER, "message": "q"}).error
    assert not COHERE_GENERATE.read_body({"generations": [], "message": "q"}).error


@pytest.mark.parametrize("media", ["text/event-stream", "application/stream+json", "application/json", "text/plain"])
def test_a_stream_is_of_lines_whatever_its_media_type(media: str) -> None:
    """Cohere gives its lines several media types, and also that of server-sent events."""
    exchange = Exchange(COHERE_V1, 1 << 20, streams=True)
    exchange.start(200, ((b"content-type", media.encode()),))
    for each in (START, TEXT, end(response=ANSWER)):
        exchange.add(json.dumps(each).encode() + b"\n", more=True)
    exchange.add(b"", more=False)
    answer = exchange.answer()

    assert "stream" == answer.form
    assert Outcome(True, Usage(17, 20), ("COMPLETE",), error=False, sound=True, model="") == answer.outcome


def test_server_sent_events_are_read_and_never_sound() -> None:
    """What a client got that asked for them by a header must not answer one that did not."""
    lines = [START, TEXT, end(response=ANSWER)]
    raw = ": ping\n\nretry: 1\n" + "".join(
        f"event: {each['event_type']}\nid: 1\ndata: {json.dumps(each)}\n\n" for each in lines
    )

    assert Outcome(True, Usage(17, 20), ("COMPLETE",), error=False, sound=False, model="") == fold(raw.encode())
    assert fold(b'data: {"message":"no"}\n\n').error


@given(st.lists(ODD, max_size=4), st.sampled_from([(), (START, TEXT, end())]))
def test_odd_lines_never_raise(lines: list[Json], before: tuple[Document, ...]) -> None:
    """Whatever the lines hold, and whatever is fed after them, there is an outcome, and nothing follows the end."""
    assert not read(*before, *lines).whole or not before or not lines


@given(st.dictionaries(MEMBERS, ODD), st.sampled_from([COHERE_V1, COHERE_GENERATE]), PRESETS)
def test_odd_documents_never_raise(document: Document, fmt: Format, preset: Preset) -> None:
    """Any document has an outcome, and normalizing it twice is normalizing it once."""
    once = fmt.normalize(document, preset)

    assert "" == fmt.read_body(document).model
    assert once == fmt.normalize(once, preset)


def test_bytes_past_the_limit_tell_nothing() -> None:
    """An event without data is passed over."""
    reader = COHERE_V1.read_stream()
    reader.feed(Event(b"x", "", None))

    assert UNREADABLE == reader.outcome()


def test_the_prose_of_a_chat_is_normalized() -> None:
    """The message, the preamble and the history's messages are prose; results of tools keep their bytes."""
    result: Document = {"call": call({}), "outputs": [{"a": " b\r\n"}]}
    document: Document = {
        "message": " a\r\n",
        "preamble": " p ",
        "chat_history": [{"role": "CHATBOT", "message": "b "}, {"role": "TOOL", "tool_results": [result]}, "odd"],
        "tool_results": [result],
    }
    expected: Document = {
        "message": "a",
        "preamble": "p",
        "chat_history": [{"role": "CHATBOT", "message": "b"}, {"role": "TOOL", "tool_results": [result]}, "odd"],
        "tool_results": [result],
    }

    assert expected == COHERE_V1.normalize(document, "text")
    assert document is COHERE_V1.normalize(document, "strict")
    raw: Document = {**document, "raw_prompting": True}
    assert raw is COHERE_V1.normalize(raw, "text")
    assert {"model": "m"} == COHERE_V1.normalize({"model": "m"}, "text")


def test_the_edges_of_a_prompt_count() -> None:
    """A prompt is what the model continues."""
    document: Document = {"prompt": " a\r\n"}

    assert {"prompt": " a\n"} == COHERE_GENERATE.normalize(document, "text")
    assert document is COHERE_GENERATE.normalize(document, "strict")
    other: Document = {"model": "m"}
    assert other is COHERE_GENERATE.normalize(other, "text")


def test_the_order_of_fields_counts_where_it_steers() -> None:
    """Tools, their results, documents and the schema keep the order of their members; nothing is left out."""
    assert {"tools", "tool_results", "documents", "response_format"} == COHERE_V1.ordered
    assert frozenset() == COHERE_V1.left_out == COHERE_GENERATE.left_out
