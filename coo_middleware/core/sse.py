"""Server-sent events, read incrementally on bytes (WHATWG HTML, section 9.2.6).

Every byte that is fed leaves in exactly one event's `raw` or in the rest, so what is forwarded can be cut at
events and still be what came. Lines end in LF, CRLF or CR, also mixed; U+2028 and the like are data.
"""

from __future__ import annotations

import re
from typing import Final

from coo_middleware.core.framing import Event

# Atomic groups: a CRLF that is followed by text must not be taken apart into two line ends.
_END_OF_EVENT: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_END_OF_LINE: Final = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class SSEDecoder:
    """Cuts a stream into events, however it was chunked.

    An event over `limit` bytes ends the reading: `broken` is set and whatever comes passes through in nameless events
    without data. An event leaves with the first byte that ends it, so where a chunk ends within its last CRLF, the LF
    leads the next event's `raw`.
    """

    __slots__ = ("_buffer", "_limit", "_scanned", "_started", "_tail", "broken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self._started = False
        self._tail = b""
        self.broken = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes."""
        self._buffer += chunk
        self._tail = (self._tail + chunk[-3:])[-3:]
        events = [] if self.broken else self._cut()
        if self.broken and self._buffer:
            events.append(Event(self.take_rest(), "", None))
        return events

    def close(self) -> list[Event]:
        """None: an event that no blank line has closed is discarded (section 9.2.6). `broken` where the last CRLF lost
        its LF.
        """
        self.broken = self.broken or self._tail == b"\r\n\r"
        return []

    @property
    def is_empty(self) -> bool:
        """Whether the next byte begins an event."""
        return not self._buffer and not self.broken

    @property
    def rest(self) -> bytes:
        """What no blank line has closed so far."""
        return bytes(self._buffer)

    def take_rest(self) -> bytes:
        """What no blank line has closed, once: bytes for the client but no event (section 9.2.6 discards it)."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return rest

    def _cut(self) -> list[Event]:
        events = []
        start = 0
        # An end of event may straddle two chunks; it is at most four bytes long.
        end = _END_OF_EVENT.search(self._buffer, max(0, self._scanned - 3))
        while end and end.end() - start <= self._limit:
            events.append(self._event(bytes(self._buffer[start : end.end()])))
            start = end.end()
            end = _END_OF_EVENT.search(self._buffer, start)
        del self._buffer[:start]
        self._scanned = len(self._buffer)
        self.broken = self._scanned > self._limit
        return events

    def _event(self, raw: bytes) -> Event:
        text = raw if self._started else raw.removeprefix(_BYTE_ORDER_MARK)
        self._started = True
        return _read_event(raw, text)


def _read_event(raw: bytes, text: bytes) -> Event:
    name = ""
    data: list[str] = []
    for line in _END_OF_LINE.split(text):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" ").decode(errors="replace"))
        elif field == b"event":
            name = value.removeprefix(b" ").decode(errors="replace")
    return Event(raw, name, "\n".join(data) if data else None)
