"""What every wire format asks of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.outcome import Usage, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.framing import Event

DONE: Final = "[DONE]"


class Frames:
    """Reads the JSON objects out of a stream. `error`: one of them, or an event's name, reports a failure.

    `closed`: `[DONE]` came. `broken` stays once data came that is no JSON object, or any data after `[DONE]`.
    """

    __slots__ = ("broken", "closed", "error")

    def __init__(self) -> None:
        self.closed = False
        self.broken = False
        self.error = False

    def read(self, event: Event) -> Document | None:
        """The object that an event carries, None when it carries none."""
        self.error = self.error or event.name == "error"
        if event.data is None:
            return None
        document = read_json(event.data) if event.data != DONE else None
        self.broken = self.broken or self.closed
        if isinstance(document, dict):
            self.error = self.error or reports_error(document)
            return document
        self.closed = event.data == DONE
        self.broken = self.broken or not self.closed
        return None


def reports_error(document: Document) -> bool:
    """Whether a body or a frame tells of a failure under any status (OpenAI: `error`, Anthropic: its type, Mistral and
    vLLM: its object).
    """
    return document.get("error") is not None or "error" in (document.get("type"), document.get("object"))


def merge_counts(counts: dict[str, int], usage: Json) -> None:
    """Adds what `usage` tells to `counts`. Counters of a stream are cumulative: a field's last known value stays."""
    if isinstance(usage, dict):
        known = ((name, tokens(value)) for name, value in usage.items())
        counts.update({name: count for name, count in known if count is not None})


def usage_of(
    input_tokens: int | None,
    output_tokens: int | None,
    *,
    cache_read: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
    input_audio: int | None = None,
    output_audio: int | None = None,
) -> Usage | None:
    """The usage of which at least one side is known."""
    if input_tokens is None and output_tokens is None:
        return None
    return Usage(input_tokens, output_tokens, cache_read, cache_write, reasoning, input_audio, output_audio)


def merge_part(counts: dict[str, int], usage: Json, member: str) -> None:
    """Adds what an object inside `usage` tells, each name behind `member` and a dot."""
    part = usage.get(member) if isinstance(usage, dict) else None
    if isinstance(part, dict):
        merge_counts(counts, {f"{member}.{name}": value for name, value in part.items()})


def arguments_parse(arguments: str) -> bool:
    """Whether a tool can be called with these arguments: a JSON object, or no text at all where it takes none."""
    return not arguments or isinstance(read_json(arguments), dict)


def text_of(members: Mapping[str, Json], name: str) -> str:
    """The text under `name`, "" where there is none."""
    value = members.get(name)
    return value if isinstance(value, str) else ""


def items_of(value: Json) -> list[Document]:
    """The objects in a list, none where there is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
