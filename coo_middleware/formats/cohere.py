"""Cohere's chat, version 2 (https://docs.cohere.com/reference/chat and /reference/chat-stream)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.outcome import Outcome, tokens
from coo_middleware.formats.answer import Frames, arguments_parse, items_of, reports_error, text_of
from coo_middleware.formats.chat import normalize_chat
from coo_middleware.formats.cohere_answer import FAILED, bypass_cohere, merge_units, tells_failure, usage_of_units
from coo_middleware.formats.errors import cohere_error

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event


def read_cohere(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = CohereReader()
    reader.take(document)
    return reader.outcome()


class CohereReader:
    """Folds a stream of events. It is whole when `message-end` came last and told a finish reason; `[DONE]` closes
    it.
    """

    __slots__ = ("_calls", "_counts", "_error", "_finish", "_frames", "_given", "_late", "_odd")

    def __init__(self) -> None:
        self._frames = Frames()
        self._calls: dict[int, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._finish = ""
        self._error = self._given = self._late = self._odd = False

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        document = self._frames.read(event)
        if document is None:
            return
        self._late = self._late or self._finish != ""
        self._error = self._error or tells_failure(document, given="type" in document)
        delta = document.get("delta")
        if not isinstance(delta, dict):
            return
        if document.get("type") == "message-end":
            self._take_end(delta)
        self._take_message(delta.get("message"), tokens(document.get("index")))

    def take(self, document: Document) -> None:
        """Takes a whole answer."""
        self._frames.closed = True
        self._error = tells_failure(document, given=False)
        self._take_end(document)
        self._take_message(document.get("message"), None)

    def outcome(self) -> Outcome:
        """What is known so far."""
        return Outcome(
            whole=self._finish != "" and not self._late and not self._frames.broken,
            usage=usage_of_units(self._counts),
            finish_reasons=(self._finish,) if self._finish else (),
            error=self._error or self._frames.error or self._finish in FAILED,
            sound=self._given and not self._odd and all(map(arguments_parse, map("".join, self._calls.values()))),
            model="",
            closed=self._frames.closed,
        )

    def _take_end(self, members: Document) -> None:
        self._finish = text_of(members, "finish_reason") or self._finish
        self._error = self._error or reports_error(members)
        merge_units(self._counts, members.get("usage"))

    def _take_message(self, message: Json, index: int | None) -> None:
        """A body lists its contents and its calls, an event has one of them and its index."""
        if not isinstance(message, dict):
            return
        calls = _listed(message.get("tool_calls"))
        texts = [text_of(item, "text") for item in items_of(_listed(message.get("content")))]
        self._given = self._given or bool(calls) or any(texts)
        for place, call in enumerate(calls):
            self._take_call(place if index is None else index, call)

    def _take_call(self, index: int, call: Json) -> None:
        function = call.get("function") if isinstance(call, dict) else None
        told = function.get("arguments") if isinstance(function, dict) else None
        self._odd = self._odd or not isinstance(function, dict) or not isinstance(told, str | None)
        self._calls.setdefault(index, []).append(told if isinstance(told, str) else "")


def _listed(value: Json) -> list[Json]:
    """What is said in one or in a list of them; nothing where it is null."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


COHERE: Final = Format(
    name="cohere",
    provider="cohere",
    operation="chat",
    endpoints=(Endpoint("/v2/chat"),),
    # Whom a busy server serves first.
    left_out=frozenset({"priority"}),
    # The fields of a document are part of the prompt.
    ordered=frozenset({"tools", "documents", "response_format"}),
    bypass=bypass_cohere,
    normalize=normalize_chat,
    read_body=read_cohere,
    read_stream=CohereReader,
    error_body=cohere_error,
)
