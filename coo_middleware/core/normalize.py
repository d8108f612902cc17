"""Which texts of a prompt count as equal, by preset. Applied to prompts only, and never to what is forwarded.

| preset | does |
|---|---|
| strict | nothing: canonical JSON alone decides |
| text   | NFC, CRLF and CR become LF; in chat messages outer white space goes and a string equals one text part |
| loose  | and: inner white space becomes one space, case is folded |

A tool's result keeps its bytes: it is data that the model works on, not prose. So does the outer white space of an
assistant's message that stands last: the model continues it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json

Preset: TypeAlias = Literal["strict", "text", "loose"]

_OUTER: Final = " \t\r\n"
_INNER: Final = re.compile(r"(?<=\S)\s+(?=\S)")
# A tuple, for a role may be anything, also what has no hash.
_PROSE_ROLES: Final = ("system", "developer", "user", "assistant")


def normalize_prompt(text: str, preset: Preset) -> str:
    """A raw prompt or an embedding input: its outer white space counts, for it is what the model continues."""
    if preset == "strict":
        return text
    if preset == "loose":
        # Unicode D145: only a decomposed text folds to one that folds to itself.
        text = unicodedata.normalize("NFD", text).casefold()
    text = unicodedata.normalize("NFC", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _INNER.sub(" ", text) if preset == "loose" else text


def normalize_prompts(value: Json, preset: Preset) -> Json:
    """A prompt member: a text or a list of texts; token lists and the like stay as they are."""
    if isinstance(value, str):
        return normalize_prompt(value, preset)
    if isinstance(value, list):
        return [normalize_prompt(item, preset) if isinstance(item, str) else item for item in value]
    return value


def normalize_content(content: Json, preset: Preset, text_types: frozenset[str], *, trim: bool = True) -> Json:
    """The content of one message: a text, or parts of which those of `text_types` with a `text` are prose.

    Its outer white space goes unless `trim` is False; a single bare text part becomes its text.
    """
    if preset == "strict":
        return content
    if isinstance(content, str):
        text = normalize_prompt(content, preset)
        return text.strip(_OUTER) if trim else text
    if not isinstance(content, list):
        return content
    last = len(content) - 1
    parts = [
        _normalize_part(part, preset, text_types, first=trim and place == 0, last=trim and place == last)
        for place, part in enumerate(content)
    ]
    only = parts[0] if len(parts) == 1 else None
    if isinstance(only, dict) and only.keys() == {"type", "text"} and _is_prose(only, text_types):
        return only["text"]
    return parts


def normalize_messages(messages: Json, preset: Preset, text_types: frozenset[str]) -> Json:
    """A list of messages with `role` and `content`; items of another `type` than "message" stay as they are."""
    if preset == "strict" or not isinstance(messages, list):
        return messages
    last = len(messages) - 1
    return [
        _normalize_message(message, preset, text_types, last=place == last) for place, message in enumerate(messages)
    ]


def _normalize_message(message: Json, preset: Preset, text_types: frozenset[str], *, last: bool) -> Json:
    if not isinstance(message, dict) or message.get("type", "message") != "message":
        return message
    role, content = message.get("role"), message.get("content")
    if role not in _PROSE_ROLES:
        return message
    normalized = normalize_content(content, preset, text_types, trim=not (last and role == "assistant"))
    # Most texts are normal as they are, and stay the very object.
    return message if normalized is content else {**message, "content": normalized}


def _is_prose(part: Document, text_types: frozenset[str]) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and kind in text_types and isinstance(part.get("text"), str)


def _normalize_part(part: Json, preset: Preset, text_types: frozenset[str], *, first: bool, last: bool) -> Json:
    if not isinstance(part, dict) or not _is_prose(part, text_types):
        return part
    # White space between two parts separates words, so only the message's own edges are outer.
    text = normalize_prompt(str(part["text"]), preset)
    text = text.lstrip(_OUTER) if first else text
    return {**part, "text": text.rstrip(_OUTER) if last else text}
