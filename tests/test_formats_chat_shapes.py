"""Both shapes of a chat completion: each is made of the other, and nothing is lost on the way."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import TypedDict

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import Outcome
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.answer import items_of
from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.chat_shapes import CHAT_RENDERING
from tests.proof import choose

CORPUS = Path(__file__).parent / "corpus"

# What the SDK's own assembly loses or spoils, by file and member; it is not compared.
LOST: dict[str, tuple[str, ...]] = {
    # It passes over the first chunk, which is none by its object, and keeps a choice's first, empty results.
    "azure/chat/test-chat-streaming.sse": ("prompt_filter_results", "content_filter_results"),
    # It joins the label of every fragment, and knows nothing of usage in x_groq.
    "groq/chat/test-tool-use-failed-error-streaming-2.sse": ("channel", "usage"),
    # It joins a role that every delta repeats.
    "local-openai/chat/test-chat-streaming.sse": ("role",),
}


class Row(TypedDict):
    """What is needed of a line of the index."""

    file: str
    endpoint: str
    family: str
    framing: str
    complete: str


def read_rows(framing: str) -> list[str]:
    rows: list[Row] = [json.loads(line) for line in (CORPUS / "index.jsonl").read_text().splitlines()]
    chats = [row for row in rows if row["endpoint"] == "chat" and row["family"] == "openai"]
    return [row["file"] for row in chats if row["framing"] == framing and row["complete"] == "yes"]


STREAMS = read_rows("sse")
BODIES = read_rows("json")


def events_of(content: bytes) -> list[Event]:
    return SSEDecoder(1 << 24).feed(content)


def document_of(content: bytes | None) -> Document:
    document = read_json(content or b"")
    assert isinstance(document, dict)
    return document


def recorded(file: str) -> bytes:
    return (CORPUS / file).read_bytes()


def read_stream(content: bytes) -> Outcome:
    reader = CHAT.read_stream()
    for event in events_of(content):
        reader.feed(event)
    return reader.outcome()


def stream_of(document: Document, include_usage: bool = True) -> bytes:
    content = CHAT_RENDERING.stream(document, include_usage)
    assert content is not None
    return content


def body_of(content: bytes) -> Document:
    return document_of(CHAT_RENDERING.body(events_of(content)))


@contextmanager
def answered(content: bytes, media_type: str) -> Iterator[openai.OpenAI]:
    """An SDK's client that gets `content` for an answer."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": media_type}, content=content)

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    with openai.OpenAI(api_key="sk", base_url="http://upstream/v1", http_client=transport) as client:
        yield client


def assembled(content: bytes) -> Document:
    """What the SDK assembles from a stream."""
    with (
        answered(content, "text/event-stream") as client,
        client.chat.completions.stream(model="m", messages=[]) as stream,
    ):
        stream.until_done()
        return document_of(stream.current_completion_snapshot.to_json().encode())


def parsed(content: bytes) -> Document:
    """What the SDK reads in a body."""
    with answered(content, "application/json") as client:
        return document_of(client.chat.completions.create(model="m", messages=[]).to_json().encode())


def plain(value: Json, lost: Sequence[str] = ()) -> Json:
    """Without nulls, without what the SDK adds to what was sent, and without what its assembly loses."""
    if isinstance(value, list):
        return [plain(item, lost) for item in value]
    if not isinstance(value, dict):
        return value
    left_out = {"parsed", "parsed_arguments", *lost} | ({"index"} if {"function", "custom"} & value.keys() else set())
    members = {name: plain(member, lost) for name, member in value.items() if name not in left_out}
    return {name: member for name, member in members.items() if member is not None}


@pytest.mark.parametrize("file", STREAMS)
def test_a_body_is_what_the_sdk_assembles(file: str) -> None:
    """The body made of a recorded stream is to the SDK what it assembles from that stream."""
    body = CHAT_RENDERING.body(events_of(recorded(file)))
    lost = LOST.get(file, ())

    assert plain(assembled(recorded(file)), lost) == plain(parsed(body or b""), lost)


