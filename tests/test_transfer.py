"""core/transfer.py: an export proves that it is whole, and nothing behind a fault is given."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.transfer import (
    MOST_LINES,
    Block,
    Counter,
    ExportReader,
    ExportWriter,
    Head,
    Response,
    TransferError,
    parse_kinds,
)

HEAD = Head("0" * 32, 1_795_423_260.5, ("cache", "usage"))
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS = st.one_of(
    st.builds(Counter, NAMES, NAMES, NAMES, st.floats(-1e300, 1e300), st.integers(1, 2**53)),
    st.builds(Response, NAMES, st.floats(0, 2.0**40), st.binary(max_size=40)),
)


def write(records: list[Counter | Response]) -> list[bytes]:
    writer = ExportWriter(HEAD)
    raw = b"".join([writer.head, *map(writer.add, records), writer.end()])
    return raw.splitlines(keepends=True)


def read(lines: list[bytes]) -> list[Block]:
    return list(ExportReader().read(lines))


def counters(count: int) -> list[Counter | Response]:
    return [Counter("openai", "key1", f"metric-{number}", float(number)) for number in range(count)]


@given(st.lists(RECORDS, max_size=30))
def test_what_is_written_is_read(records: list[Counter | Response]) -> None:
    """Every record comes back as it was, and so does the head."""
    reader = ExportReader()
    blocks = list(reader.read(write(records)))

    assert HEAD == reader.head
    assert [each for each in records if isinstance(each, Counter)] == [each for b in blocks for each in b.counters]
    assert [each for each in records if isinstance(each, Response)] == [each for b in blocks for each in b.responses]


def test_a_block_ends_by_lines_and_by_bytes() -> None:
    """No block has more than MOST_LINES records, and a large one ends at once; they are numbered from 1."""
    large = Response("key", 1.0, bytes(2_000_000))
    blocks = read(write([*counters(MOST_LINES + 1), large, *counters(1)]))

    assert [1, 2, 3] == [each.number for each in blocks]
    assert [MOST_LINES, 2, 1] == [len(each.counters) + len(each.responses) for each in blocks]


@pytest.mark.parametrize("place", range(7))
def test_a_torn_file_is_refused(place: int) -> None:
    """However many lines are left, and wherever the last one is torn, the line is named and no block is doubled."""
    lines = write(counters(MOST_LINES + 2))
    kept = [0, 1, MOST_LINES, MOST_LINES + 1, MOST_LINES + 2, MOST_LINES + 3, len(lines) - 1][place]
    given_blocks: list[Block] = []
    with pytest.raises(TransferError, match=rf"^line {kept + 1}: the file ends before"):
        given_blocks.extend(ExportReader().read(lines[:kept]))
    with pytest.raises(TransferError, match=rf"^line {kept + 1}: the line is torn"):
        read([*lines[:kept], lines[kept][:-2]])


@given(st.data())
def test_an_altered_byte_is_noticed(data: st.DataObject) -> None:
    """Whichever byte is another one, the reading ends with a fault, and only whole blocks were given before."""
    lines = write(counters(MOST_LINES + 5))
    good = read(lines)
    raw = bytearray(b"".join(lines))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    came: list[Block] = []

    with pytest.raises(TransferError, match=r"^lines? [0-9]+"):
        came.extend(ExportReader().read(bytes(raw).splitlines(keepends=True)))

    assert good[: len(came)] == came


def test_the_lines_of_an_altered_block_are_named() -> None:
    """The fault says from which line to which, and shows nothing of them."""
    lines = write([Counter("openai", "key1", "sk-canary", 1.0), *counters(2)])
    lines[2] = lines[2].replace(b"0.0", b"9.0")

    with pytest.raises(TransferError, match=r"^lines 2 to 5: altered or torn since they were exported$"):
        read(lines)


@pytest.mark.parametrize("swap", [(1, 2), (2, 3)])
def test_blocks_that_change_places_are_noticed(swap: tuple[int, int]) -> None:
    """Every digest is that of all before, so a block counts in its place alone."""
    lines = write(counters(3 * MOST_LINES))
    size, (one, other) = MOST_LINES + 1, swap
    blocks = [lines[1 + size * place : 1 + size * (place + 1)] for place in range(3)]
    blocks[one - 1], blocks[other - 1] = blocks[other - 1], blocks[one - 1]

    with pytest.raises(TransferError):
        read([lines[0], *(line for block in blocks for line in block), lines[-1]])


def test_a_line_behind_the_end_is_refused() -> None:
    """What was put behind the last line is named."""
    lines = write(counters(1))

    with pytest.raises(TransferError, match=rf"^line {len(lines) + 1}: something stands behind the end"):
        read([*lines, lines[1]])


def test_a_block_without_an_end_is_not_gathered_for_ever() -> None:
    """Beyond MOST_LINES lines without a digest the file is refused."""
    lines = write(counters(1))

    with pytest.raises(TransferError, match=rf"^line {MOST_LINES + 2}: a block has"):
        read([lines[0], *[lines[1]] * (MOST_LINES + 5)])


@pytest.mark.parametrize(
    "head",
    [b"\n", b"nonsense\n", b"[]\n", b'{"coo_export":1}\n', b'{"coo_export":1,"id":"../x","created":1,"what":[]}\n'],
)
def test_another_file_is_refused(head: bytes) -> None:
    """What begins otherwise is no export."""
    with pytest.raises(TransferError, match=r"^line 1: this is no file that `coo export` made$"):
        read([head])


def test_another_version_is_refused() -> None:
    """A later version is named as such."""
    with pytest.raises(TransferError, match=r"^line 1: the file is of version 2"):
        read([b'{"coo_export":2}\n'])


class Forger(ExportWriter):
    """Writes what the digest agrees with and no export has."""

    def forge(self, parts: object) -> bytes:
        self._lines += 1
        return self._write(parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "parts",
    [
        {"provider": "p", "key": "k", "metric": "m", "value": "1", "samples": 1},
        {"provider": "p", "key": "k", "metric": "m", "value": 1, "samples": 0},
        {"response": "k", "expires": -1, "value": ""},
        {"response": "k", "expires": 1, "value": "?"},
        ["k"],
    ],
)
def test_a_record_that_makes_no_sense_is_refused(parts: object) -> None:
    """Also where the digest is right: the line is named and nothing of its block is given."""
    writer = Forger(HEAD)
    raw = writer.head + writer.add(counters(1)[0]) + writer.forge(parts) + writer.end()

    with pytest.raises(TransferError, match=r"^line 3: it is neither a counter nor a response$"):
        read(raw.splitlines(keepends=True))


def test_every_line_is_a_json_object() -> None:
    """Any tool that reads JSON lines reads an export."""
    assert all(isinstance(json.loads(line), dict) for line in write([*counters(3), Response("k", 1.0, b"\xff")]))


def test_kinds_are_named_with_commas() -> None:
    """Each once, in one order; others are refused."""
    assert ("cache", "usage") == parse_kinds("usage, cache,usage")
    with pytest.raises(ValueError, match=r"^what: must be some of cache, usage"):
        parse_kinds("cache,secrets")


@pytest.mark.parametrize(
    ("parts", "told"),
    [({"block": 7}, "the block is not the next one"), ({"end": 0}, "the end is not that of this file")],
)
def test_a_closing_line_of_another_file_is_refused(parts: dict[str, object], told: str) -> None:
    """A block with another's number, and an end that leaves a block open, though both prove what stands before them."""
    lines = write(counters(1))[:2]
    proof = sha256(b"".join(lines)).hexdigest()
    with pytest.raises(TransferError, match=told):
        read([*lines, json.dumps(parts | {"sha256": proof}, separators=(",", ":")).encode() + b"\n"])
