"""Anthropic's messages in their other shape, judged by Anthropic's SDK and by the format's own readers."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias, cast

import anthropic
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import Outcome
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.messages import MESSAGES
from coo_middleware.formats.messages_shapes import MESSAGES_RENDERING
from tests.proof import PROOF
from tests.test_corpus_formats import ROWS, Row, content_of, format_of, name_of

Frames: TypeAlias = list[Document]

OURS = [row for row in ROWS if row["status"] == 200 and format_of(row) is MESSAGES]
STREAMS = [row for row in OURS if row["framing"] == "sse" and row["complete"] == "yes"]
BODIES = [row for row in OURS if row["framing"] == "json" and row["complete"] == "yes"]
# A tool is called with arguments that end in the middle.
BROKEN = "anthropic/messages/tool-use-invalid-json-response.sse"
ANSWERED = [row for row in STREAMS if row["file"] != BROKEN]
# Members that client.messages loses when it adds up a stream (client.beta.messages keeps them), and why.
LOST_BY_PLAIN = {
    "anthropic/messages/compaction-response.sse": {"content"},  # it does not know compaction_delta
    "anthropic/messages/context-management-response.sse": {"context_management"},  # it reads delta and usage alone
    "anthropic/messages/fallback-response.sse": {"model"},  # it keeps the model that was asked
    "anthropic/messages/stream-a-refusal.sse": {"usage"},  # it does not take the iterations
    "anthropic/messages/test-context-management.json": {"context_management"},
}


def events_of(content: bytes | None) -> list[Event]:
    assert content is not None
    return SSEDecoder(1 << 26).feed(content)


def encode(*frames: Document) -> bytes:
    return b"".join(f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n".encode() for frame in frames)


def body_of(*frames: Document) -> Json:
    """The body of a stream; no other body is null."""
    content = MESSAGES_RENDERING.body(events_of(encode(*frames)))
    return None if content is None else read_json(content)


def outcome_of(content: bytes | None) -> Outcome:
    reader = MESSAGES.read_stream()
    for event in events_of(content):
        reader.feed(event)
    return reader.outcome()


def client_of(content: bytes, media: str) -> anthropic.Anthropic:
    """A client whose every call is answered with `content`."""

    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=content, headers={"content-type": media})

    return anthropic.Anthropic(api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(handle)))


def parse(content: bytes | None, *, beta: bool) -> dict[str, object]:
    """What the SDK makes of a body. It may tell null where the wire is silent, so null is nothing."""
    assert content is not None
    client = client_of(content, "application/json")
    if beta:
        message = client.beta.messages.create(model="m", max_tokens=9, messages=[])
        return message.to_dict(mode="json", exclude_none=True, warnings=False)
    return client.messages.create(model="m", max_tokens=9, messages=[]).to_dict(
        mode="json", exclude_none=True, warnings=False
    )


def assemble(content: bytes | None, *, beta: bool) -> dict[str, object]:
    """What the SDK adds a stream up to."""
    assert content is not None
    client = client_of(content, "text/event-stream")
    if beta:
        with client.beta.messages.stream(model="m", max_tokens=9, messages=[]) as events:
            return events.get_final_message().to_dict(mode="json", exclude_none=True, warnings=False)
    with client.messages.stream(model="m", max_tokens=9, messages=[]) as stream:
        return stream.get_final_message().to_dict(mode="json", exclude_none=True, warnings=False)


def body_again(document: Document) -> Json:
    """The body of a body's stream."""
    content = MESSAGES_RENDERING.body(events_of(MESSAGES_RENDERING.stream(document, True)))
    return None if content is None else read_json(content)


def without(members: dict[str, object], lost: set[str]) -> dict[str, object]:
    return {name: value for name, value in members.items() if name not in lost}


@pytest.mark.parametrize("row", ANSWERED, ids=name_of)
def test_a_recorded_stream_is_the_body_that_the_sdk_adds_up(row: Row) -> None:
    """The body of a recorded stream is what both clients of the SDK assemble from that stream."""
    stream = content_of(row)
    body = MESSAGES_RENDERING.body(events_of(stream))
    lost = LOST_BY_PLAIN.get(row["file"], set())

    assert assemble(stream, beta=True) == parse(body, beta=True)
    assert without(assemble(stream, beta=False), lost) == without(parse(body, beta=False), lost)