@pytest.mark.parametrize("file", BODIES)
def test_a_stream_is_to_the_sdk_what_the_body_is(file: str) -> None:
    """The stream made of a recorded body is assembled by the SDK into what it reads in that body."""
    stream = stream_of(document_of(recorded(file)))

    assert plain(parsed(recorded(file))) == plain(assembled(stream))


@pytest.mark.parametrize("file", LOST)
def test_what_the_sdk_loses_is_kept(file: str) -> None:
    """What the SDK's assembly loses or spoils is in the body as the provider said it."""
    body = body_of(recorded(file))
    choice = items_of(body["choices"])[0]
    safe: Json = {"filtered": False, "severity": "safe"}
    safes: Document = dict.fromkeys(("hate", "self_harm", "sexual", "violence"), safe)
    label = plain(choice["message"], ["content", "reasoning", "tool_calls"])
    kept: dict[str, list[tuple[Json, Json]]] = {
        "azure": [
            (safes, choice.get("content_filter_results")),
            ([{"prompt_index": 0, "content_filter_results": safes}], body.get("prompt_filter_results")),
        ],
        "groq": [({"role": "assistant", "channel": "analysis"}, label)],
        "local-openai": [({"role": "assistant"}, label)],
    }

    for expected, found in kept[file.partition("/")[0]]:
        assert expected == found


@pytest.mark.parametrize("file", STREAMS)
def test_a_recorded_stream_keeps_its_outcome(file: str) -> None:
    """Usage, finish reasons, soundness and model of the body made of it are those of a recorded stream."""
    # Whether [DONE] came is told of streams alone.
    outcome = replace(read_stream(recorded(file)), closed=True)

    assert outcome == CHAT.read_body(body_of(recorded(file)))


@pytest.mark.parametrize("file", BODIES)
def test_a_recorded_body_keeps_its_outcome(file: str) -> None:
    """Usage, finish reasons, soundness and model of the stream made of it are those of a recorded body."""
    document = document_of(recorded(file))

    assert CHAT.read_body(document) == read_stream(stream_of(document))


@pytest.mark.parametrize("file", STREAMS)
def test_a_cut_stream_has_no_body(file: str) -> None:
    """A stream that lacks a finish reason has no body, wherever it was cut."""
    events = events_of(recorded(file))
    last = max(place for place, event in enumerate(events) if '"finish_reason":"' in (event.data or ""))

    for end in range(last + 1):
        assert CHAT_RENDERING.body(events[:end]) is None
    assert CHAT_RENDERING.body(events[: last + 1]) is not None


def frame(document: Json, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document)}\n\n".encode()


def chunk_of(*choices: Json, **members: Json) -> bytes:
    head: Document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return frame({**head, "choices": list(choices), **members})


def chunk(delta: Json, index: int = 0, finish: str | None = None, **members: Json) -> bytes:
    return chunk_of({"index": index, "delta": delta, "finish_reason": finish, **members})


def calling(*calls: Json) -> bytes:
    return chunk({"tool_calls": list(calls)})


def call(arguments: str, **members: Json) -> Document:
    return {"function": {"arguments": arguments}, **members}


def message_of(*frames: bytes) -> Document:
    message = items_of(body_of(b"".join((*frames, STOP, DONE)))["choices"])[0]["message"]
    assert isinstance(message, dict)
    return {name: value for name, value in message.items() if name != "role"}


