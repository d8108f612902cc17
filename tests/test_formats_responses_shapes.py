"""OpenAI's responses in their other shape, judged by OpenAI's SDK and by the format's own readers."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import Outcome
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.responses import RESPONSES
from coo_middleware.formats.responses_shapes import RESPONSES_RENDERING
from tests.proof import PROOF
from tests.test_corpus_formats import ROWS, Row, content_of, format_of, name_of

OURS = [row for row in ROWS if row["status"] == 200 and format_of(row) is RESPONSES]
# A response of status incomplete is no less whole on the wire, see tests/test_corpus_formats.py.
ENDED = [row for row in OURS if row["complete"] == "yes" or row["finish"] == "incomplete"]
STREAMS = [row for row in ENDED if row["framing"] == "sse"]
BODIES = [row for row in ENDED if row["framing"] == "json"]


def events_of(content: bytes | None) -> list[Event]:
    assert content is not None
    return SSEDecoder(1 << 26).feed(content)


def encode(*frames: Document) -> bytes:
    return b"".join(f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n".encode() for frame in frames)


def document_of(content: bytes | None) -> Document:
    document = read_json(content or b"")
    assert isinstance(document, dict)
    return document


def body_of(*frames: Document) -> Json:
    """The body of a stream; no other body is null."""
    content = RESPONSES_RENDERING.body(events_of(encode(*frames)))
    return None if content is None else read_json(content)


def frames_of(document: Document) -> list[Document]:
    return [
        document_of((event.data or "").encode()) for event in events_of(RESPONSES_RENDERING.stream(document, False))
    ]


def outcome_of(content: bytes | None) -> Outcome:
    reader = RESPONSES.read_stream()
    for event in events_of(content):
        reader.feed(event)
    return reader.outcome()


def client_of(content: bytes, media: str) -> openai.OpenAI:
    """A client whose every call is answered with `content`."""

    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=content, headers={"content-type": media})

    return openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(handle)))


def parse(content: bytes | None) -> dict[str, object]:
    """What the SDK makes of a body. It may tell null where the wire is silent, so null is nothing."""
    assert content is not None
    response = client_of(content, "application/json").responses.create(model="m", input="i")
    return response.to_dict(mode="json", exclude_none=True, warnings=False)


def assemble(content: bytes | None) -> dict[str, object]:
    """What the SDK adds a stream up to. It gives no final response where that is incomplete, but its last event."""
    assert content is not None
    with client_of(content, "text/event-stream").responses.stream(model="m", input="i") as stream:
        last = list(stream)[-1]
        assert last.type in ("response.completed", "response.incomplete")
        response = stream.get_final_response() if last.type == "response.completed" else last.response
    return response.to_dict(mode="json", exclude_none=True, warnings=False)


def snapshots(content: bytes | None) -> dict[tuple[int, int], str]:
    """The texts and arguments that the SDK has gathered from the deltas, by item and part."""
    assert content is not None
    texts: dict[tuple[int, int], str] = {}
    with client_of(content, "text/event-stream").responses.stream(model="m", input="i") as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                texts[event.output_index, event.content_index] = event.snapshot
            elif event.type == "response.function_call_arguments.delta":
                texts[event.output_index, -1] = event.snapshot
    return texts


def told_texts(document: Document) -> Iterator[tuple[tuple[int, int], Json]]:
    for index, item in enumerate(objects_of(document["output"])):
        if item["type"] == "function_call":
            yield (index, -1), item["arguments"]
        if item["type"] == "message":
            for part_index, part in enumerate(objects_of(item["content"])):
                if part["type"] == "output_text" and part["text"]:
                    yield (index, part_index), part["text"]


def objects_of(value: Json) -> list[Document]:
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, dict)]


@pytest.mark.parametrize("row", STREAMS, ids=name_of)
def test_a_recorded_stream_is_the_body_that_the_sdk_adds_up(row: Row) -> None:
    """The body of a recorded stream is what the SDK assembles from that stream."""
    body = RESPONSES_RENDERING.body(events_of(content_of(row)))

    assert assemble(content_of(row)) == parse(body)
    assert document_of((events_of(content_of(row))[-1].data or "").encode())["response"] == document_of(body)


@pytest.mark.parametrize("row", BODIES, ids=name_of)
def test_a_recorded_body_is_what_the_sdk_adds_its_stream_up_to(row: Row) -> None:
    """The SDK assembles from the stream of a recorded body what it parses that body to, texts and all."""
    document = document_of(content_of(row))
    stream = RESPONSES_RENDERING.stream(document, False)

    assert parse(content_of(row)) == assemble(stream)
    assert dict(told_texts(document)) == snapshots(stream)
    assert document == document_of(RESPONSES_RENDERING.body(events_of(stream)))


@pytest.mark.parametrize("row", ENDED, ids=name_of)
def test_a_recorded_answer_keeps_its_outcome(row: Row) -> None:
    """An answer and its other shape are whole and tell the same usage, end and soundness."""
    if row["framing"] == "sse":
        expected = outcome_of(content_of(row))
        document = document_of(RESPONSES_RENDERING.body(events_of(content_of(row))))
    else:
        document = document_of(content_of(row))
        expected = RESPONSES.read_body(document)

    assert expected.whole
    assert expected == RESPONSES.read_body(document)
    assert expected == outcome_of(RESPONSES_RENDERING.stream(document, False))


@pytest.mark.parametrize("row", STREAMS, ids=name_of)
def test_a_cut_stream_has_no_body(row: Row) -> None:
    """A stream that is not whole has no body, wherever it was cut, and neither has one that goes on after its end."""
    events = events_of(content_of(row))

    assert [None] * len(events) == [RESPONSES_RENDERING.body(events[:cut]) for cut in range(len(events))]
    assert RESPONSES_RENDERING.body([*events, events[0]]) is None
    assert RESPONSES_RENDERING.body([*events, events[-1]]) is None


@pytest.mark.parametrize("row", [row for row in OURS if row not in ENDED], ids=name_of)
def test_what_is_broken_has_no_body(row: Row) -> None:
    """A stream that was cut, or that failed, has no body."""
    assert RESPONSES_RENDERING.body(events_of(content_of(row))) is None


TEXT: Document = {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}
ITEM: Document = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [TEXT]}
UNHEARD: Document = {"type": "unheard", "text": 1}
CALL: Document = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "c",
    "name": "f",
    "arguments": "{}",
}
USAGE: Document = {"input_tokens": 1, "output_tokens": 2}
DOCUMENT: Document = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "completed_at": 2,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "output": [ITEM],
    "usage": USAGE,
}


def done(index: Json, item: Json) -> Document:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def added(index: int, item: Json) -> Document:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def end(**members: Json) -> Document:
    return {"type": "response.completed", "response": {**DOCUMENT, **members}}


@pytest.mark.parametrize(
    ("frames", "output"),
    [
        ([end()], [ITEM]),
        ([done(0, ITEM), end()], [ITEM]),
        ([done(0, ITEM), end(output=[])], [ITEM]),
        ([done(0, ITEM), end(output=None)], [ITEM]),
        ([done(4, CALL), done(2, ITEM), end(output=None)], [ITEM, CALL]),
        ([end(output=[])], []),
        ([{"type": "response.unheard", "of": 1}, {"type": "keepalive"}, end()], [ITEM]),
        ([end(output=[{"type": "unheard", "of": [1]}])], [{"type": "unheard", "of": [1]}]),
    ],
)
def test_the_end_tells_the_items(frames: list[Document], output: Json) -> None:
    """The output is the last event's, or the items that were done where that one repeats none of them."""
    assert {**DOCUMENT, "output": output} == body_of(*frames)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [{"type": "response.completed"}],
        [{"type": "response.completed", "response": 1}],
        [{"type": "response.incomplete", "response": DOCUMENT}],
        [{"type": "response.failed", "response": {**DOCUMENT, "status": "failed"}}],
        [end(status="failed")],
        [end(status="in_progress")],
        [end(status=None)],
        [end(error={"code": "server_error"})],
        [end(), end()],
        [{"type": "response.failed"}, end()],
        [end(), {"type": "response.unheard"}],
        [{"type": "error", "message": "m"}, end()],
        [{"type": "response.audio.delta", "delta": "AAAA"}, end()],
        [end(output=[1])],
        [end(output={"a": 1})],
        [done(0, {**ITEM, "content": []}), end()],
        [done(0, ITEM), done(1, CALL), end()],
        [done(0, ITEM), done(0, ITEM), end()],
        [done("0", ITEM), end()],
        [done(0, "item"), end()],
        [added(0, ITEM), end(output=None)],
        [added(0, ITEM), done(0, ITEM), added(1, CALL), end(output=[])],
    ],
)
def test_a_stream_that_has_lost_something_has_no_body(frames: list[Document]) -> None:
    """An end that is missing, doubled or a failure, and items that differ or are missing, give nothing."""
    assert body_of(*frames) is None


