"""Watches one answer go by. Chunks are kept by reference and read later, never in the way of the client."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import read_json
from coo_middleware.core.outcome import UNREADABLE, Outcome
from coo_middleware.core.request import Headers
from coo_middleware.core.sse import SSEDecoder

if TYPE_CHECKING:
    from coo_middleware.core.format import Format, Strip
    from coo_middleware.core.outcome import StreamReader

# So much may gather before it is read: reading in pieces keeps a long stream's memory flat.
_READ_AHEAD: Final = 65_536
_LONGEST_JSON: Final = 33_554_432

EVENT_STREAM: Final = b"text/event-stream"
JSON: Final = b"application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What went by. `content` is None when it was longer than an entry may be; `ended` says that the final message
    was seen, `strange` that what the client got may not be what we saw; `media` is the media type in lower case.
    """

    status: int
    headers: Headers
    media: bytes
    content: bytes | None
    ended: bool
    strange: bool
    outcome: Outcome

    @property
    def stream(self) -> bool:
        """Whether it came as server-sent events."""
        return self.media == EVENT_STREAM


class Exchange:
    """One answer. `limit` in bytes is the most that an entry may hold; a longer stream is still read for its usage.

    With `strip`, every event loses what `strip` takes from it before the client and the entry get it.
    """

    __slots__ = (
        "_ended",
        "_format",
        "_headers",
        "_kept",
        "_limit",
        "_media",
        "_pending",
        "_size",
        "_status",
        "_strange",
        "_stream",
        "_strip",
        "_unread",
    )

    def __init__(self, fmt: Format, limit: int, strip: Strip | None = None) -> None:
        self._format: Final = fmt
        self._limit: Final = limit
        self._strip = strip
        self._kept: list[bytes] = []
        self._pending: list[bytes] = []
        self._unread = 0
        self._size = 0
        self._status = 0
        self._headers: Headers = ()
        self._media = b""
        self._ended = False
        self._strange = False
        self._stream: tuple[SSEDecoder, StreamReader] | None = None

    @property
    def held(self) -> bytes:
        """What `rewrite` keeps back: the beginning of an event that has not ended."""
        return self._stream[0].rest if self._stream is not None else b""

    def start(self, status: int, headers: Headers) -> bool:
        """The answer begins. True when its chunks must go through `rewrite`."""
        if self._status:
            self._strange = True
            return False
        self._status = status
        self._headers = headers
        media = _single(headers, b"content-type")
        self._media = media or b""
        is_plain = media is not None and _single(headers, b"content-encoding") in (b"", b"identity")
        self._strange = self._strange or not is_plain
        if status == 200 and self._media == EVENT_STREAM and is_plain:
            self._stream = SSEDecoder(self._limit), self._format.read_stream()
        return self._strip is not None and self._stream is not None

    def rewrite(self, chunk: bytes, *, more: bool) -> bytes:
        """What the client gets of a chunk; an unfinished event waits for its end."""
        if self._stream is None or self._strip is None:
            return chunk
        decoder, reader = self._stream
        events = decoder.feed(chunk)
        for event in events:
            reader.feed(event)
        rest = b"" if more else decoder.take_rest()
        return b"".join(map(self._strip, events)) + rest

    def add(self, chunk: bytes, *, more: bool) -> None:
        """A chunk as the client got it; the last one has `more` False, and one after the last is strange."""
        if self._ended or not self._status:
            self._strange = True
            return
        self._ended = not more
        self._size += len(chunk)
        if self._status == 200 and self._size <= self._most():
            self._kept.append(chunk)
        else:
            self._kept.clear()
        if self._stream is not None and self._strip is None:
            self._pending.append(chunk)
            self._unread += len(chunk)
            if self._unread > _READ_AHEAD:
                self._read_events(*self._stream)

    def notice_unknown(self) -> None:
        """A message came that we do not understand: what the client got is not what we saw."""
        self._strange = True

    def is_delivered(self) -> bool:
        """Whether the client has all that it needs, though the final message may still be to come."""
        if self._stream is not None:
            decoder, reader = self._stream
            self._read_events(decoder, reader)
            return reader.outcome().whole
        return b"%d" % self._size == _single(self._headers, b"content-length")

    def answer(self) -> Answer:
        """All that is known; call it once, when no more will come."""
        content = b"".join(self._kept)
        return Answer(
            status=self._status,
            headers=self._headers,
            media=self._media,
            content=content if self._size <= self._limit else None,
            ended=self._ended,
            strange=self._strange,
            outcome=self._outcome(content),
        )

    def _most(self) -> int:
        # The usage of a JSON answer stands at its end, so one that is too long to store is read all the same.
        return max(self._limit, _LONGEST_JSON) if self._media == JSON else self._limit

    def _outcome(self, content: bytes) -> Outcome:
        if self._stream is not None:
            decoder, reader = self._stream
            self._read_events(decoder, reader)
            outcome = reader.outcome()
            return replace(outcome, whole=False) if decoder.broken else outcome
        document = read_json(content)
        return self._format.read_body(document) if isinstance(document, dict) else UNREADABLE

    def _read_events(self, decoder: SSEDecoder, reader: StreamReader) -> None:
        for event in decoder.feed(b"".join(self._pending)):
            reader.feed(event)
        self._pending.clear()
        self._unread = 0


def _single(headers: Headers, name: bytes) -> bytes | None:
    """The media type or coding in a field, b"" when it is absent, None when it is there twice."""
    values = [value for field, value in headers if field.lower() == name]
    if len(values) > 1:
        return None
    return values[0].partition(b";")[0].strip().lower() if values else b""