DONE = b"data: [DONE]\n\n"
TEXT = chunk({"content": "a"})
STOP = chunk({}, finish="stop")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([chunk({"role": "assistant", "content": ""}), TEXT, TEXT], {"content": "aa"}),
        ([b": keep-alive\n\n", TEXT, b": bye\n\n"], {"content": "a"}),
        ([chunk({"refusal": "n", "content": None}), chunk({"refusal": "o"})], {"refusal": "no", "content": None}),
        ([chunk({"reasoning_content": "h"}), chunk({"reasoning_content": "m", "content": "a"})],
         {"reasoning_content": "hm", "content": "a"}),
        (
            [
                calling(call("", index=0, id="x", type="function"), call("{", index=1, id="y")),
                calling(call("{}", index=0), call("}", index=1, id="y")),
            ],
            {"tool_calls": [call("{}", id="x", type="function"), call("{}", id="y")]},
        ),
        ([calling(call("{}", index=1, id="y")), calling(call("{}", index=0, id="x"))],
         {"tool_calls": [call("{}", id="x"), call("{}", id="y")]}),
        ([calling(call("{}", id="")), TEXT], {"tool_calls": [call("{}", id="")], "content": "a"}),
        ([calling(call("{}", id="x")), calling(call("{}", id="y"))],
         {"tool_calls": [call("{}", id="x"), call("{}", id="y")]}),
        (
            [
                calling({"index": 0, "id": "x", "type": "custom", "custom": {"name": "f", "input": "a"}}),
                calling({"index": 0, "custom": {"input": "b"}}),
            ],
            {"tool_calls": [{"id": "x", "type": "custom", "custom": {"name": "f", "input": "ab"}}]},
        ),
        ([chunk({"function_call": {"name": "f", "arguments": "{"}}), chunk({"function_call": {"arguments": "}"}})],
         {"function_call": {"name": "f", "arguments": "{}"}}),
        ([TEXT, chunk({"annotations": [{"type": "url_citation"}]}), chunk({"annotations": [{"type": "url_citation"}]})],
         {"content": "a", "annotations": [{"type": "url_citation"}, {"type": "url_citation"}]}),
        (
            [
                chunk({"audio": {"id": "x", "transcript": "a"}}),
                chunk({"audio": {"data": "YWFh", "transcript": "b"}}),
                chunk({"audio": {"data": "YQ=="}}),
                chunk({"audio": {"expires_at": 9}}),
            ],
            {"audio": {"id": "x", "transcript": "ab", "data": "YWFhYQ==", "expires_at": 9}},
        ),
        (
            [
                chunk({"reasoning_details": [{"type": "reasoning.text", "index": 0, "format": "f", "text": "h"}]}),
                chunk({"reasoning_details": [{"type": "reasoning.text", "index": 0, "format": "f", "text": "m"}]}),
                chunk({"reasoning_details": [{"type": "reasoning.encrypted", "index": 0, "data": "x"}]}),
                TEXT,
            ],
            {
                "content": "a",
                "reasoning_details": [
                    {"type": "reasoning.text", "index": 0, "format": "f", "text": "hm"},
                    {"type": "reasoning.encrypted", "index": 0, "data": "x"},
                ],
            },
        ),
        (
            [
                chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]}),
                chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}], "closed": True}]}),
                TEXT,
                TEXT,
            ],
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
                    {"type": "text", "text": "aa"},
                ]
            },
        ),
        ([chunk({"content": "a", "unheard": {"a": "x", "b": 1}}), chunk({"unheard": {"a": "y", "b": 2}})],
         {"content": "a", "unheard": {"a": "xy", "b": 2}}),
        ([TEXT, chunk(None)], {"content": "a"}),
    ],
)  # fmt: skip
def test_fragments_make_a_message(frames: list[bytes], message: Document) -> None:
    """Every member of a message that a dialect sends in fragments is put together, and ids stay."""
    assert message == message_of(*frames)


def test_choices_are_kept_apart() -> None:
    """Choices that come interleaved stand in the body in the order of their indexes, each with its own members."""
    frames = [
        chunk({"content": "b"}, 1, logprobs={"content": [{"token": "b"}], "refusal": None}),
        chunk({"content": "a"}, 0, text="a", native_finish_reason=None),
        chunk({"content": "b"}, 1, logprobs={"content": [{"token": "b"}], "refusal": [{"token": "r"}]}),
        chunk_of({"index": 0, "delta": {}, "finish_reason": "length", "native_finish_reason": "MAX", "text": "!"},
                 {"index": 1, "delta": {}, "finish_reason": "stop", "logprobs": None}),
        DONE,
    ]  # fmt: skip
    expected: Json = [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a"},
            "finish_reason": "length",
            "native_finish_reason": "MAX",
            "text": "a!",
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": "bb"},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "b"}, {"token": "b"}], "refusal": [{"token": "r"}]},
        },
    ]

    assert expected == body_of(b"".join(frames))["choices"]