def test_a_stream_is_told_event_by_event() -> None:
    """A response begins empty, each item is added, filled and done, and events are numbered from zero."""
    cited: Document = {"type": "url_citation", "url": "u"}
    log: Document = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    part: Document = {**TEXT, "annotations": [cited], "logprobs": [log]}
    item: Document = {**ITEM, "content": [part]}
    document: Document = {**DOCUMENT, "output": [item]}
    early: Document = {**document, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    place: Document = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    expected: list[Document] = [
        {"type": "response.created", "response": early},
        {"type": "response.in_progress", "response": early},
        added(0, {**item, "status": "in_progress", "content": []}),
        {
            "type": "response.content_part.added",
            **place,
            "part": {**part, "text": "", "annotations": [], "logprobs": []},
        },
        {"type": "response.output_text.delta", **place, "delta": "a", "logprobs": [log]},
        {"type": "response.output_text.annotation.added", **place, "annotation_index": 0, "annotation": cited},
        {"type": "response.output_text.done", **place, "text": "a", "logprobs": [log]},
        {"type": "response.content_part.done", **place, "part": part},
        done(0, item),
        {"type": "response.completed", "response": document},
    ]

    assert [{**frame, "sequence_number": place} for place, frame in enumerate(expected)] == frames_of(document)
    names = [event.name for event in events_of(RESPONSES_RENDERING.stream(document, True))]
    assert [frame["type"] for frame in expected] == names


@pytest.mark.parametrize(
    ("item", "kinds"),
    [
        (CALL, ["function_call_arguments.delta", "function_call_arguments.done"]),
        (
            {"id": "i", "type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
            ["custom_tool_call_input.delta", "custom_tool_call_input.done"],
        ),
        ({**ITEM, "content": []}, []),
        ({**ITEM, "content": [{"type": "output_text", "text": ""}]}, ["content_part.added", "output_text.done"]),
        (
            {**ITEM, "content": [{"type": "refusal", "refusal": "no"}]},
            ["content_part.added", "refusal.delta", "refusal.done"],
        ),
        ({**ITEM, "content": [UNHEARD]}, ["content_part.added"]),
        (
            {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "content": None},
            ["reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done"],
        ),
        (
            {
                "id": "rs_1",
                "type": "reasoning",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "t"}],
                "encrypted_content": "gAAA",
            },
            ["content_part.added", "reasoning_text.delta", "reasoning_text.done"],
        ),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, []),
        ({"type": "unheard", "of": [1]}, []),
        ({"type": "function_call", "call_id": "c"}, []),
    ],
)
def test_items_are_filled_by_their_own_events(item: Document, kinds: list[str]) -> None:
    """Texts and arguments come in deltas, everything else whole, and the item that is done is the item."""
    frames = frames_of({**DOCUMENT, "output": [item]})
    filling = [str(frame["type"]).removeprefix("response.") for frame in frames[3:-2]]

    assert kinds == [kind for kind in filling if not kind.endswith("part.done")]
    assert {"output_index": 0, "item": item} == {name: frames[-2][name] for name in ("output_index", "item")}
    assert {**DOCUMENT, "output": [item]} == frames[-1]["response"]


