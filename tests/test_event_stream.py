"""AWS's event stream is cut into its frames, whatever the chunks, and damage is noticed."""

import struct
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.event_stream import EventStreamDecoder
from coo_middleware.core.framing import Event
from tests.event_frames import Header, event, failure, frame, string
from tests.proof import choose

# One header of every type, each value as it is sent.
EVERY_TYPE: list[Header] = [
    ("true", 0, b""),
    ("false", 1, b""),
    ("byte", 2, b"\xff"),
    ("short", 3, b"\x00\x01"),
    ("integer", 4, b"\x00\x00\x00\x01"),
    ("long", 5, bytes(8)),
    ("bytes", 6, b"\x00\x03\xff\x00\xff"),
    string("text", "é€"),
    ("timestamp", 8, bytes(8)),
    ("uuid", 9, bytes(16)),
]
EVENT = string(":message-type", "event")
FIRST = event("messageStart", {"role": "assistant"})
SECOND = event("contentBlockDelta", {"delta": {"text": "é"}})
STREAM = FIRST + SECOND + failure("exception", {"message": "slow down"})
FRAMES = st.builds(
    frame,
    st.binary(max_size=20),
    st.lists(st.sampled_from([*EVERY_TYPE, EVENT, string(":event-type", "x")]), unique=True, max_size=4),
)