def test_what_is_told_beside_the_choices_is_kept() -> None:
    """Members of chunks are kept, the first time and the last count of each; padding is dropped."""
    frames = [
        chunk_of(id="", object="", created=0, model="", prompt_filter_results=[{"prompt_index": 0}]),
        chunk_of({"index": 0, "delta": {"content": "a"}}, obfuscation="x", p="ab", usage={"prompt_tokens": 1}),
        chunk_of({"index": 0, "finish_reason": "stop"}, created=2, citations=["u"], usage=None, x_groq={"id": "g"}),
        chunk_of(usage={"prompt_tokens": 1, "completion_tokens": 2}, service_tier="default", citations=["u"]),
        frame({"id": "c", "object": "chat.completion.chunk", "created": 2, "model": "m"}),
        DONE,
    ]
    expected: Document = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "prompt_filter_results": [{"prompt_index": 0}],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
        "citations": ["u"],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        "service_tier": "default",
        "x_groq": {"id": "g"},
    }

    assert expected == body_of(b"".join(frames))


@pytest.mark.parametrize(
    ("told", "usage", "left"),
    [({}, {"prompt_tokens": 1}, {"id": "g"}), ({"usage": {"prompt_tokens": 2}}, {"prompt_tokens": 2}, None)],
)
def test_groqs_usage_stands_where_json_has_it(told: Document, usage: Json, left: Json) -> None:
    """Usage that only `x_groq` tells becomes the body's own, else it stays where it is."""
    groq: Document = {"id": "g", "usage": {"prompt_tokens": 1}}
    body = body_of(TEXT + STOP + chunk_of(x_groq=groq, **told) + DONE)

    assert usage == body["usage"]
    assert (left or groq) == body["x_groq"]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [DONE],
        [TEXT, DONE],
        [chunk_of(), DONE],
        [chunk_of(object="chat.completion"), TEXT, STOP],
        [frame({"type": "new.thing", "object": "thing"}), TEXT, STOP],
        [chunk_of({"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}, object="")],
        [TEXT, STOP, TEXT],
        [TEXT, STOP, DONE, STOP],
        [TEXT, b"data: {broken\n\n", STOP],
        [TEXT, STOP, frame({"error": {"message": "x"}})],
        [TEXT, STOP, frame({"message": "x"}, "error")],
        [TEXT, STOP, chunk_of(id="d")],
        [TEXT, STOP, chunk_of(model="n")],
        [TEXT, STOP, chunk_of(system_fingerprint="x"), chunk_of(system_fingerprint="y")],
        [TEXT, STOP, chunk_of(citations=["u"]), chunk_of(citations=["u", "v"])],
        [TEXT, STOP, chunk_of(choices={})],
        [TEXT, STOP, chunk_of("x")],
        [TEXT, STOP, chunk_of({"delta": {}})],
        [TEXT, STOP, chunk_of({"index": 0, "delta": "a"})],
        [TEXT, STOP, chunk_of({"index": 0, "delta": {}, "message": {"content": "a"}})],
        [TEXT, STOP, chunk({}, finish="length")],
        [TEXT, chunk({"role": "tool"}), STOP],
        [TEXT, chunk({"content": 1}), STOP],
        [TEXT, chunk({}, content_filter_results={"hate": {"severity": "safe"}}),
         chunk({}, content_filter_results={"hate": {"severity": "low"}}), STOP],
        [chunk({"audio": {"data": "YQ=="}}), chunk({"audio": {"data": "YQ=="}}), STOP],
        [calling(call("{}", index=0, id="x")), calling(call("{}", index=0, id="y")), STOP],
        [calling(call("{}", index=0, type="function")), calling(call("{}", index=0, type="custom")), STOP],
        [calling(call("{}")), calling(call("{}")), STOP],
        [calling(call("{", id="x")), calling(call("}", id="x")), STOP],
        [calling(call("{}", index=0), call("{}", id="y")), STOP],
        [calling(call("{}"), "x"), STOP],
        [chunk({"content": "\ud83d"}), STOP],
        [TEXT, STOP, b'data: {"object":"chat.completion.chunk","a":1e999}\n\n'],
    ],
)  # fmt: skip
def test_what_cannot_be_put_together_has_no_body(frames: list[bytes]) -> None:
    """A stream that is not whole, failed, contradicts itself or is of no known kind has no body."""
    assert CHAT_RENDERING.body(events_of(b"".join(frames))) is None


def answer_of(*choices: Json, **members: Json) -> Document:
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": list(choices), **members}


def choice_of(index: int = 0, **members: Json) -> Document:
    message: Document = {"role": "assistant", "content": "a"}
    return {"index": index, "message": message, "finish_reason": "stop", **members}


def chunks_of(content: bytes) -> list[Document]:
    return items_of([read_json(event.data or "") for event in events_of(content)])


def test_a_stream_is_laid_out_as_the_provider_does() -> None:
    """Each choice comes as role, message and end, then the usage, then [DONE]; what every chunk says is repeated."""
    usage: Document = {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 0}}
    head: Document = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "service_tier": "flex"}
    logprobs: Document = {"content": [{"token": "a"}], "refusal": None}
    first = choice_of(logprobs=logprobs, seed=7)
    document = answer_of(first, choice_of(1), service_tier="flex", x_groq={"id": "g"}, usage=usage)
    role: Document = {"delta": {"role": "assistant"}, "finish_reason": None}
    text: Document = {"delta": {"content": "a"}, "finish_reason": None}
    end: Document = {"delta": {}, "finish_reason": "stop"}
    pieces: list[Document] = [
        {"choices": [{"index": 0, **role, "logprobs": None, "seed": 7}], "x_groq": {"id": "g"}},
        {"choices": [{"index": 0, **text, "logprobs": logprobs}]},
        {"choices": [{"index": 0, **end}]},
        {"choices": [{"index": 1, **role}]},
        {"choices": [{"index": 1, **text}]},
        {"choices": [{"index": 1, **end}]},
    ]
    asked, plain_stream = stream_of(document), stream_of(document, include_usage=False)

    assert [{**head, **piece} for piece in pieces] == chunks_of(plain_stream)
    assert [
        *({**head, "usage": None, **piece} for piece in pieces),
        {**head, "choices": [], "usage": usage},
    ] == chunks_of(asked)
    assert asked.endswith(b"\n\n" + DONE)
    assert plain_stream.endswith(b"\n\n" + DONE)


