"""Lines of JSON (https://github.com/ndjson/ndjson-spec), read incrementally on bytes: lines end in LF or CRLF.

Every byte that is fed leaves in exactly one event's `raw` or in the rest. Blank lines say nothing and lead the next
event's `raw`.
"""

from __future__ import annotations

import re
from typing import Final

from coo_middleware.core.framing import Event

_BLANK: Final = b" \t\r\n"  # JSON's own white space (RFC 8259, section 2)
_TEXT: Final = re.compile(rb"[^ \t\r\n]")


class NDJSONDecoder:
    """Cuts a stream into lines, however it was chunked: an event has no name, and its data is the text of its line
    without outer white space. Whether that is JSON is for its reader to say.

    An event over `limit` bytes ends the reading: `broken` is set and whatever comes passes through in nameless events
    without data.
    """

    __slots__ = ("_begun", "_buffer", "_limit", "_scanned", "broken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self._begun = False
        self.broken = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes."""
        self._buffer += chunk
        events = [] if self.broken else self._cut()
        if self.broken and self._buffer:
            events.append(Event(self.take_rest(), "", None))
        return events

    def close(self) -> list[Event]:
        """The last line, which may lack its newline."""
        return [_read_line(self.take_rest())] if self._begun else []

    @property
    def rest(self) -> bytes:
        """The line that has not ended so far, and the blank ones before it."""
        return bytes(self._buffer)

    def take_rest(self) -> bytes:
        """The rest, once."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        self._begun = False
        return rest

    def _cut(self) -> list[Event]:
        events = []
        start = 0
        end = self._find_end()
        while start < end <= start + self._limit:
            events.append(_read_line(bytes(self._buffer[start:end])))
            start = end
            end = self._find_end()
        del self._buffer[:start]
        self._scanned -= start
        self.broken = len(self._buffer) > self._limit
        return events

    def _find_end(self) -> int:
        """Where the next line that is not blank ends, 0 where it does not; each byte is looked at once."""
        if not self._begun:
            text = _TEXT.search(self._buffer, self._scanned)
            self._begun = text is not None
            self._scanned = text.start() if text else len(self._buffer)
        end = self._buffer.find(b"\n", self._scanned) + 1
        self._scanned = end or len(self._buffer)
        self._begun = self._begun and not end
        return end


def _read_line(raw: bytes) -> Event:
    return Event(raw, "", raw.strip(_BLANK).decode(errors="replace"))