def decode(*chunks: bytes, limit: int = 1 << 20) -> tuple[list[Event], bool]:
    decoder = EventStreamDecoder(limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return [*events, *decoder.close()], decoder.broken


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


def sealed(length: int, headers: int, rest: bytes) -> bytes:
    """A frame whose checksums are right, whatever its lengths claim."""
    prelude = struct.pack(">II", length, headers)
    head = prelude + struct.pack(">I", crc32(prelude)) + rest
    return head + struct.pack(">I", crc32(head))


def test_a_frame_gives_its_name_and_its_payload() -> None:
    """An event is named by its type, and a frame's bytes stay with its event."""
    assert ([Event(FIRST, "messageStart", '{"role": "assistant"}')], False) == decode(FIRST)


@pytest.mark.parametrize("kind", ["exception", "error", "unheard", ""])
def test_what_is_no_event_is_an_error(kind: str) -> None:
    """Only frames whose message type is "event" are events; all others report a failure."""
    raw = frame(b"{}", [string(":event-type", "chunk"), string(":message-type", kind)])

    assert ([Event(raw, "error", "{}")], False) == decode(raw)
    assert "error" == decode(frame(b"{}"))[0][0].name


def test_every_type_of_header_is_passed_over() -> None:
    """The name is found behind headers of all ten types."""
    raw = frame(b"x", [*EVERY_TYPE, EVENT, string(":event-type", "late")])

    assert ([Event(raw, "late", "x")], False) == decode(raw)


def test_only_a_text_is_a_name() -> None:
    """A header of another type under a known name says nothing."""
    raw = frame(b"x", [(":event-type", 6, b"\x00\x01a"), EVENT])

    assert ([Event(raw, "", "x")], False) == decode(raw)


def test_a_frame_without_payload_has_no_data() -> None:
    """No payload is no data, and a payload that is no UTF-8 is data with replacements."""
    assert [None, "\ufffd"] == [decode(frame(payload, [EVENT]))[0][0].data for payload in (b"", b"\xff")]


@pytest.mark.parametrize("size", [1, 2, 3, 11, 12, 13])
def test_chunks_do_not_change_the_events(size: int) -> None:
    """In chunks of any size the events are the same."""
    chunks = [STREAM[place : place + size] for place in range(0, len(STREAM), size)]

    assert decode(STREAM) == decode(*chunks)
    assert ["messageStart", "contentBlockDelta", "error"] == [event.name for event in decode(*chunks)[0]]


def test_every_split_gives_the_same_events() -> None:
    """Wherever a stream is cut in two, its events are the same."""
    expected = decode(STREAM)

    assert [expected] * len(STREAM) == [decode(STREAM[:cut], STREAM[cut:]) for cut in range(len(STREAM))]


def test_an_end_within_a_frame_is_noticed() -> None:
    """A stream that ends anywhere but between two frames is broken, and what was begun is still there."""
    for cut in range(1, len(FIRST)):
        decoder = EventStreamDecoder(1 << 20)
        events = decoder.feed(SECOND + FIRST[:cut])

        assert [Event(SECOND, "contentBlockDelta", '{"delta": {"text": "\\u00e9"}}')] == events
        assert [] == decoder.close()
        assert decoder.broken
        assert FIRST[:cut] == decoder.rest == decoder.take_rest()
        assert b"" == decoder.rest


def test_one_changed_byte_is_noticed() -> None:
    """Whichever byte of a frame is changed, no event is made of it and what follows passes without data."""
    for place in range(len(SECOND)):
        damaged = bytearray(SECOND)
        damaged[place] ^= 1
        events, broken = decode(FIRST, bytes(damaged), FIRST)

        assert broken
        assert FIRST + damaged + FIRST == b"".join(event.raw for event in events)
        assert ["messageStart"] + [""] * (len(events) - 1) == [event.name for event in events]
        assert {None} == {event.data for event in events[1:]} or events[1:] == []


@pytest.mark.parametrize(
    "damaged",
    [
        sealed(15, 0, b""),
        sealed(0, 0, b""),
        sealed(16, 1, b""),
        sealed(20, 0xFFFFFFFF, b"abcd"),
        sealed(1025, 0, bytes(1009)),
        sealed(0xFFFFFFFF, 0, b""),
        frame(b"", [("a", 10, b"")]),
        frame(b"", [("a", 255, b"")]),
        frame(b"", [("a", 7, b"\x00\x05abcd")]),
        frame(b"", [("a", 7, b"\x00")]),
        frame(b"", [("a", 9, bytes(15))]),
        frame(b"", [("a", 7, b"\x00\x01\xff")]),
        frame(b"", [("a", 0, b""), ("a", 1, b"")]),
        sealed(17, 1, b"\x05"),
        sealed(18, 2, b"\x01\xff"),
        sealed(19, 3, b"\x01\xff\x00"),
    ],
)
def test_what_can_be_no_frame_is_noticed(damaged: bytes) -> None:
    """Impossible lengths and damaged headers are noticed under right checksums; the frame before is kept."""
    for chunks in ([FIRST + damaged], [FIRST, *bytewise(damaged)]):
        events, broken = decode(*chunks, limit=1024)

        assert broken
        assert FIRST + damaged == b"".join(event.raw for event in events)
        assert ["messageStart"] == [event.name for event in events if event.data is not None]


def test_headers_have_a_longest_section() -> None:
    """Headers of 128 KiB are read, and one byte more is no frame."""
    largest = [(f"{number:09d}", 6, struct.pack(">H", 65523) + bytes(65523)) for number in range(2)]

    assert ([Event(frame(b"x", largest), "error", "x")], False) == decode(frame(b"x", largest))
    assert decode(frame(b"x", [*largest, ("", 0, b"")]))[1]


def test_a_frame_of_the_limits_length_is_read() -> None:
    """A frame as long as the limit is an event, and one that is longer ends the reading at its prelude."""
    assert ([Event(SECOND, "contentBlockDelta", '{"delta": {"text": "\\u00e9"}}')], False) == decode(
        SECOND, limit=len(SECOND)
    )
    assert ([Event(SECOND[:12], "", None)], True) == decode(SECOND[:12], limit=len(SECOND) - 1)


def test_after_the_break_bytes_pass() -> None:
    """Once broken, every chunk leaves as it came, and an empty one as nothing."""
    decoder = EventStreamDecoder(100)
    decoder.feed(b"data: text\n\n")

    assert decoder.broken
    assert [Event(FIRST, "", None)] == decoder.feed(FIRST)
    assert [] == decoder.feed(b"")
    assert [] == decoder.close()


@settings(max_examples=choose(100, 10_000))
@given(st.lists(st.one_of(FRAMES, st.binary(max_size=40)), max_size=6), st.integers(1, 64), st.integers(16, 200))
def test_no_byte_is_lost(pieces: list[bytes], size: int, limit: int) -> None:
    """Of frames and of anything else, in chunks of any size, every byte leaves once and nothing is raised."""
    stream = b"".join(pieces)
    decoder = EventStreamDecoder(limit)
    events = [event for place in range(0, len(stream), size) for event in decoder.feed(stream[place : place + size])]
    events += decoder.close()

    assert stream == b"".join(event.raw for event in events) + decoder.take_rest()


@settings(max_examples=choose(50, 5_000))
@given(st.lists(FRAMES, max_size=6))
def test_whole_frames_are_all_read(frames: list[bytes]) -> None:
    """Whatever whole frames stand in a row, each is one event."""
    events, broken = decode(*bytewise(b"".join(frames)))

    assert not broken
    assert frames == [event.raw for event in events]
