"""core/progress.py: what a leader has of an answer, in frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.progress import (
    _CHECKSUM_BYTES,
    _PART,
    End,
    FrameError,
    Part,
    Start,
    _checksum,
    pack_parts,
    size_of,
    unpack_parts,
)

FIELDS = st.tuples(st.binary(max_size=9), st.binary(max_size=9))
PARTS: st.SearchStrategy[list[Part]] = st.lists(
    st.one_of(
        st.builds(Start, st.integers(0, 65_535), st.lists(FIELDS, max_size=4).map(tuple)),
        st.binary(max_size=50),
        st.builds(End, st.text(st.characters(exclude_categories=["Cs"]), max_size=9)),
    )
)
EMPTY = pack_parts("key", 7, [])[:-_CHECKSUM_BYTES]
FRAME = pack_parts("key", 7, [Start(200, ((b"a", b"b"),)), b"chunk", End("cut")])


@given(st.text(max_size=9), st.integers(0, 2**64 - 1), PARTS)
def test_parts_come_back_as_they_were(key: str, number: int, parts: list[Part]) -> None:
    """Any parts, whatever their contents and their number, are the same after the way through a frame."""
    assert (number, parts) == unpack_parts(pack_parts(key, number, parts), key)


def test_frame_of_another_key_is_refused() -> None:
    """What belongs to another key, and so perhaps to another caller, is never read."""
    with pytest.raises(FrameError):
        unpack_parts(FRAME, "another")


@pytest.mark.parametrize("place", range(len(FRAME)))
def test_damaged_frame_is_refused(place: int) -> None:
    """A frame that was cut anywhere, or of which one byte differs, is none."""
    for damaged in (FRAME[:place], FRAME[:place] + bytes([FRAME[place] ^ 1]) + FRAME[place + 1 :]):
        with pytest.raises(FrameError):
            unpack_parts(damaged, "key")


def sealed(*parts: tuple[int, int, bytes]) -> bytes:
    """A frame whose checksum is right, with parts of that kind, said length and content."""
    body = FRAME[: len(EMPTY)] + b"".join(_PART.pack(kind, length) + content for kind, length, content in parts)
    return body + _checksum(body, "key")


@pytest.mark.parametrize(
    "frame",
    [
        sealed((1, 9, b"short")),
        sealed((3, 1, b"x")),
        sealed((2, 1, b"\xff")),
        sealed((0, 1, b"x")),
        sealed((0, 7, b"\0\xc8\0\0\0\1a")),
        sealed((0, 6, b"\0\xc8\0\0\0\1")),
    ],
    ids=["cut part", "unknown kind", "no UTF-8", "no status", "odd strings", "cut string"],
)
def test_whole_frame_that_makes_no_sense_is_refused(frame: bytes) -> None:
    """A right checksum proves that nothing was lost, not that the inside makes sense."""
    with pytest.raises(FrameError):
        unpack_parts(frame, "key")


@given(PARTS)
def test_size_is_what_a_part_takes(parts: list[Part]) -> None:
    """The sizes of parts add up to what they make a frame longer."""
    assert sum(map(size_of, parts)) == len(pack_parts("key", 0, parts)) - len(pack_parts("key", 0, []))