@pytest.mark.parametrize(
    "members",
    [
        {"status": "failed"},
        {"status": "queued"},
        {"status": ["completed"]},
        {"error": {"code": "c"}},
        {"output": None},
        {"output": ["a"]},
        {"output": [{"id": "a"}]},
        {"output": [{**ITEM, "id": None}]},
        {"output": [{**ITEM, "content": "a"}]},
        {"output": [{**ITEM, "content": [{"text": "a"}]}]},
        {"output": [{**ITEM, "content": [{**TEXT, "text": None}]}]},
        {"output": [{**ITEM, "content": [{**TEXT, "annotations": [1]}]}]},
        {"output": [{**CALL, "arguments": {}}]},
        {"output": [ITEM, ITEM]},
        {"output": [CALL, {**CALL, "id": "fc_2"}]},
        {"output": [{"type": "unheard"}, {"type": "unheard"}]},
        {"metadata": {"a": "\ud83d"}},
    ],
)
def test_a_body_that_cannot_be_streamed_has_no_stream(members: Document) -> None:
    """A response that has not ended well, and items that a client could not follow, give nothing."""
    assert RESPONSES_RENDERING.stream(DOCUMENT, False) is not None
    assert RESPONSES_RENDERING.stream({**DOCUMENT, **members}, False) is None


