"""Anthropic's messages (https://docs.claude.com/en/api/messages and /en/docs/build-with-claude/streaming)."""

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
from coo_middleware.formats.errors import anthropic_error
from coo_middleware.formats.messages_shapes import MESSAGES_RENDERING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event
    from coo_middleware.core.normalize import Preset
    from coo_middleware.core.outcome import Usage

_INPUTS: Final = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
# Blocks that are no part of what the caller asked for.
_SILENT: Final = ("thinking", "redacted_thinking", "compaction", "fallback")
_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
# Tools with a type of their own that the caller executes, each with a date at its end.
_CLIENT_TOOLS: Final = ("bash_", "text_editor_", "computer_", "memory_")
_TEXT_TYPES: Final = frozenset({"text"})


def read_message(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = MessagesReader()
    reader.take(document)
    return reader.outcome()


class MessagesReader:
    """Folds a stream of events. It is whole when `message_stop` came last, after a stop reason."""

    __slots__ = (
        "_blocks",
        "_counts",
        "_error",
        "_frames",
        "_iterations",
        "_late",
        "_model",
        "_reason",
        "_stopped",
    )

    def __init__(self) -> None:
        self._frames = Frames()
        self._blocks: dict[int, _Block] = {}
        self._counts: dict[str, int] = {}
        self._iterations: list[Document] = []
        self._model = ""
        self._reason = ""
        self._error = self._late = self._stopped = False

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        document = self._frames.read(event)
        kind = document.get("type") if document is not None else None
        if document is None or kind == "ping":
            return
        self._late = self._late or self._stopped
        if kind == "message_stop":
            self._stopped = bool(self._reason)
        elif kind == "message_start":
            self._take_message(document.get("message"))
        elif kind == "message_delta":
            self._take_message(document.get("delta"))
            self._take_usage(document.get("usage"))
        else:
            self._take_block(kind, document)

    def take(self, document: Document) -> None:
        """Takes a whole answer."""
        self._error = reports_error(document)
        self._take_message(document)
        self._stopped = bool(self._reason)

    def outcome(self) -> Outcome:
        """What is known so far."""
        return Outcome(
            whole=self._stopped and not self._late and not self._frames.broken,
            usage=_usage(self._counts, self._iterations),
            finish_reasons=(self._reason,) if self._reason else (),
            error=self._error or self._frames.error,
            sound=any(block.given for block in self._blocks.values())
            and all(block.sound for block in self._blocks.values()),
            model=self._model,
        )

    def _take_message(self, message: Json) -> None:
        if not isinstance(message, dict):
            return
        self._model = text_of(message, "model") or self._model
        self._reason = text_of(message, "stop_reason") or self._reason
        self._take_usage(message.get("usage"))
        for index, block in enumerate(items_of(message.get("content"))):
            self._blocks[index] = _Block(block)

    def _take_usage(self, usage: Json) -> None:
        _merge_usage(self._counts, usage)
        if isinstance(usage, dict):
            self._iterations = items_of(usage.get("iterations")) or self._iterations

    def _take_block(self, kind: Json, document: Document) -> None:
        index = document.get("index")
        block = document.get("content_block")
        delta = document.get("delta")
        if not isinstance(index, int):
            return
        if kind == "content_block_start" and isinstance(block, dict):
            self._blocks[index] = _Block(block)
        elif kind == "content_block_delta" and isinstance(delta, dict) and index in self._blocks:
            self._blocks[index].take(delta)


class _Block:
    """One content block, folded from its start and its deltas."""

    __slots__ = ("_input", "_json", "_kind", "_text")

    def __init__(self, block: Document) -> None:
        self._kind = text_of(block, "type")
        self._text = bool(text_of(block, "text"))
        self._input = block.get("input")
        self._json: list[str] = []

    @property
    def given(self) -> bool:
        return self._text if self._kind == "text" else self._kind not in _SILENT

    @property
    def sound(self) -> bool:
        return self._kind not in _CALLS or (isinstance(self._input, dict) and arguments_parse("".join(self._json)))

    def take(self, delta: Document) -> None:
        self._text = self._text or bool(text_of(delta, "text"))
        self._json.append(text_of(delta, "partial_json"))


def _merge_usage(counts: dict[str, int], usage: Json) -> None:
    merge_counts(counts, usage)
    merge_part(counts, usage, "output_tokens_details")


def _usage(counts: Mapping[str, int], iterations: list[Document]) -> Usage | None:
    """With compaction (beta) the top level leaves out what the summaries cost, and may be 0/0 altogether."""
    told = any(counts.get(name) for name in (*_INPUTS, "output_tokens"))
    totals = dict(counts)
    for iteration in iterations:
        if not told or iteration.get("type") == "compaction":
            known: dict[str, int] = {}
            _merge_usage(known, iteration)
            totals.update({name: totals.get(name, 0) + count for name, count in known.items()})
    return _inclusive(totals)


def _inclusive(counts: Mapping[str, int]) -> Usage | None:
    inputs = [counts[name] for name in _INPUTS if name in counts]
    return usage_of(
        sum(inputs) if inputs else None,
        counts.get("output_tokens"),
        cache_read=counts.get("cache_read_input_tokens"),
        cache_write=counts.get("cache_creation_input_tokens"),
        reasoning=counts.get("output_tokens_details.thinking_tokens"),
    )


def bypass_message(document: Document) -> str:
    """The reason why this request must reach the provider, or ""."""
    if document.get("container") is not None:
        return "stateful"
    served = not all(map(_is_client_tool, items_of(document.get("tools"))))
    return "server-tool" if served or document.get("mcp_servers") not in (None, []) else ""


def _is_client_tool(tool: Document) -> bool:
    """Tools that the caller executes. A type that is not known may be executed by the provider."""
    kind = tool.get("type")
    return kind in (None, "custom") or (isinstance(kind, str) and kind.startswith(_CLIENT_TOOLS))


def normalize_message(document: Document, preset: Preset) -> Document:
    """The document with the texts of its system prompt and of its messages normalized."""
    if preset == "strict":
        return document
    normalized = dict(document)
    if "system" in document:
        normalized["system"] = normalize_content(document["system"], preset, _TEXT_TYPES)
    if "messages" in document:
        normalized["messages"] = normalize_messages(document["messages"], preset, _TEXT_TYPES)
    return normalized


MESSAGES: Final = Format(
    name="messages",
    provider="anthropic",
    operation="chat",
    endpoints=(
        Endpoint("/v1/messages"),
        Endpoint("/publishers/anthropic/models/{model}:rawPredict", provider="gcp.vertex_ai"),
        Endpoint("/publishers/anthropic/models/{model}:streamRawPredict", stream=True, provider="gcp.vertex_ai"),
    ),
    left_out=frozenset({"metadata"}),
    ordered=frozenset({"tools", "output_format", "output_config"}),
    bypass=bypass_message,
    normalize=normalize_message,
    read_body=read_message,
    read_stream=MessagesReader,
    error_body=anthropic_error,
    rendering=MESSAGES_RENDERING,
)