def test_usage_is_stripped_from_a_stream_that_was_asked_for_it() -> None:
    """Without what usage brought, the stream with usage is the stream without."""
    assert CHAT.strip is not None
    document = answer_of(choice_of(), usage={"prompt_tokens": 1}, system_fingerprint=None, provider="p")
    stripped = b"".join(map(CHAT.strip, events_of(stream_of(document))))

    assert stream_of(document, include_usage=False) == stripped


@pytest.mark.parametrize("members", [{}, {"usage": None}])
def test_unknown_usage_stays_unknown(members: Document) -> None:
    """A body that tells no usage becomes a stream that tells none, and null stays null."""
    document = answer_of(choice_of(), **members)

    assert read_stream(stream_of(document)).usage is None
    assert document == body_of(stream_of(document))


def test_the_sdk_assembles_what_no_recording_has() -> None:
    """Several choices, log probabilities, sound, custom tools and reasoning reach the SDK as a body brings them."""
    token: Document = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    custom: Document = {"id": "y", "type": "custom", "custom": {"name": "g", "input": "free"}}
    function: Document = {"name": "f", "arguments": "{}"}
    first: Document = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "x", "type": "function", "function": function}, custom],
        "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "hm", "signature": "s"}],
    }
    second: Document = {
        "role": "assistant",
        "content": "a",
        "refusal": "no",
        "audio": {"id": "s", "data": "YQ==", "expires_at": 9, "transcript": "a"},
        "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}],
    }
    logprobs: Document = {"content": [token, token], "refusal": [token]}
    document = answer_of(
        choice_of(message=first, finish_reason="tool_calls"),
        choice_of(1, message=second, logprobs=logprobs),
        provider="p",
    )

    assert plain(parsed(json.dumps(document).encode())) == plain(assembled(stream_of(document)))