def shape(
    needed: Mapping[str, st.SearchStrategy[object]], optional: Mapping[str, st.SearchStrategy[object]] | None = None
) -> st.SearchStrategy[Document]:
    """Objects with these members."""
    return cast("st.SearchStrategy[Document]", st.fixed_dictionaries({**needed}, optional={**(optional or {})}))


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
STATUS = st.sampled_from(["completed", "incomplete"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e30, 1e30) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
LOGPROBS = shape({"token": WORDS, "logprob": st.floats(-100, 0), "bytes": st.just([1]), "top_logprobs": st.just([])})
NOTES = shape({"type": st.just("file_citation"), "file_id": WORDS, "filename": WORDS, "index": st.integers(0, 99)})
PARTS = shape(
    {"type": st.just("output_text"), "text": WORDS, "annotations": st.lists(NOTES, max_size=2)},
    optional={"logprobs": st.none() | st.lists(LOGPROBS, max_size=2)},
) | shape({"type": st.just("refusal"), "refusal": WORDS})
SUMMARIES = shape({"type": st.just("summary_text"), "text": WORDS})
THOUGHTS = shape({"type": st.just("reasoning_text"), "text": WORDS})
ITEMS = st.one_of(
    shape(
        {
            "type": st.just("message"),
            "status": STATUS,
            "role": st.just("assistant"),
            "content": st.lists(PARTS, max_size=3),
        },
        optional={"phase": st.sampled_from(["commentary", "final_answer"])},
    ),
    shape(
        {"type": st.just("reasoning"), "summary": st.lists(SUMMARIES, max_size=2)},
        optional={"content": st.none() | st.lists(THOUGHTS, max_size=2), "encrypted_content": st.none() | WORDS},
    ),
    shape(
        {"type": st.just("function_call"), "status": STATUS, "name": WORDS, "arguments": WORDS},
    ),
    shape({"type": st.just("custom_tool_call"), "name": WORDS, "input": WORDS}),
    shape({"type": st.just("web_search_call"), "status": STATUS, "action": st.just({"type": "search", "query": "q"})}),
)


def numbered(items: Iterable[Document]) -> list[Document]:
    return [{**item, "id": f"id_{place}", "call_id": f"call_{place}"} for place, item in enumerate(items)]


RESPONSE = shape(
    {
        "id": WORDS,
        "object": st.just("response"),
        "created_at": st.integers(0, 2**40),
        "status": STATUS,
        "error": st.none(),
        "model": WORDS,
        "output": st.lists(ITEMS, max_size=4).map(numbered),
        "parallel_tool_calls": st.booleans(),
        "tool_choice": st.just("auto"),
        "tools": st.just([]),
    },
    optional={
        "usage": st.none() | st.just(USAGE),
        "metadata": st.dictionaries(WORDS, WORDS, max_size=2),
        "temperature": st.floats(0, 2),
        "incomplete_details": st.just({"reason": "max_output_tokens"}),
        "completed_at": st.integers(0, 2**40),
    },
)


@settings(max_examples=60 * PROOF)
@given(RESPONSE)
def test_every_body_survives_its_stream(document: Document) -> None:
    """A body's stream adds up to that body, for us and for the SDK, deltas and all, and tells the same outcome."""
    stream = RESPONSES_RENDERING.stream(document, False)

    assert document == document_of(RESPONSES_RENDERING.body(events_of(stream)))
    assert RESPONSES.read_body(document) == outcome_of(stream)
    assert parse(json.dumps(document).encode()) == assemble(stream)
    assert dict(told_texts(document)) == snapshots(stream)


ODD = st.dictionaries(
    st.sampled_from(["type", "item", "response", "output", "output_index", "status", "content", "summary", "id"]),
    st.sampled_from(["message", "reasoning", "response.output_item.done", "response.completed", "completed"])
    | st.just(0)
    | JSON,
)


@settings(max_examples=200 * PROOF)
@given(ODD, st.lists(ODD, max_size=4))
def test_odd_content_raises_nothing(document: Document, frames: list[Document]) -> None:
    """Content of any shape gives nothing, or what is asked; it never raises."""
    odd: Document = {**DOCUMENT, **document, "output": [*frames]}
    stream = RESPONSES_RENDERING.stream(odd, False)
    body = RESPONSES_RENDERING.body([Event(b"", "", json.dumps(frame)) for frame in (*frames, end(**document))])

    assert stream is None or outcome_of(stream).whole
    assert body is None or isinstance(read_json(body), dict)