@pytest.mark.parametrize("row", BODIES, ids=name_of)
def test_a_recorded_body_is_what_the_sdk_adds_its_stream_up_to(row: Row) -> None:
    """Both clients of the SDK assemble from the stream of a recorded body what they parse that body to."""
    body = content_of(row)
    document = read_json(body)
    assert isinstance(document, dict)
    stream = MESSAGES_RENDERING.stream(document, False)
    lost = LOST_BY_PLAIN.get(row["file"], set())

    assert parse(body, beta=True) == assemble(stream, beta=True)
    assert without(parse(body, beta=False), lost) == without(assemble(stream, beta=False), lost)
    assert document == body_again(document)


@pytest.mark.parametrize("row", ANSWERED, ids=name_of)
def test_a_recorded_stream_keeps_its_outcome(row: Row) -> None:
    """The body of a stream, and the stream of that body, are whole and tell the same usage, end and soundness."""
    document = read_json(MESSAGES_RENDERING.body(events_of(content_of(row))) or b"")
    assert isinstance(document, dict)
    # The body names the model that answered after a fallback, the stream's start the one that was asked.
    expected = replace(outcome_of(content_of(row)), model=str(document["model"]))

    assert expected.whole
    assert expected == MESSAGES.read_body(document)
    assert expected == outcome_of(MESSAGES_RENDERING.stream(document, False))
    assert document == body_again(document)


@pytest.mark.parametrize("row", ANSWERED, ids=name_of)
def test_a_cut_stream_has_no_body(row: Row) -> None:
    """A stream that is not whole has no body, wherever it was cut, and neither has one that goes on after its end."""
    events = events_of(content_of(row))

    assert [None] * len(events) == [MESSAGES_RENDERING.body(events[:cut]) for cut in range(len(events))]
    assert MESSAGES_RENDERING.body([*events, events[0]]) is None


@pytest.mark.parametrize("row", [row for row in OURS if row["complete"] != "yes" or row["file"] == BROKEN], ids=name_of)
def test_what_is_broken_has_no_body(row: Row) -> None:
    """A stream that was cut, that failed, or whose call cannot be read has no body."""
    assert MESSAGES_RENDERING.body(events_of(content_of(row))) is None


def start(**members: Json) -> Document:
    usage: Document = {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1}
    message: Document = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    return {
        "type": "message_start",
        "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage, **members},
    }


def block(start: Document, *deltas: Document, index: int = 0) -> Frames:
    first: Document = {"type": "content_block_start", "index": index, "content_block": start}
    filling: Frames = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [first, *filling, {"type": "content_block_stop", "index": index}]


def end(delta: Document, usage: Json = None, **beside: Json) -> Document:
    return {"type": "message_delta", "delta": delta, "usage": usage, **beside}


def arguments(text: str) -> Document:
    return {"type": "input_json_delta", "partial_json": text}