def test_chat_completions_have_both_shapes() -> None:
    """The format itself offers them."""
    assert CHAT_RENDERING == CHAT.rendering


@pytest.mark.parametrize(
    "document",
    [
        {},
        answer_of(),
        answer_of(choice_of(), object="chat.completion.chunk"),
        answer_of(choice_of(), object="text_completion"),
        answer_of(choice_of(), error={"message": "x"}),
        answer_of(choice_of(), obfuscation="x"),
        answer_of(choice_of(), choices=None),
        answer_of(choice_of(), choices={}),
        answer_of(choice_of(), "x"),
        answer_of(choice_of(), choice_of()),
        answer_of(choice_of(1), choice_of(0)),
        answer_of(choice_of(finish_reason=None)),
        answer_of({"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}),
        answer_of(choice_of(message=None)),
        answer_of(choice_of(message={"content": "a"})),
        answer_of(choice_of(message={"role": "user", "content": "a"})),
        answer_of(choice_of(delta={"content": "a"})),
        answer_of(choice_of(message={"role": "assistant", "tool_calls": [call("{}"), "x"]})),
        answer_of(choice_of(message={"role": "assistant", "tool_calls": [call("{}", index=1), call("{}", index=0)]})),
        answer_of(choice_of(message={"role": "assistant", "content": "\ud83d"})),
        answer_of(choice_of(), cost=float("inf")),
    ],
)
def test_what_cannot_be_cut_has_no_stream(document: Document) -> None:
    """An answer that is not whole, failed, or would not add up to itself again has no stream."""
    assert CHAT_RENDERING.stream(document, True) is None
    assert CHAT_RENDERING.stream(document, False) is None


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_tool_calls_are_numbered_in_streams_only(index: Document) -> None:
    """A stream numbers every tool call, also where JSON has no numbers; the body made of it has none."""
    message: Document = {"role": "assistant", "tool_calls": [call("{}", id="x", **index), call("{}", id="y")]}
    stream = stream_of(answer_of(choice_of(message=message, finish_reason="tool_calls")))
    delta = items_of(chunks_of(stream)[1]["choices"])[0]["delta"]

    assert isinstance(delta, dict)
    assert [0, 1] == [piece["index"] for piece in items_of(delta["tool_calls"])]
    assert {"tool_calls": [call("{}", id="x"), call("{}", id="y")]} == message_of(events_of(stream)[1].raw)


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
COUNTS = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 99), "completion_tokens": st.integers(0, 99)},
    optional={"completion_tokens_details": st.fixed_dictionaries({"reasoning_tokens": st.integers(0, 9)})},
)
TOKENS = st.lists(st.fixed_dictionaries({"token": st.text(max_size=2), "logprob": st.floats(-9, 0)}), max_size=3)
FUNCTIONS = st.fixed_dictionaries({"id": st.text(max_size=3), "type": st.just("function")})
CUSTOM = st.fixed_dictionaries({"type": st.just("custom"), "custom": st.fixed_dictionaries({"input": st.text()})})
UNLIKE = st.lists(FUNCTIONS | CUSTOM, max_size=3, unique_by=lambda made: str(made.get("id") or made))
CALLS = UNLIKE.map(lambda calls: [call("{}", **made) for made in calls])
PARTS = st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "thinking"]), "text": st.text(max_size=3)}))
DETAIL = st.fixed_dictionaries({"index": st.integers(0, 9), "text": st.text(max_size=3)})
DETAILS = st.lists(DETAIL, unique_by=itemgetter("index"))
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant")},
    optional={
        "content": st.text() | PARTS | st.none(),
        "refusal": st.none() | st.text(),
        "tool_calls": CALLS | st.none(),
        "function_call": st.fixed_dictionaries({"name": st.just("f"), "arguments": st.text()}),
        "audio": st.fixed_dictionaries({"id": st.text(max_size=3), "data": st.text(), "expires_at": st.integers(0, 9)}),
        "annotations": st.lists(st.fixed_dictionaries({"type": st.just("url_citation"), "url": st.text(max_size=3)})),
        "reasoning": st.text(),
        "reasoning_details": DETAILS,
        "unheard": JSON,
    },
)
CHOICES = st.fixed_dictionaries(
    {"message": MESSAGES, "finish_reason": st.sampled_from(["stop", "length", "tool_calls"])},
    optional={
        "logprobs": st.none() | st.fixed_dictionaries({"content": TOKENS, "refusal": st.none() | TOKENS}),
        "content_filter_results": JSON,
        "text": st.text(max_size=3),
        "unheard": JSON,
    },
)
ANSWERS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, min_size=1, max_size=3)},
    optional={
        "usage": COUNTS | st.none(),
        "service_tier": st.none() | st.text(max_size=3),
        "system_fingerprint": JSON,
        "prompt_filter_results": JSON,
        "unheard": JSON,
    },
)


