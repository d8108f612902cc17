"""AWS's binary event stream, read incrementally (https://smithy.io/2.0/aws/amazon-eventstream.html).

A frame is its own length, its headers' length and a CRC32 of these two, then headers, payload and a CRC32 of all that
came before; big-endian throughout.
"""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import crc32

from coo_middleware.core.framing import Event

_PRELUDE: Final = Struct(">III")
_CRC: Final = Struct(">I")
# Prelude and closing CRC: what a frame without headers and payload takes.
_SHORTEST: Final = _PRELUDE.size + _CRC.size
_LONGEST_HEADERS: Final = 131_072
_STRING: Final = 7
# What a header's value takes, by its type: true, false, byte, short, integer, long, bytes, string, timestamp, UUID.
# None: two bytes before the value tell.
_SIZES: Final = (0, 0, 1, 2, 4, 8, None, None, 8, 16)


class EventStreamDecoder:
    """Cuts a stream into frames, however it was chunked; see core/framing.Decoder.

    A frame over `limit` bytes, one whose checksums or lengths are wrong, and an end within a frame set `broken`.
    An event's name is its `:event-type`, and "error" for a frame whose `:message-type` is not "event".
    """

    __slots__ = ("_buffer", "_limit", "broken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self.broken = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes."""
        self._buffer += chunk
        events = [] if self.broken else self._cut()
        if self.broken and self._buffer:
            events.append(Event(self.take_rest(), "", None))
        return events

    def close(self) -> list[Event]:
        """None; a frame that has not ended is known to be cut, and sets `broken`."""
        self.broken = self.broken or bool(self._buffer)
        return []

    @property
    def rest(self) -> bytes:
        """The beginning of a frame that has not ended."""
        return bytes(self._buffer)

    def take_rest(self) -> bytes:
        """The beginning of a frame that has not ended, once."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _cut(self) -> list[Event]:
        events = []
        start = 0
        try:
            while (end := start + self._length(start)) <= len(self._buffer):
                events.append(_read_frame(bytes(self._buffer[start:end])))
                start = end
        except (LookupError, ValueError):
            self.broken = True
        del self._buffer[:start]
        return events

    def _length(self, start: int) -> int:
        """The length of the frame that begins at `start`, as far as it is known. Raises ValueError for no frame."""
        if len(self._buffer) - start < _PRELUDE.size:
            return _PRELUDE.size
        length, headers, crc = _PRELUDE.unpack_from(self._buffer, start)
        told = memoryview(self._buffer)[start : start + 8]
        checked = crc32(told)
        told.release()
        if checked != crc or not headers + _SHORTEST <= length <= self._limit or headers > _LONGEST_HEADERS:
            raise ValueError("prelude")
        return int(length)


def _read_frame(frame: bytes) -> Event:
    """The event in one whole frame. Raises LookupError or ValueError where its bytes are damaged."""
    headers_end = _PRELUDE.size + _PRELUDE.unpack_from(frame)[1]
    if crc32(frame[: -_CRC.size]) != _CRC.unpack_from(frame, len(frame) - _CRC.size)[0]:
        raise ValueError("checksum")
    headers = _read_headers(frame[_PRELUDE.size : headers_end])
    name = headers.get(":event-type", "") if headers.get(":message-type") == "event" else "error"
    payload = frame[headers_end : -_CRC.size]
    return Event(frame, name, payload.decode(errors="replace") if payload else None)


def _read_headers(section: bytes) -> dict[str, str]:
    """Every header's name and, of those that are strings, the value. Raises LookupError or ValueError."""
    headers: dict[str, str] = {}
    place = 0
    while place < len(section):
        name_end = place + 1 + section[place]
        name = section[place + 1 : name_end].decode()
        kind = section[name_end]
        start, size = name_end + 1, _SIZES[kind]
        if size is None:
            start, size = start + 2, int.from_bytes(section[start : start + 2])
        place = start + size
        if place > len(section) or name in headers:
            raise ValueError("headers")
        headers[name] = section[start:place].decode() if kind == _STRING else ""
    return headers