TEXT: Document = {"type": "text", "text": ""}
THINKING: Document = {"type": "thinking", "thinking": "", "signature": ""}
CALL: Document = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
COMPACTION: Document = {"type": "compaction", "content": None, "encrypted_content": None}
A: Document = {"type": "text_delta", "text": "a"}
SIGNED: Document = {"type": "signature_delta", "signature": "s"}
COMPACTED: Document = {"type": "compaction_delta", "content": "c", "encrypted_content": "e"}
CITED: Document = {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "t"}}
END = end({"stop_reason": "end_turn", "stop_sequence": None}, {"output_tokens": 9})
STOP: Document = {"type": "message_stop"}
PING: Document = {"type": "ping"}


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (block(TEXT, A, A), {"type": "text", "text": "aa"}),
        (block({"type": "text", "text": "b"}, A), {"type": "text", "text": "ba"}),
        (block(TEXT), TEXT),
        (block(TEXT, CITED, A, CITED), {"type": "text", "text": "a", "citations": [CITED["citation"]] * 2}),
        (
            block({**TEXT, "citations": None}, A, CITED),
            {"type": "text", "text": "a", "citations": [CITED["citation"]]},
        ),
        (
            block(THINKING, {"type": "thinking_delta", "thinking": "t", "estimated_tokens": 5}, SIGNED),
            {"type": "thinking", "thinking": "t", "signature": "s"},
        ),
        (block({"type": "thinking", "thinking": ""}, SIGNED), {"type": "thinking", "thinking": "", "signature": "s"}),
        (block({"type": "redacted_thinking", "data": "d"}), {"type": "redacted_thinking", "data": "d"}),
        (block(CALL, arguments('{"a":'), arguments("1.0}")), {**CALL, "input": {"a": 1.0}}),
        (block(CALL, arguments("")), CALL),
        (block({**CALL, "input": {"a": 1}}), {**CALL, "input": {"a": 1}}),
        (block({**CALL, "type": "mcp_tool_use"}, arguments("{}")), {**CALL, "type": "mcp_tool_use"}),
        (block(COMPACTION, COMPACTED), {"type": "compaction", "content": "c", "encrypted_content": "e"}),
        (block({"type": "unheard", "of": [1]}), {"type": "unheard", "of": [1]}),
    ],
)
def test_blocks_add_up(frames: Frames, expected: Json) -> None:
    """Every kind of block is what its deltas add up to, and one that is not known comes whole."""
    body = body_of(start(), *frames, END, STOP)

    assert isinstance(body, dict)
    assert [expected] == body["content"]


@pytest.mark.parametrize(
    "frames",
    [
        block(TEXT, {"type": "unheard_delta", "text": "a"}),
        block(TEXT, {**A, "unheard": 1}),
        block(TEXT, arguments("{}")),
        block(TEXT, SIGNED),
        block(CALL, A),
        block({"type": "unheard"}, A),
        block({"type": "unheard_tool_use"}, arguments("{}")),
        block({"type": "text"}, A),
        block({"text": ""}),
        block({**TEXT, "citations": [1]}, CITED),
        block(TEXT, {"type": "citations_delta", "citation": 1}),
        block(THINKING, SIGNED, SIGNED),
        block(COMPACTION, COMPACTED, COMPACTED),
        block(CALL, arguments("{")),
        block(CALL, arguments("[]")),
        block(CALL, arguments('{"a":' + "7" * 41 + "}")),
        block(CALL, arguments('{"a":1,"a":2}')),
        block({**CALL, "input": {"a": 1}}, arguments("{}")),
        block(TEXT, A, index=1),
        block(TEXT, A)[:-1],
        block(TEXT, A)[1:],
        [block(TEXT, A)[0], *block(TEXT, A)],
        [*block(TEXT, A), *block(TEXT, A)],
        [{"type": "unheard"}],
        [{"type": "unheard", "index": 0}],
        [{**block(TEXT)[0], "unheard": 1}, *block(TEXT)[1:]],
        [{"type": "content_block_start", "index": 0, "content_block": "text"}],
        [start()],
        [STOP],
    ],
)
def test_what_is_not_known_has_no_body(frames: Frames) -> None:
    """Blocks, deltas, members and orders of events that cannot be added up for certain give nothing."""
    assert body_of(start(), *frames, END, STOP) is None


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [PING],
        [STOP],
        [start()],
        [END, STOP],
        [start(), STOP],
        [start(content=[TEXT]), END, STOP],
        [start(content=None), END, STOP],
        [start(usage=[]), END, STOP],
        [{"type": "message_start", "message": 1}, END, STOP],
        [start(), end({"stop_reason": None}), STOP],
        [start(), end({"stop_reason": "end_turn", "unheard": 1}), STOP],
        [start(), end({"stop_reason": "end_turn"}, unheard=1), STOP],
        [start(), end({"stop_reason": "end_turn"}, usage=1), STOP],
        [start(), {"type": "message_delta"}, STOP],
        [start(), END, STOP, STOP],
        [start(), END, {"type": "error", "error": {}}, STOP],
    ],
)
def test_a_stream_without_an_end_has_no_body(frames: Frames) -> None:
    """A message starts empty, tells why it stopped, and ends with message_stop."""
    assert body_of(*frames) is None