def numbered(answer: Document) -> Document:
    choices: list[Json] = [{"index": place, **choice} for place, choice in enumerate(items_of(answer["choices"]))]
    return answer_of(**{**answer, "choices": choices})


@settings(max_examples=choose(100, 2000))
@given(ANSWERS)
def test_every_answer_comes_back(answer: Document) -> None:
    """The body of the stream of an answer is that answer, usage aside where it was not asked for; so is its outcome."""
    document = numbered(answer)
    without = {name: value for name, value in document.items() if name != "usage"}

    assert document == body_of(stream_of(document))
    assert without == body_of(stream_of(document, include_usage=False))
    assert CHAT.read_body(document) == read_stream(stream_of(document))


ODD_NAMES = st.sampled_from(
    [
        "choices",
        "delta",
        "message",
        "index",
        "finish_reason",
        "tool_calls",
        "content",
        "usage",
        "x_groq",
        "object",
        "id",
    ]
)
ODD_JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS | st.sampled_from([0, "stop", "chat.completion", "chat.completion.chunk"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_NAMES, inner, max_size=4),
)
ODD_DOCUMENTS = st.dictionaries(ODD_NAMES, ODD_JSON, max_size=5)


@settings(max_examples=choose(100, 2000))
@given(ODD_DOCUMENTS, st.lists(ODD_DOCUMENTS, max_size=3), st.booleans())
def test_odd_content_never_raises(document: Document, chunks: list[Document], include_usage: bool) -> None:
    """Whatever an answer holds, it is put into the other shape or refused, and never changed."""
    before = json.dumps(document)
    spoilt = b"".join(frame({"object": "chat.completion.chunk", **odd}) for odd in chunks)

    for render in _renderings(document, spoilt, include_usage):
        content = render()
        assert content is None or b"data: [DONE]" in content or isinstance(read_json(content), dict)
    assert before == json.dumps(document)


def _renderings(document: Document, stream: bytes, include_usage: bool) -> list[Callable[[], bytes | None]]:
    return [
        lambda: CHAT_RENDERING.stream(document, include_usage),
        lambda: CHAT_RENDERING.stream(answer_of(choice_of(message=document)), include_usage),
        lambda: CHAT_RENDERING.body(events_of(stream)),
        lambda: CHAT_RENDERING.body(events_of(TEXT + stream + STOP)),
    ]


@pytest.mark.parametrize("depth", [400, 900, 100_000])
def test_endless_nesting_never_raises(depth: int) -> None:
    """A document that is nested deeper than can be walked is refused."""
    nest = ("[" * depth + "]" * depth).encode()
    nested = b'data: {"id":"c","object":"chat.completion.chunk","a":' + nest + b"}\n\n"
    deep = read_json(nest)

    CHAT_RENDERING.body(events_of(TEXT + nested + nested + STOP))
    CHAT_RENDERING.stream(answer_of(choice_of(), unheard=deep), True)


def test_a_stream_is_read_twice_alike() -> None:
    """The events are not used up: the same ones give the same body."""
    events = events_of(recorded(STREAMS[0]))

    assert CHAT_RENDERING.body(events) == CHAT_RENDERING.body(events)
