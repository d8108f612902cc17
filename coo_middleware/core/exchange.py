"""Watches one answer go by. Chunks are kept by reference and read later, never in the way of the client."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from coo_middleware.core.coding import CodingError, open_coding
from coo_middleware.core.document import read_json
from coo_middleware.core.event_stream import EventStreamDecoder
from coo_middleware.core.ndjson import NDJSONDecoder
from coo_middleware.core.outcome import UNREADABLE, Outcome
from coo_middleware.core.request import Headers
from coo_middleware.core.rewriter import Rewriter
from coo_middleware.core.sse import SSEDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.coding import Coding
    from coo_middleware.core.document import Document
    from coo_middleware.core.format import Format, Strip
    from coo_middleware.core.framing import Decoder
    from coo_middleware.core.outcome import StreamReader, Usage

Form: TypeAlias = Literal["body", "stream", ""]

# So much may gather before it is read: reading in pieces keeps a long stream's memory flat.
_READ_AHEAD: Final = 65_536
_LONGEST_JSON: Final = 33_554_432

_JSON: Final = b"application/json"
_SSE: Final = b"text/event-stream"
_DECODERS: Final[dict[bytes, Callable[[int], Decoder]]] = {
    _SSE: SSEDecoder,
    b"application/vnd.amazon.eventstream": EventStreamDecoder,
    b"application/x-ndjson": NDJSONDecoder,
    b"application/ndjson": NDJSONDecoder,
    b"application/jsonl": NDJSONDecoder,
    b"application/stream+json": NDJSONDecoder,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What went by. `content`, decoded, is None when it was longer than an entry may be; `ended` says that the final
    message was seen, `strange` that what the client got may not be what we saw; `form` is "" for what is neither a
    JSON body nor a stream of a known framing.
    """

    status: int
    headers: Headers
    form: Form
    content: bytes | None
    ended: bool
    strange: bool
    outcome: Outcome


