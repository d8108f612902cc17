"""Ollama's own chat and generate (https://docs.ollama.com/api/chat and /api/generate): lines of JSON, unless the
request says `stream: false`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_messages, normalize_prompts
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import Frames, merge_counts, reports_error, text_of, usage_of
from coo_middleware.formats.errors import ollama_error

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event
    from coo_middleware.core.normalize import Preset

# How long the model stays loaded afterwards; no part of any answer.
LEFT_OUT: Final = frozenset({"keep_alive"})

_COUNTS: Final = ("prompt_eval_count", "eval_count")
_TEXTS: Final = ("content", "response", "image")
_PROMPTS: Final = ("prompt", "system")
# A message's content is one text and never a list of parts.
_NO_PARTS: Final[frozenset[str]] = frozenset()


def read_ollama(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = OllamaReader()
    reader.take(document)
    return reader.outcome()


class OllamaReader:
    """Folds a stream of lines. It is whole when the last one is done and says why: a generation whose runner was lost
    is done without a reason (`DoneReasonConnectionClosed` in Ollama's llm/server.go).
    """

    __slots__ = ("_counts", "_done", "_error", "_frames", "_given", "_late", "_model", "_odd", "_reason")

    def __init__(self) -> None:
        self._frames = Frames()
        self._counts: dict[str, int] = {}
        self._model = ""
        self._reason = ""
        self._done = self._error = self._given = self._late = self._odd = False

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        line = self._frames.read(event)
        if line is not None:
            self.take(line)

    def take(self, document: Document) -> None:
        """Takes a line, or a whole answer."""
        self._late = self._late or self._done
        self._done = self._done or document.get("done") is True
        self._error = self._error or reports_error(document)
        self._reason = text_of(document, "done_reason") or self._reason
        self._model = text_of(document, "model") or self._model
        merge_counts(self._counts, {name: document.get(name) for name in _COUNTS})
        message = document.get("message")
        self._take_piece(message if isinstance(message, dict) else document)

    def outcome(self) -> Outcome:
        """What is known so far. A count that is absent is unknown: Ollama leaves out what its own cache saved it."""
        return Outcome(
            whole=self._done and bool(self._reason) and not self._late and not self._frames.broken,
            usage=usage_of(self._counts.get("prompt_eval_count"), self._counts.get("eval_count")),
            finish_reasons=(self._reason,) if self._reason else (),
            error=self._error or self._frames.error,
            sound=self._given and not self._odd,
            model=self._model,
        )

    def _take_piece(self, piece: Document) -> None:
        calls = piece.get("tool_calls") or []
        texts = any(text_of(piece, name) for name in _TEXTS)
        self._given = self._given or texts or bool(calls) or bool(piece.get("images"))
        self._odd = self._odd or not (isinstance(calls, list) and all(map(_is_call, calls)))


def _is_call(call: Json) -> bool:
    """Whether a tool can be called: its arguments are an object and come in one piece."""
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and isinstance(function.get("arguments"), dict)


def bypass_chat(document: Document) -> str:
    """The reason why this request must reach the provider, or "": without messages it loads or unloads the model."""
    return "" if document.get("messages") else "model-load"


def bypass_generate(document: Document) -> str:
    """The reason why this request must reach the provider, or "": without a prompt it loads or unloads the model."""
    return "" if document.get("prompt") else "model-load"


def normalize_chat(document: Document, preset: Preset) -> Document:
    """The document with the texts of its messages normalized."""
    if preset == "strict" or "messages" not in document:
        return document
    return {**document, "messages": normalize_messages(document["messages"], preset, _NO_PARTS)}


def normalize_generate(document: Document, preset: Preset) -> Document:
    """The document with its prompt and its system prompt normalized; their outer white space counts. A `raw` prompt,
    which holds the model's control tokens, a template and a suffix keep their bytes.
    """
    if preset == "strict" or document.get("raw"):
        return document
    return {**document, **{name: normalize_prompts(document[name], preset) for name in _PROMPTS if name in document}}


OLLAMA_CHAT: Final = Format(
    name="ollama-chat",
    provider="ollama",
    operation="chat",
    endpoints=(Endpoint("/api/chat"),),
    left_out=LEFT_OUT,
    ordered=frozenset({"format", "tools"}),
    bypass=bypass_chat,
    normalize=normalize_chat,
    read_body=read_ollama,
    read_stream=OllamaReader,
    error_body=ollama_error,
    streams=True,
    ndjson=True,
)
OLLAMA_GENERATE: Final = Format(
    name="ollama-generate",
    provider="ollama",
    operation="text_completion",
    endpoints=(Endpoint("/api/generate"),),
    left_out=LEFT_OUT,
    ordered=frozenset({"format"}),
    bypass=bypass_generate,
    normalize=normalize_generate,
    read_body=read_ollama,
    read_stream=OllamaReader,
    error_body=ollama_error,
    streams=True,
    ndjson=True,
)
