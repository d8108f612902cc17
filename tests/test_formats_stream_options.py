"""Usage is asked for and taken out again, and every other byte stays."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json, parse_document, read_json
from coo_middleware.core.framing import Event
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.stream_options import ask_usage, strip_usage

CORPUS = Path(__file__).parent / "corpus"
STREAMS = [
    json.loads(line)["file"]
    for line in (CORPUS / "index.jsonl").read_text().splitlines()
    if '"framing": "sse"' in line and '"family": "openai"' in line
]
ASKED = [
    "openai/chat/test-chat-completion-multiple-choices-streaming.sse",
    "openai/chat/test-complex-agent-run.sse",
    "derived/chat-crlf.sse",
    "derived/chat-no-done-marker.sse",
    "derived/chat-error-frame.sse",
]
# Recorded without asking: what these tell of their usage stands beside the finish reason.
UNASKED = [name for name in STREAMS if name not in ASKED]

NAMES = st.sampled_from(["a", "é", "stream_options", "include_usage", 'q"', "usage", "{", ""])
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text('{}[]\\",:é\u2028😀', max_size=4),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=3),
    max_leaves=6,
)
INDENTS = st.sampled_from([None, 0, 2, "\t"])


def events_of(stream: bytes, size: int = 1 << 20) -> list[Event]:
    decoder = SSEDecoder(1 << 20)
    return [event for place in range(0, len(stream), size) for event in decoder.feed(stream[place : place + size])]


def strip(raw: bytes) -> bytes:
    return b"".join(map(strip_usage, events_of(raw)))


def ask(raw: bytes) -> bytes | None:
    return ask_usage(raw, parse_document(raw))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
        (b' \n{ "stream" : true}\n', b' \n{"stream_options":{"include_usage":true}, "stream" : true}\n'),
        (b'{"stream_options":null,"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
        (b'{"stream":true, "stream_options" : {} }', b'{"stream":true, "stream_options" : {"include_usage":true} }'),
        (
            b'{"stream":true,"stream_options":{ "a":[{}]}}',
            b'{"stream":true,"stream_options":{"include_usage":true, "a":[{}]}}',
        ),
        (
            b'{"stream_options":{"a":1, "include_usage" : false},"stream":true}',
            b'{"stream_options":{"a":1, "include_usage" : true},"stream":true}',
        ),
        (
            b'{"stream\\u005foptions":{"include\\u005fusage":null},"stream":true}',
            b'{"stream\\u005foptions":{"include\\u005fusage":true},"stream":true}',
        ),
        (
            '{"é":"{\\"stream_options\\":null,é}","stream_options":null,"stream":true}'.encode(),
            '{"é":"{\\"stream_options\\":null,é}","stream_options":{"include_usage":true},"stream":true}'.encode(),
        ),
    ],
)
def test_usage_is_asked_for_in_place(raw: bytes, expected: bytes) -> None:
    """The option is set where it belongs, and every other byte is as it came."""
    assert expected == ask(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"stream":false}',
        b'{"stream":"true"}',
        b'{"stream":1}',
        b'{"stream":true,"stream_options":{"include_usage":true}}',
        b'{"stream":true,"stream_options":[]}',
        b'{"stream":true,"stream_options":"x"}',
        b'{"stream":true,"stream_options":false}',
    ],
)
def test_nothing_is_asked_where_it_cannot_be(raw: bytes) -> None:
    """A request that does not stream, asks already or has another kind of options goes on as it came."""
    assert ask(raw) is None


@given(st.dictionaries(NAMES, VALUES, max_size=5), INDENTS, st.booleans())
def test_asking_changes_one_member(document: dict[str, Json], indent: int | str | None, escape: bool) -> None:
    """The asking document is the one that came, with the option set; asking again has nothing to do."""
    document["stream"] = True
    raw = json.dumps(document, indent=indent, ensure_ascii=escape).encode()
    options = document.get("stream_options")
    asking = ask(raw)

    if isinstance(options, dict | None) and (options or {}).get("include_usage") is not True:
        assert asking is not None
        assert {**document, "stream_options": {**(options or {}), "include_usage": True}} == parse_document(asking)
        assert ask(asking) is None
    else:
        assert asking is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'data: {"id":"x","usage":null,"choices":[{}]}\n\n', b'data: {"id":"x","choices":[{}]}\n\n'),
        (b'data: {"usage":null,"choices":[{}]}\n\n', b'data: {"choices":[{}]}\n\n'),
        (b'data: {"choices":[{}],"usage":null}\n\n', b'data: {"choices":[{}]}\n\n'),
        (b'data: { "choices" : [{}] , "usage" : null }  \r\n\r\n', b'data: { "choices" : [{}] }  \r\n\r\n'),
        (b'data: {"usage":null}\n\n', b"data: {}\n\n"),
        (b': hi\nid: 1\ndata:{"a":"\xff","usage":null}\n\n', b': hi\nid: 1\ndata:{"a":"\xff"}\n\n'),
        (b'event: x\rdata: {"usage":null,"a":{}}\r"x: y\r\r', b'event: x\rdata: {"a":{}}\r"x: y\r\r'),
        (
            b'data: {"choices":[],"usage":null,"prompt_filter_results":[]}\n\n',
            b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
        ),
        (b'data: {"choices":[],"usage":{"prompt_tokens":1},"id":"x","error":null}\n\n', b""),
        (b'data: {"choices":[],"usage":{},"x_groq":{"id":"x"},"obfuscation":"x"}\n\n', b""),
        (b'data: {"n":%s,"usage":null}\n\n' % (b"9" * 5000), b'data: {"n":%s}\n\n' % (b"9" * 5000)),
    ],
)
def test_what_include_usage_brought_is_taken(raw: bytes, expected: bytes) -> None:
    """A null usage goes with one comma, and a chunk that carries nothing but the usage goes as a whole."""
    assert expected == strip(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"data: [DONE]\n\n",
        b": keep-alive\n\n",
        b"data: {broken\n\n",
        b'data: ["usage"]\n\n',
        b'data: {"usage":null\n\n',
        b'data: {"usage":null,"usage":null}\n\n',
        b'data: {"choices":[{"usage":null}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\"usage\\":null"}}]}\n\n',
        b'data: {"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":[],"usage":{},"error":{"message":"x"}}\n\n',
        b'data: {"choices":[],"usage":{},"x_groq":{"error":"x"}}\n\n',
        b'data: {"choices":[],"usage":{},"citations":[]}\n\n',
        b'data: {"choices":[],"usage":1}\n\n',
        b'data: {"choices":null,"usage":{}}\n\n',
        b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
        b'data: {"choices":[{}],\ndata: "usage":null}\n\n',
    ],
)
def test_other_events_pass_unchanged(raw: bytes) -> None:
    """Nothing is taken that is more than the usage, that cannot be read, or that spans lines."""
    assert raw == strip(raw)


def test_bytes_past_the_limit_pass() -> None:
    """Bytes in which no event is seen any more pass unchanged."""
    assert b'"usage":null' == strip_usage(Event(b'"usage":null', "", None))


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.integers(0, 4))
def test_a_null_usage_is_all_that_goes(document: Document, place: int) -> None:
    """Wherever the null stands among the members, the bytes left are those of the chunk without it."""
    chunk = {name: value for name, value in document.items() if name != "usage"}
    members = list(chunk.items())
    members.insert(place, ("usage", None))
    raw, without = (b"data: " + json.dumps(value).encode() + b"\n\n" for value in (dict(members), chunk))

    assert without == strip(raw)


@pytest.mark.parametrize("name", ASKED)
def test_a_recorded_stream_loses_its_usage_only(name: str) -> None:
    """A stream recorded with include_usage loses every usage member and is the same stream otherwise."""
    raw = (CORPUS / name).read_bytes()
    stripped = strip(raw)
    before = [read_json(event.data or "") for event in events_of(raw)]
    expected = [
        {member: value for member, value in chunk.items() if member != "usage"} if isinstance(chunk, dict) else chunk
        for chunk in before
        if not (isinstance(chunk, dict) and chunk.get("choices") == [])
    ]

    assert b'"usage"' in raw
    assert b'"usage"' not in stripped
    assert expected == [read_json(event.data or "") for event in events_of(stripped)]


@pytest.mark.parametrize("name", UNASKED)
def test_a_recorded_stream_keeps_what_it_told_unasked(name: str) -> None:
    """A stream recorded without include_usage keeps all its bytes, but for a null usage."""
    raw = (CORPUS / name).read_bytes()

    assert raw.replace(b',"usage":null', b"") == strip(raw)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunks_do_not_matter(name: str, size: int) -> None:
    """Where the chunks of a stream end does not change the events that are left."""
    raw = (CORPUS / name).read_bytes()
    stripped = b"".join(map(strip_usage, events_of(raw, size)))

    assert [event.data for event in events_of(strip(raw))] == [event.data for event in events_of(stripped)]
