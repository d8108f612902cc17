"""Cohere's chat and generate, version 1 (https://docs.cohere.com/v1/reference/chat and /v1/reference/generate)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.framing import Event
from coo_middleware.core.normalize import normalize_content, normalize_prompts
from coo_middleware.core.outcome import Outcome, tokens
from coo_middleware.formats.answer import Frames, arguments_parse, items_of, text_of
from coo_middleware.formats.cohere_answer import FAILED, bypass_cohere, merge_units, tells_failure, usage_of_units
from coo_middleware.formats.errors import cohere_error

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.normalize import Preset

_GIVING: Final = ("text", "tool_calls", "search_queries")
# What a line of server-sent events begins with, and no line of JSON does.
_FIELDS: Final = ("", "data", "event", "id", "retry")


def read_cohere_v1(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = CohereV1Reader()
    reader.take(document)
    return reader.outcome()


class CohereV1Reader:
    """Folds a stream of lines. It is whole when the last one ended it (`stream-end`, or where lines have no type
    `is_finished`) and told a finish reason.

    With the header `Accepts: text/event-stream` the lines are those of server-sent events. They are read for their
    usage and never sound.
    """

    __slots__ = (
        "_chunks",
        "_counts",
        "_error",
        "_foreign",
        "_frames",
        "_given",
        "_late",
        "_odd",
        "_reasons",
    )

    def __init__(self) -> None:
        self._frames = Frames()
        self._chunks: dict[int, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._reasons: tuple[str, ...] = ()
        self._error = self._foreign = self._given = self._late = self._odd = False

    def feed(self, event: Event) -> None:
        """Takes the next line."""
        field, _, value = (event.data or "").partition(":")
        if field in _FIELDS and event.data:
            self._foreign = True
            event = Event(event.raw, "", value.strip() if field == "data" else None)
        document = self._frames.read(event)
        if document is not None:
            self._take_line(document)

    def take(self, document: Document) -> None:
        """Takes a whole answer."""
        self._error = tells_failure(document, given="text" in document or "generations" in document)
        self._take_answer(document)
        self._reasons = _reasons(document)

    def outcome(self) -> Outcome:
        """What is known so far."""
        parsed = all(map(arguments_parse, map("".join, self._chunks.values())))
        return Outcome(
            whole=bool(self._reasons) and not self._late and not self._frames.broken,
            usage=usage_of_units(self._counts),
            finish_reasons=self._reasons,
            error=self._error or self._frames.error or not FAILED.isdisjoint(self._reasons),
            sound=self._given and not self._odd and not self._foreign and parsed,
            model="",
        )

    def _take_line(self, document: Document) -> None:
        kind = document.get("event_type")
        finished = document.get("is_finished") is True
        self._late = self._late or bool(self._reasons)
        self._error = self._error or kind == "stream-error" or tells_failure(document, given=kind is not None)
        self._take_result(document)
        self._take_chunk(document.get("tool_call_delta"))
        if kind == "stream-end" or (kind is None and finished):
            response = document.get("response")
            answer = response if isinstance(response, dict) else {}
            self._take_answer(answer)
            self._reasons = _reasons(answer) or _reasons(document)

    def _take_answer(self, answer: Document) -> None:
        generations = items_of(answer.get("generations"))
        for result in (answer, *generations):
            self._take_result(result)
        self._odd = self._odd or not all(text_of(generation, "text") for generation in generations)
        merge_units(self._counts, answer.get("meta"))

    def _take_result(self, members: Document) -> None:
        calls = members.get("tool_calls")
        self._given = self._given or any(members.get(name) for name in _GIVING)
        self._odd = self._odd or not (calls is None or (isinstance(calls, list) and all(map(_is_call, calls))))

    def _take_chunk(self, delta: Json) -> None:
        if isinstance(delta, dict):
            index = tokens(delta.get("index")) or 0
            self._chunks.setdefault(index, []).append(text_of(delta, "parameters"))


def _is_call(call: Json) -> bool:
    return isinstance(call, dict) and isinstance(call.get("parameters"), dict)


def _reasons(answer: Document) -> tuple[str, ...]:
    """Why it ended, or why each of its generations did; nothing where one of them does not tell."""
    told = [text_of(each, "finish_reason") for each in items_of(answer.get("generations")) or [answer]]
    return tuple(told) if all(told) else ()


def normalize_cohere_v1(document: Document, preset: Preset) -> Document:
    """The document with its message, its preamble and the messages of its history normalized. A raw prompt stays as
    it is.
    """
    if preset == "strict" or document.get("raw_prompting"):
        return document
    normalized = dict(document)
    for name in ("message", "preamble"):
        if name in document:
            normalized[name] = normalize_content(document[name], preset, frozenset())
    history = document.get("chat_history")
    if isinstance(history, list):
        normalized["chat_history"] = [_normalize_turn(turn, preset) for turn in history]
    return normalized


def _normalize_turn(turn: Json, preset: Preset) -> Json:
    if not isinstance(turn, dict) or "message" not in turn:
        return turn
    return {**turn, "message": normalize_content(turn["message"], preset, frozenset())}


def normalize_generate(document: Document, preset: Preset) -> Document:
    """The document with its prompt normalized; its outer white space counts."""
    if preset == "strict" or "prompt" not in document:
        return document
    return {**document, "prompt": normalize_prompts(document["prompt"], preset)}


COHERE_V1: Final = Format(
    name="cohere-v1",
    provider="cohere",
    operation="chat",
    endpoints=(Endpoint("/v1/chat"),),
    left_out=frozenset(),
    # The fields of documents and of tools' results are part of the prompt.
    ordered=frozenset({"tools", "tool_results", "documents", "response_format"}),
    bypass=bypass_cohere,
    normalize=normalize_cohere_v1,
    read_body=read_cohere_v1,
    read_stream=CohereV1Reader,
    error_body=cohere_error,
    names_model=False,
    ndjson=True,
)
COHERE_GENERATE: Final = Format(
    name="cohere-generate",
    provider="cohere",
    operation="text_completion",
    endpoints=(Endpoint("/v1/generate"),),
    left_out=frozenset(),
    ordered=frozenset(),
    bypass=bypass_cohere,
    normalize=normalize_generate,
    read_body=read_cohere_v1,
    read_stream=CohereV1Reader,
    error_body=cohere_error,
    names_model=False,
    ndjson=True,
)
