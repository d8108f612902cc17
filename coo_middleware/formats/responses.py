"""OpenAI's responses (https://platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_content, normalize_messages
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import (
    Frames,
    arguments_parse,
    items_of,
    merge_counts,
    merge_part,
    reports_error,
    text_of,
    usage_of,
)
from coo_middleware.formats.errors import openai_error
from coo_middleware.formats.responses_shapes import RESPONSES_RENDERING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event
    from coo_middleware.core.normalize import Preset
    from coo_middleware.core.outcome import Usage

_FINAL: Final = ("completed", "incomplete", "failed", "cancelled")
_ENDS: Final = ("response.completed", "response.incomplete", "response.failed")
_STATES: Final = ("previous_response_id", "conversation", "prompt")
_CLIENT_TOOLS: Final = ("function", "custom", "apply_patch", "local_shell", "shell")
_TEXT_TYPES: Final = frozenset({"input_text", "output_text"})


def read_response(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = ResponsesReader()
    reader.take(document)
    return reader.outcome()


class ResponsesReader:
    """Folds a stream of events. It is whole when exactly one terminal event came, and came last."""

    __slots__ = ("_counts", "_ended", "_error", "_frames", "_given", "_late", "_model", "_odd", "_refused", "_status")

    def __init__(self) -> None:
        self._frames = Frames()
        self._counts: dict[str, int] = {}
        self._status = ""
        self._model = ""
        self._error = self._ended = self._late = False
        self._given = self._odd = self._refused = False

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        document = self._frames.read(event)
        if document is None:
            return
        self._late = self._late or self._ended
        kind, item, response = (document.get(name) for name in ("type", "item", "response"))
        self._error = self._error or kind == "response.failed"
        if kind == "response.output_item.done" and isinstance(item, dict):
            self._take_item(item)
        if isinstance(response, dict):
            self._take_response(response, ends=kind in _ENDS)

    def take(self, document: Document) -> None:
        """Takes a whole answer."""
        self._take_response(document, ends=True)

    def outcome(self) -> Outcome:
        """What is known so far; the status is the finish reason once it is final."""
        final = self._ended and self._status in _FINAL
        status = (self._status,) if final else ()
        return Outcome(
            whole=final and not self._late and not self._frames.broken,
            usage=usage_of_items(self._counts),
            finish_reasons=(*status, "refusal") if self._refused else status,
            error=self._error or self._frames.error,
            sound=self._given and not self._odd,
            model=self._model,
        )

    def _take_response(self, response: Document, *, ends: bool) -> None:
        self._ended = self._ended or ends
        self._status = text_of(response, "status")
        self._model = text_of(response, "model") or self._model
        self._error = self._error or self._status == "failed" or reports_error(response)
        merge_usage(self._counts, response.get("usage"))
        for item in items_of(response.get("output")):
            self._take_item(item)

    def _take_item(self, item: Document) -> None:
        kind = item.get("type")
        parts = items_of(item.get("content")) if kind == "message" else []
        self._refused = self._refused or any(part.get("type") == "refusal" for part in parts)
        self._given = self._given or any(map(_fills, parts)) or kind not in ("message", "reasoning")
        arguments = item.get("arguments")
        self._odd = self._odd or (
            kind == "function_call" and not (isinstance(arguments, str) and arguments_parse(arguments))
        )


def _fills(part: Document) -> bool:
    return part.get("type") not in ("output_text", "refusal") or bool(part.get("text") or part.get("refusal"))


def merge_usage(counts: dict[str, int], usage: Json) -> None:
    """Adds what a `usage` in the words of responses tells to `counts`, its parts among it."""
    merge_counts(counts, usage)
    merge_part(counts, usage, "input_tokens_details")
    merge_part(counts, usage, "output_tokens_details")


def usage_of_items(counts: Mapping[str, int]) -> Usage | None:
    """The usage that `merge_usage` has gathered. An image tool's tokens are another model's and are not in it."""
    return usage_of(
        counts.get("input_tokens"),
        counts.get("output_tokens"),
        cache_read=counts.get("input_tokens_details.cached_tokens"),
        cache_write=counts.get("input_tokens_details.cache_write_tokens"),
        reasoning=counts.get("output_tokens_details.reasoning_tokens"),
    )


def bypass_response(document: Document) -> str:
    """The reason why this request must reach the provider, or ""."""
    if any(document.get(name) is not None for name in _STATES) or _refers(document.get("input")):
        return "stateful"
    if document.get("background") not in (None, False):
        return "background"
    tools = document.get("tools")
    return "" if tools is None or (isinstance(tools, list) and all(map(_is_client_tool, tools))) else "server-tool"


def _refers(value: Json) -> bool:
    """Whether an input item stands for one that the provider keeps; its type may be left out."""
    return any(item.get("type") == "item_reference" or not item.keys() - {"id", "type"} for item in items_of(value))


def _is_client_tool(tool: Json) -> bool:
    """Tools that the caller executes. A type that is not known may be executed by the provider."""
    if not isinstance(tool, dict) or tool.get("type") not in _CLIENT_TOOLS:
        return False
    # A shell runs at the provider where it names a container.
    environment = tool.get("environment")
    return environment is None or (isinstance(environment, dict) and environment.get("type") == "local")


def normalize_response(document: Document, preset: Preset) -> Document:
    """The document with its instructions and the texts of its input normalized."""
    if preset == "strict":
        return document
    normalized = dict(document)
    if isinstance(document.get("instructions"), str):
        normalized["instructions"] = normalize_content(document["instructions"], preset, _TEXT_TYPES)
    if isinstance(document.get("input"), str):
        normalized["input"] = normalize_content(document["input"], preset, _TEXT_TYPES)
    elif "input" in document:
        normalized["input"] = normalize_messages(document["input"], preset, _TEXT_TYPES)
    return normalized


# Nothing is left out of the key: the response repeats user, metadata, safety_identifier and prompt_cache_key.
RESPONSES: Final = Format(
    name="responses",
    provider="openai",
    operation="chat",
    endpoints=(Endpoint("/responses"),),
    left_out=frozenset(),
    ordered=frozenset({"tools", "text"}),
    bypass=bypass_response,
    normalize=normalize_response,
    read_body=read_response,
    read_stream=ResponsesReader,
    error_body=openai_error,
    rendering=RESPONSES_RENDERING,
)
