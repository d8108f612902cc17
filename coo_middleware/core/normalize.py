"""Which texts of a prompt count as equal, by preset. Applied to prompts only, and never to what is forwarded.

| preset | does |
|---|---|
| strict | nothing: canonical JSON alone decides |
| text   | NFC, CRLF and CR become LF; for chat messages outer white space goes and a plain string equals one text part |
| loose  | and: inner white space becomes one space, case is folded |

A tool's result keeps its bytes: it is data that the model works on, not prose.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json

Preset: TypeAlias = Literal["strict", "text", "loose"]

_OUTER: Final = " \t\r\n"
_PROSE_ROLES: Final = frozenset({"system", "developer", "user", "assistant"})


def normalize_prompt(text: str, preset: Preset) -> str:
    """A raw prompt or an embedding input: its outer white space counts, for it is what the model continues."""
    if preset == "strict":
        return text
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    return " ".join(text.split()).casefold() if preset == "loose" else text


def normalize_prompts(value: Json, preset: Preset) -> Json:
    """A prompt member: a text or a list of texts; token lists and the like stay as they are."""
    if isinstance(value, str):
        return normalize_prompt(value, preset)
    if isinstance(value, list):
        return [normalize_prompt(item, preset) if isinstance(item, str) else item for item in value]
    return value


def normalize_content(content: Json, preset: Preset, text_types: frozenset[str]) -> Json:
    """The content of one message: a text, or parts of which those of `text_types` with a `text` are prose."""
    if preset == "strict":
        return content
    if isinstance(content, str):
        return normalize_prompt(content, preset).strip(_OUTER)
    if not isinstance(content, list):
        return content
    last = len(content) - 1
    parts = [
        _normalize_part(part, preset, text_types, first=place == 0, last=place == last)
        for place, part in enumerate(content)
    ]
    only = parts[0] if len(parts) == 1 else None
    if isinstance(only, dict) and set(only) == {"type", "text"} and only["type"] in text_types:
        return only["text"]
    return parts


def normalize_messages(messages: Json, preset: Preset, text_types: frozenset[str]) -> Json:
    """A list of messages with `role` and `content`."""
    if preset == "strict" or not isinstance(messages, list):
        return messages
    return [_normalize_message(message, preset, text_types) for message in messages]


def _normalize_message(message: Json, preset: Preset, text_types: frozenset[str]) -> Json:
    if not isinstance(message, dict) or message.get("role") not in _PROSE_ROLES or "content" not in message:
        return message
    changed: Document = {**message, "content": normalize_content(message["content"], preset, text_types)}
    return changed


def _normalize_part(part: Json, preset: Preset, text_types: frozenset[str], *, first: bool, last: bool) -> Json:
    if not isinstance(part, dict) or part.get("type") not in text_types:
        return part
    text = part.get("text")
    if not isinstance(text, str):
        return part
    # White space between two parts separates words, so only the message's own edges are outer.
    text = normalize_prompt(text, preset)
    text = text.lstrip(_OUTER) if first else text
    return {**part, "text": text.rstrip(_OUTER) if last else text}