class Exchange:
    """One answer of the app. `limit` in bytes is the most that an entry may hold; a longer stream is still read for
    its usage. `streams`: the request asked for a stream. With `strip`, `rewriter` gives what the client gets of it.
    """

    __slots__ = (
        "_coding",
        "_ended",
        "_form",
        "_format",
        "_headers",
        "_kept",
        "_limit",
        "_media",
        "_pending",
        "_received",
        "_size",
        "_spoilt",
        "_status",
        "_strange",
        "_stream",
        "_streams",
        "_strip",
        "_unread",
        "rewriter",
    )

    def __init__(self, fmt: Format, limit: int, *, streams: bool = False, strip: Strip | None = None) -> None:
        self._format: Final = fmt
        self._limit: Final = limit
        self._streams: Final = streams
        self._strip: Final = strip
        self._kept: list[bytes] = []
        self._pending: list[bytes] = []
        self._unread = self._received = self._size = self._status = 0
        self._headers: Headers = ()
        self._media = b""
        self._form: Form = ""
        self._ended = self._strange = self._spoilt = False
        self._coding: Coding | None = None
        self._stream: tuple[Decoder, StreamReader] | None = None
        self.rewriter: Rewriter | None = None

    def start(self, status: int, headers: Headers) -> None:
        """The answer begins."""
        if self._status:
            self._strange = True
            return
        self._status = status
        self._headers = headers
        media, coding = _values(headers, b"content-type"), b",".join(_values(headers, b"content-encoding"))
        self._media = media[0].partition(b";")[0].strip().lower() if media else b""
        self._coding = open_coding(coding)
        is_readable = len(media) <= 1 and self._coding is not None
        self._strange = self._strange or not is_readable
        if status == 200 and is_readable:
            self._open_stream()
        self._form = self._tell_form() if is_readable else ""

    def add(self, chunk: bytes, *, more: bool) -> None:
        """A chunk as the app sent it; the last one has `more` False, and one after the last is strange."""
        if self._ended or not self._status:
            self._strange = True
            return
        self._ended = not more
        self._received += len(chunk)
        chunk = self._decode(chunk)
        self._size += len(chunk)
        if self._status == 200 and self._size <= self._most():
            self._kept.append(chunk)
        else:
            self._kept.clear()
        if self._stream is not None:
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
            self._read_events(*self._stream)
            return self._stream[1].outcome().whole
        return [b"%d" % self._received] == _values(self._headers, b"content-length")

    def answer(self) -> Answer:
        """All that is known; call it once, when no more will come."""
        content = b"".join(self._kept)
        return Answer(
            status=self._status,
            headers=self._headers,
            form=self._form,
            content=content if self._size <= self._limit else None,
            ended=self._ended,
            strange=self._strange,
            outcome=self._add_fields(self._outcome(content)),
        )

    def documents(self) -> list[Document]:
        """The objects of what was kept: a body, or those of a stream's events."""
        content = b"".join(self._kept)
        if self._stream is None:
            told = read_json(content)
            items = told if isinstance(told, list) else [told]
        else:
            decoder = type(self._stream[0])(self._limit)
            events = [*decoder.feed(content), *decoder.close()]
            items = [read_json(event.data) for event in events if event.data is not None]
        return [item for item in items if isinstance(item, dict)]

    def _open_stream(self) -> None:
        """A framing is told by its media type; a format of JSON lines uses several, also those of others."""
        decoder = NDJSONDecoder if self._format.ndjson and self._streams else _DECODERS.get(self._media)
        if decoder is None:
            return
        self._stream = decoder(self._limit), self._format.read_stream()
        coding = open_coding(b",".join(_values(self._headers, b"content-encoding")))
        if self._strip is not None and self._media == _SSE and coding is not None:
            self.rewriter = Rewriter(self._strip, coding, self._limit)

    def _tell_form(self) -> Form:
        if self._stream is not None:
            return "stream"
        if self._media != _JSON:
            return ""
        # Gemini streams one JSON array where no other framing is asked for.
        return "stream" if self._streams and self._format.read_list is not None else "body"

    def _decode(self, chunk: bytes) -> bytes:
        if self._coding is None:
            return chunk
        try:
            return b"" if self._spoilt else self._coding.decode(chunk, self._most())
        except CodingError:
            self._strange = self._spoilt = True
            return b""

    def _most(self) -> int:
        # The usage of a JSON answer stands at its end, so one that is too long to store is read all the same.
        return max(self._limit, _LONGEST_JSON) if self._media == _JSON else self._limit

    def _outcome(self, content: bytes) -> Outcome:
        if self._stream is not None:
            decoder, reader = self._stream
            self._read_events(decoder, reader)
            for event in decoder.close() if self._ended else ():
                reader.feed(event)
            outcome = reader.outcome()
            # What was cut within its last event may have lost more than that.
            return replace(outcome, whole=False) if decoder.broken or decoder.rest.strip() else outcome
        document = read_json(content)
        if isinstance(document, dict):
            return self._format.read_body(document)
        read_list = self._format.read_list
        if read_list is None or not isinstance(document, list):
            return UNREADABLE
        objects = [item for item in document if isinstance(item, dict)]
        return read_list(objects) if objects and len(objects) == len(document) else UNREADABLE

    def _add_fields(self, outcome: Outcome) -> Outcome:
        """The outcome with what only the header section tells, and not whole where a coding was cut."""
        if self._coding is not None and not self._coding.is_complete():
            outcome = replace(outcome, whole=False)
        told = self._format.read_fields(self._headers) if self._format.read_fields and self._status == 200 else None
        return outcome if told is None else replace(outcome, usage=_complete(outcome.usage, told))

    def _read_events(self, decoder: Decoder, reader: StreamReader) -> None:
        for event in decoder.feed(b"".join(self._pending)):
            reader.feed(event)
        self._pending.clear()
        self._unread = 0


def _complete(usage: Usage | None, told: Usage) -> Usage:
    """The usage that the content told, and what only the header section knows."""
    if usage is None:
        return told
    known = {name: value for name, value in asdict(told).items() if getattr(usage, name) is None}
    return replace(usage, **known)


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for field, value in headers if field.lower() == name]
