"""The vendors whose own answers Amazon Bedrock hands on, told apart by the shape of what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from coo_middleware.core.document import Document
from coo_middleware.core.outcome import Outcome, StreamReader, tokens
from coo_middleware.formats.answer import items_of, reports_error, usage_of
from coo_middleware.formats.choices import ChoicesReader
from coo_middleware.formats.converse import ConverseReader, read_converse
from coo_middleware.formats.embeddings import EmbeddingsReader
from coo_middleware.formats.generations import (
    COHERE,
    COMPLETION,
    JURASSIC,
    LLAMA,
    MISTRAL,
    TITAN,
    Dialect,
    GenerationsReader,
    read_generations,
)
from coo_middleware.formats.messages import MessagesReader, read_message


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's own answers. `marks` are members of which any one, in a stream's first piece, gives it away."""

    marks: frozenset[str]
    read_body: Callable[[Document], Outcome]
    read_stream: Callable[[], StreamReader]


def recognise_vendor(document: Document) -> Vendor | None:
    """Whose answer, or whose stream's first piece, this is; None where nobody's that is known."""
    kind = document.get("type")
    if isinstance(kind, str) and kind in _MESSAGE_TYPES:
        return _ANTHROPIC
    return next((vendor for vendor in _VENDORS if not vendor.marks.isdisjoint(document)), None)


class _ChoicesReader(ChoicesReader):
    """Choices of OpenAI, AI21's Jamba, Mistral and DeepSeek, the last two of which say `stop_reason`."""

    __slots__ = ()

    def take(self, document: Document) -> None:
        choices = [
            choice if "finish_reason" in choice else {**choice, "finish_reason": choice.get("stop_reason")}
            for choice in items_of(document.get("choices"))
        ]
        super().take({**document, "choices": [*choices]})

    def outcome(self) -> Outcome:
        # No `[DONE]` comes in a binary stream, whose checksums tell a cut.
        return replace(super().outcome(), closed=True)


def _read_choices(document: Document) -> Outcome:
    reader = _ChoicesReader()
    reader.take(document)
    return reader.outcome()


class _NovaReader(ConverseReader):
    """Nova's events are those of Converse, each under its name in an object that has no other name."""

    __slots__ = ()

    def take(self, name: str, document: Document) -> None:
        del name
        for inner, part in document.items():
            if isinstance(part, dict) and not inner.startswith("amazon-bedrock-"):
                super().take(inner, part)


def _read_vectors(document: Document) -> Outcome:
    """Embeddings of Amazon and Cohere: a list, or lists by type."""
    given = bool(document.get("embedding") or document.get("embeddings"))
    usage = usage_of(tokens(document.get("inputTextTokenCount")), None)
    return Outcome(given, usage, (), error=reports_error(document), sound=given, model="")


def _generating(dialect: Dialect, *marks: str) -> Vendor:
    return Vendor(frozenset(marks), partial(read_generations, dialect), partial(GenerationsReader, dialect))


# The first event of a stream tells; the types of the others need not be known.
_MESSAGE_TYPES: Final = frozenset({"message", "message_start", "ping", "error"})
_ANTHROPIC: Final = Vendor(frozenset(), read_message, MessagesReader)
_NOVA: Final = frozenset({"output", "messageStart", "contentBlockStart", "contentBlockDelta", "messageStop"})
_VENDORS: Final = (
    Vendor(frozenset({"choices"}), _read_choices, _ChoicesReader),
    Vendor(_NOVA, read_converse, _NovaReader),
    Vendor(frozenset({"embedding", "embeddings"}), _read_vectors, EmbeddingsReader),
    _generating(COMPLETION, "completion"),
    _generating(TITAN, "results", "outputText"),
    _generating(LLAMA, "generation"),
    _generating(MISTRAL, "outputs"),
    _generating(COHERE, "generations", "generation_id", "event_type", "is_finished"),
    _generating(JURASSIC, "completions"),
)
