"""Lines of JSON are cut at their newlines, whatever the chunks, and no byte is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.framing import Event
from coo_middleware.core.ndjson import NDJSONDecoder

PIECES = (b"\n", b"\r", b"\r\n", b" ", b"\t", b"{}", b'{"a":1}', "é€".encode(), b"\xe2\x80\xa8", b"\xff", b"x")
STREAMS = st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join))


def decode(*chunks: bytes, limit: int = 1 << 20) -> list[Event]:
    decoder = NDJSONDecoder(limit)
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close()


def told(events: list[Event]) -> list[str]:
    return [event.data for event in events if event.data is not None]


def cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[place : place + size] for place in range(0, len(stream), size)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"{}\n", ["{}"]),
        (b'{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\r\n{"b":2}\r\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\n{"b":2}', ['{"a":1}', '{"b":2}']),
        (b'\n \r\n\t{"a":1} \n\n\n{"b":2}\n\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":\r1}\n', ['{"a":\r1}']),
        ('"\u2028\u0085\x0c"\n'.encode(), ['"\u2028\u0085\x0c"']),
        (b"\xff\n", ["\ufffd"]),
        (b"data: {}\n\n", ["data: {}"]),
        (b"\n\n", []),
        (b"", []),
    ],
)
def test_lines_are_read(stream: bytes, expected: list[str]) -> None:
    """Each kind of line gives its text, in one chunk and byte by byte."""
    assert expected == told(decode(stream))
    assert expected == told(decode(*cut(stream, 1)))


@given(STREAMS)
def test_events_are_the_lines_that_are_not_blank(stream: bytes) -> None:
    """The incremental reading finds what splitting the whole stream finds."""
    lines = [line.strip(b" \t\r").decode(errors="replace") for line in stream.split(b"\n")]

    assert [line for line in lines if line] == told(decode(stream))


@given(STREAMS)
def test_every_split_gives_the_same_events(stream: bytes) -> None:
    """Wherever a stream is cut in two, within a line end or a character, its events are the same to the byte."""
    expected = decode(stream)

    assert [expected] * len(stream) == [decode(stream[:place], stream[place:]) for place in range(len(stream))]
    assert expected == decode(*cut(stream, 1))


@given(STREAMS, st.integers(min_value=0, max_value=40), st.integers(min_value=1, max_value=5), st.booleans())
def test_every_byte_leaves_once(stream: bytes, limit: int, size: int, closes: bool) -> None:
    """The raw bytes of all events and the rest are the stream, also past the limit."""
    decoder = NDJSONDecoder(limit)
    events = [event for chunk in cut(stream, size) for event in decoder.feed(chunk)]
    events += decoder.close() if closes else []
    rest = decoder.rest

    assert stream == b"".join(event.raw for event in events) + decoder.take_rest()
    assert len(rest) <= limit
    assert b"" == decoder.take_rest()
    assert [] == decoder.close()


def test_an_event_leaves_with_its_newline() -> None:
    """A line does not wait for the next one; blank lines lead the event that follows them."""
    decoder = NDJSONDecoder(100)

    assert [Event(b'{"a":1}\n', "", '{"a":1}')] == decoder.feed(b'{"a":1}\n\r\n')
    assert [Event(b"\r\n{}\r\n", "", "{}")] == decoder.feed(b"{}\r\n ")
    assert [] == decoder.close()
    assert b" " == decoder.rest


def test_the_last_line_may_lack_its_newline() -> None:
    """The end of the stream completes the last line, once."""
    decoder = NDJSONDecoder(100)

    assert [] == decoder.feed(b'\n{"done":true}')
    assert [Event(b'\n{"done":true}', "", '{"done":true}')] == decoder.close()
    assert b"" == decoder.rest


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_event_of_the_limits_length_is_read(size: int) -> None:
    """An event as long as the limit is an event, with its newline and without."""
    assert ["abcd", "efghi"] == told(decode(*cut(b"abcd\nefghi", size), limit=5))


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("long", [b"abcdefghijkl", b"\n\n\n\n\n\n\n\n\n\n"])
def test_an_event_over_the_limit_ends_the_reading(size: int, long: bytes) -> None:
    """After an event that is too long nothing is told and everything still passes, whatever the chunks."""
    stream = b"{}\n" + long + b"\n{}\n"
    decoder = NDJSONDecoder(8)
    events = [event for chunk in cut(stream, size) for event in decoder.feed(chunk)]

    assert decoder.broken
    assert ["{}"] == told(events)
    assert stream == b"".join(event.raw for event in events)
    assert [] == decoder.feed(b"")
    assert [] == decoder.close()


@pytest.mark.parametrize("filling", [b"a", b"\n"])
def test_a_long_event_is_scanned_once(filling: bytes) -> None:
    """A line or a run of blank lines that comes byte by byte is not searched again from its start."""
    stream = filling * 300_000 + b"b\n"

    assert [stream] == [event.raw for event in decode(*cut(stream, 1))]