def test_counters_of_a_stream_are_totals() -> None:
    """The last known value of every counter is the body's, null leaves what is known, and details come along."""
    first = end({"stop_reason": "end_turn", "stop_sequence": None}, {"input_tokens": 7, "iterations": [{"a": 1}]})
    second = end({"stop_reason": None}, {"input_tokens": None, "output_tokens": 9, "unheard": {"b": 2}, "c": None})
    body = body_of(start(), first, second, STOP)

    assert isinstance(body, dict)
    assert "end_turn" == body["stop_reason"]
    assert {
        "input_tokens": 7,
        "cache_read_input_tokens": 2,
        "output_tokens": 9,
        "iterations": [{"a": 1}],
        "unheard": {"b": 2},
        "c": None,
    } == body["usage"]


def test_what_stands_at_the_end_is_in_the_body() -> None:
    """Stop sequence and details, container and context management go to the body's top; padding does not."""
    told: Document = {
        "stop_reason": "stop_sequence",
        "stop_sequence": "x",
        "stop_details": {"type": "d"},
        "container": {"id": "c"},
    }
    beside: Document = {"context_management": {"applied_edits": []}, "input_transformations": []}
    last: Document = {**STOP, "p": "abc", "amazon-bedrock-invocationMetrics": {"outputTokenCount": 1}}
    body = body_of(PING, start(container=None), *block(TEXT, A), PING, end(told, **beside), last, PING)

    assert isinstance(body, dict)
    assert {**told, **beside} == {name: body[name] for name in (*told, *beside)}
    assert {"p", "delta", "index"}.isdisjoint(body)


def test_a_stream_without_usage_gives_a_body_without() -> None:
    """Usage that nobody told is not made up, and null stays null."""
    bare: Document = {"type": "message_start", "message": {"content": []}}

    assert {"content": [], "stop_reason": "end_turn"} == body_of(bare, end({"stop_reason": "end_turn"}), STOP)
    body = body_of(start(usage=None), end({"stop_reason": "end_turn"}), STOP)
    assert isinstance(body, dict)
    assert {} == body["usage"]


DOCUMENT: Document = {"content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 2}}


def test_a_stream_is_told_event_by_event() -> None:
    """A body without a model, as clouds send it, is streamed as Anthropic does, its output counted at the end."""
    usage: Document = {"input_tokens": 1, "output_tokens": 2, "server_tool_use": {"web_search_requests": 1}}
    document: Document = {**DOCUMENT, "usage": usage, "content": [{**CALL, "input": {"a": "é"}}]}
    at_first: Document = {"content": [], "stop_reason": None, "usage": {"input_tokens": 1, "output_tokens": 0}}

    expected: Frames = [
        {"type": "message_start", "message": at_first},
        *block(CALL, arguments('{"a":"é"}')),
        end({"stop_reason": "end_turn"}, usage),
        STOP,
    ]
    events = events_of(MESSAGES_RENDERING.stream(document, False))

    assert expected == [read_json(event.data or "") for event in events]
    assert [frame["type"] for frame in expected] == [event.name for event in events]


@pytest.mark.parametrize(
    "members",
    [
        {"content": None},
        {"content": ["a"]},
        {"content": [{"text": "a"}]},
        {"content": [{"type": "text", "text": ["a"]}]},
        {"content": [{"type": "text", "text": "a", "citations": {"a": 1}}]},
        {"content": [{**CALL, "input": "a"}]},
        {"content": [{**CALL, "input": {"a": "\ud83d"}}]},
        {"content": [{**CALL, "input": {"a": float("7" * 41)}}]},
        {"content": [{"type": "fallback", "to": {"model": "other"}}], "model": "m"},
        {"content": [{"type": "fallback"}]},
        {"stop_reason": None},
        {"stop_reason": ""},
        {"usage": None},
        {"usage": {"input_tokens": 1}},
        {"usage": {"output_tokens": None}},
    ],
)
def test_a_body_that_no_stream_adds_up_to_has_none(members: Document) -> None:
    """Content of another shape, a message that has not ended and a usage that clients cannot read give nothing."""
    assert MESSAGES_RENDERING.stream(DOCUMENT, False) is not None
    assert MESSAGES_RENDERING.stream({**DOCUMENT, **members}, False) is None


def shape(
    needed: Mapping[str, st.SearchStrategy[object]], optional: Mapping[str, st.SearchStrategy[object]] | None = None
) -> st.SearchStrategy[Document]:
    """Objects with these members."""
    return cast("st.SearchStrategy[Document]", st.fixed_dictionaries({**needed}, optional={**(optional or {})}))


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(0, 2**53)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e30, 1e30) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
INPUTS = st.dictionaries(WORDS, JSON, max_size=3)
CITATIONS = shape(
    {
        "type": st.just("web_search_result_location"),
        "cited_text": WORDS,
        "url": WORDS,
        "title": st.none() | WORDS,
        "encrypted_index": WORDS,
    }
)


