"""What a leader has of an answer so far, in frames for the replicas that follow it.

Frame, big-endian: magic and version `COP\\x01` · the number of its first part, counted from 0 (uint64) · parts, each a
kind (uint8) and a byte string behind its length (uint32) · BLAKE2b-128 of all before, keyed with the cache key, so that
a frame of another key, and with it of another scope, is none.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.request import Headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEAD: Final = struct.Struct(">4sQ")
_MAGIC: Final = b"COP\x01"
_PART: Final = struct.Struct(">BI")
_STATUS: Final = struct.Struct(">H")
_LENGTH: Final = struct.Struct(">I")
_START, _CHUNK, _END = range(3)
_CHECKSUM_BYTES: Final = 16


class FrameError(ValueError):
    """A frame is not one of ours, or not whole, or of another key."""


@dataclass(frozen=True, slots=True)
class Start:
    """The answer begins."""

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class End:
    """No more will come. `fault` says why the answer is not whole, "" when it is."""

    fault: str = ""


Part: TypeAlias = Start | bytes | End


def pack_parts(key: str, number: int, parts: Sequence[Part]) -> bytes:
    """The frame of `parts`, of which the first is the answer's part `number`."""
    strings = [_HEAD.pack(_MAGIC, number)]
    for part in parts:
        kind, content = _write(part)
        strings += [_PART.pack(kind, len(content)), content]
    frame = b"".join(strings)
    return frame + _checksum(frame, key)


def unpack_parts(frame: bytes, key: str) -> tuple[int, list[Part]]:
    """The number of a frame's first part, and its parts. Raises FrameError."""
    body, checksum = frame[:-_CHECKSUM_BYTES], frame[-_CHECKSUM_BYTES:]
    if not body.startswith(_MAGIC) or _checksum(body, key) != checksum:
        raise FrameError("not a whole frame of this version and key")
    try:
        _, number = _HEAD.unpack_from(body)
        return number, [*_read_parts(body)]
    except (struct.error, UnicodeDecodeError, IndexError):
        raise FrameError("the insides make no sense") from None


def size_of(part: Part) -> int:
    """What a part takes in a frame, in bytes."""
    return _PART.size + (len(part) if isinstance(part, bytes) else len(_write(part)[1]))


def _write(part: Part) -> tuple[int, bytes]:
    if isinstance(part, Start):
        fields = b"".join(_LENGTH.pack(len(each)) + each for pair in part.headers for each in pair)
        return _START, _STATUS.pack(part.status) + fields
    return (_END, part.fault.encode(errors="replace")) if isinstance(part, End) else (_CHUNK, part)


def _read_parts(body: bytes) -> Iterator[Part]:
    place = _HEAD.size
    while place < len(body):
        kind, length = _PART.unpack_from(body, place)
        place += _PART.size + length
        if place > len(body):
            raise FrameError("a part is cut")
        content = body[place - length : place]
        yield (_read_start, bytes, _read_end)[kind](content)


def _read_start(content: bytes) -> Start:
    (status,) = _STATUS.unpack_from(content)
    strings, place = [], _STATUS.size
    while place < len(content):
        (length,) = _LENGTH.unpack_from(content, place)
        place += _LENGTH.size + length
        strings.append(content[place - length : place])
    if place != len(content) or len(strings) % 2:
        raise FrameError("the lengths do not add up")
    return Start(status, tuple(zip(strings[::2], strings[1::2], strict=True)))


def _read_end(content: bytes) -> End:
    return End(content.decode())


def _checksum(frame: bytes, key: str) -> bytes:
    secret = hashlib.blake2b(key.encode()).digest()
    return hashlib.blake2b(frame, digest_size=_CHECKSUM_BYTES, key=secret).digest()
