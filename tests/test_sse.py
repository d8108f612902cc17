"""Events are cut as WHATWG HTML, section 9.2.6 says, whatever the chunks, and no byte is lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.framing import Event
from coo_middleware.core.sse import SSEDecoder

# Line ends, fields, a byte order mark and letters in pieces: most of what can go wrong is two of these side by side.
PIECES = (b"\n", b"\r", b"\r\n", b"data:", b"data: ", b"event:", b":", b"x", "é€".encode(), b"\xe2\x80\xa8")
STREAMS = st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf"]), st.lists(st.sampled_from(PIECES), max_size=24)).map(
    lambda pair: pair[0] + b"".join(pair[1])
)


def decode(*chunks: bytes, limit: int = 1 << 20) -> list[Event]:
    decoder = SSEDecoder(limit)
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.name, event.data) for event in events if event.data is not None]


def reference(stream: bytes) -> list[tuple[str, str]]:
    """The section's algorithm, line by line over the whole stream, as slow and as plain as it is written there."""
    lines = re.split("\r\n|\n|\r", stream.decode().removeprefix("\ufeff"))
    events, name, data = [], "", ""
    for line in lines[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            events += [(name, data[:-1])] if data else []
            name, data = "", ""
        elif field == "data":
            data += value + "\n"
        elif field == "event":
            name = value
    return events


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [("", "a")]),
        (b"data: a\r\ndata: b\r\n\r\n", [("", "a\nb")]),
        (b"data: a\rdata: b\r\r", [("", "a\nb")]),
        (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\n", [("", "a"), ("", "b"), ("", "c")]),
        (b"data:a\n\n", [("", "a")]),
        (b"data:  a\n\n", [("", " a")]),
        (b"data\n\n", [("", "")]),
        (b"data:\ndata\n\n", [("", "\n")]),
        (b":comment\n\n: another\ndata: a\n\n", [("", "a")]),
        (b"event: ping\n\ndata: a\n\n", [("", "a")]),
        (b"event: x\nevent\ndata: a\n\n", [("", "a")]),
        (b"event: x\ndata: a\nevent: y\n\n", [("y", "a")]),
        (b"id: 1\nretry: abc\nDATA: no\n data: no\ndatum: no\ndata: a\n\n", [("", "a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [("", "a")]),
        ("data: a\u2028b\u0085c\x0cd\n\n".encode(), [("", "a\u2028b\u0085c\x0cd")]),
        (b"data: \xff\n\n", [("", "\ufffd")]),
        (b"\n\n\ndata: a\n\n", [("", "a")]),
        (b"data: a\n", []),
        (b"", []),
    ],
)
def test_fields_are_read_as_the_standard_says(stream: bytes, expected: list[tuple[str, str]]) -> None:
    """Each case of the standard gives its events, in one chunk and byte by byte."""
    assert expected == told(decode(stream))
    assert expected == told(decode(*bytewise(stream)))


@given(STREAMS)
def test_events_are_those_of_the_standard(stream: bytes) -> None:
    """The incremental reading finds what the standard's own algorithm finds, also byte by byte."""
    assert reference(stream) == told(decode(stream))
    assert reference(stream) == told(decode(*bytewise(stream)))


@given(STREAMS)
def test_every_split_gives_the_same_events(stream: bytes) -> None:
    """Wherever a stream is cut in two, within a line end, a character or a byte order mark, its events are the same."""
    expected = told(decode(stream))

    assert [expected] * len(stream) == [told(decode(stream[:cut], stream[cut:])) for cut in range(len(stream))]


@given(STREAMS, st.integers(min_value=1, max_value=40), st.integers(min_value=1, max_value=5))
def test_no_byte_is_lost(stream: bytes, limit: int, size: int) -> None:
    """The raw bytes of all events and the rest are the stream, also past the limit."""
    decoder = SSEDecoder(limit)
    chunks = [stream[place : place + size] for place in range(0, len(stream), size)]
    events = [event for chunk in chunks for event in decoder.feed(chunk)]

    assert stream == b"".join(event.raw for event in events) + decoder.take_rest()
    assert b"" == decoder.take_rest()


def test_an_event_leaves_with_the_byte_that_ends_it() -> None:
    """An event does not wait for the LF that may follow its last CR; the LF leads the next event's bytes."""
    decoder = SSEDecoder(100)

    assert [Event(b"data: a\r\n\r", "", "a")] == decoder.feed(b"data: a\r\n\r")
    assert [Event(b"\ndata: b\n\n", "", "b")] == decoder.feed(b"\ndata: b\n\n")


def test_the_rest_is_told_and_kept() -> None:
    """What no blank line has closed can be seen before it is taken."""
    decoder = SSEDecoder(100)
    decoder.feed(b"data: a\n\ndata: b\n")

    assert b"data: b\n" == decoder.rest
    assert b"data: b\n" == decoder.take_rest()
    assert b"" == decoder.rest


def test_an_event_of_the_limits_length_is_read() -> None:
    """An event as long as the limit is an event, in one chunk and byte by byte."""
    stream = b"data: abcd\n\n"

    assert [("", "abcd")] == told(decode(stream, limit=len(stream)))
    assert [("", "abcd")] == told(decode(*bytewise(stream), limit=len(stream)))


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_an_event_over_the_limit_ends_the_reading(size: int) -> None:
    """After an event that is too long nothing is told and everything still passes, whatever the chunks."""
    stream = b"data: a\n\ndata: abcdefghijkl\n\ndata: b\n\n"
    decoder = SSEDecoder(16)
    chunks = [stream[place : place + size] for place in range(0, len(stream), size)]
    events = [event for chunk in chunks for event in decoder.feed(chunk)]

    assert decoder.broken
    assert [("", "a")] == told(events)
    assert stream == b"".join(event.raw for event in events)
    assert [] == decoder.feed(b"")


def test_a_long_event_is_scanned_once() -> None:
    """An event that comes byte by byte is not searched again from its start: 300,000 bytes are read at once."""
    stream = b"data: " + b"a" * 300_000 + b"\n\n"

    assert [("", "a" * 300_000)] == told(decode(*bytewise(stream)))