BLOCKS = st.one_of(
    shape({"type": st.just("text"), "text": WORDS}, optional={"citations": st.lists(CITATIONS)}),
    shape({"type": st.just("thinking"), "thinking": WORDS, "signature": WORDS}),
    shape({"type": st.just("redacted_thinking"), "data": WORDS}),
    shape(
        {
            "type": st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
            "id": WORDS,
            "name": WORDS,
            "server_name": WORDS,
            "input": INPUTS,
        },
        optional={"caller": st.just({"type": "direct"})},
    ),
    shape({"type": st.just("container_upload"), "file_id": WORDS}),
    shape(
        {"type": st.just("compaction"), "content": st.none() | WORDS, "encrypted_content": st.none() | WORDS},
        optional={"signature": WORDS},
    ),
)
USAGES = shape(
    {"input_tokens": COUNTS, "output_tokens": COUNTS},
    optional={
        "cache_creation_input_tokens": st.none() | COUNTS,
        "cache_read_input_tokens": st.none() | COUNTS,
        "cache_creation": shape({"ephemeral_5m_input_tokens": COUNTS, "ephemeral_1h_input_tokens": COUNTS}),
        "server_tool_use": st.none() | shape({"web_search_requests": COUNTS}),
        "output_tokens_details": shape({"thinking_tokens": COUNTS}),
        "service_tier": st.just("standard"),
        "iterations": st.lists(shape({"type": st.just("message"), "input_tokens": COUNTS, "output_tokens": COUNTS})),
    },
)
MESSAGE = shape(
    {
        "id": WORDS,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "content": st.lists(BLOCKS, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal"]),
        "stop_sequence": st.none() | WORDS,
        "usage": USAGES,
    },
    optional={
        "model": WORDS,
        "stop_details": st.none(),
        "container": st.none() | shape({"id": WORDS, "expires_at": WORDS}),
        "context_management": st.just({"applied_edits": []}),
    },
)


@settings(max_examples=60 * PROOF)
@given(MESSAGE)
def test_every_body_survives_its_stream(document: Document) -> None:
    """A body's stream adds up to that body, for us and for the SDK, and tells the same outcome."""
    stream = MESSAGES_RENDERING.stream(document, False)

    assert document == body_again(document)
    assert MESSAGES.read_body(document) == outcome_of(stream)
    assert parse(json.dumps(document).encode(), beta=True) == assemble(stream, beta=True)


ODD = st.dictionaries(
    st.sampled_from(["type", "index", "message", "content_block", "delta", "usage", "content", "stop_reason", "input"]),
    st.sampled_from(["message_start", "content_block_start", "content_block_delta", "text", "text_delta", "end_turn"])
    | st.just(0)
    | JSON,
)


@settings(max_examples=200 * PROOF)
@given(ODD, st.lists(ODD, max_size=4))
def test_odd_content_raises_nothing(document: Document, frames: list[Document]) -> None:
    """Content of any shape gives nothing, or what is asked; it never raises."""
    stream = MESSAGES_RENDERING.stream({**DOCUMENT, **document, "content": [*frames]}, False)
    body = MESSAGES_RENDERING.body([Event(b"", "", json.dumps(frame)) for frame in (start(), *frames, END, STOP)])

    assert stream is None or outcome_of(stream).whole
    assert body is None or isinstance(read_json(body), dict)
