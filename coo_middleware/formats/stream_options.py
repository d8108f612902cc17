"""Usage in OpenAI's streams: asked for where the caller did not, and taken out again.

A stream tells its usage only when `stream_options.include_usage` is true: in a last chunk without choices, and with
`"usage":null` on every other one (https://platform.openai.com/docs/api-reference/chat-streaming). Every other byte
stays as it came.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coo_middleware.core.document import Document
    from coo_middleware.core.framing import Event

# The reading of integers has a limit of digits; that of fractions has none.
_DECODER: Final = json.JSONDecoder(parse_int=float)
_DATA: Final = re.compile(rb"(?:\A|(?<=[\r\n]))data:")
# What a usage chunk says beside its usage; with any other member it is not ours to take.
_BOOKKEEPING: Final = frozenset(
    {
        "choices",
        "created",
        "id",
        "model",
        "obfuscation",
        "object",
        "p",
        "provider",
        "service_tier",
        "system_fingerprint",
        "time_info",
        "usage",
        "x_groq",
    }
)


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an object: its name, and where it, its value and its end stand in the text."""

    name: str
    start: int
    value: int
    end: int


def ask_usage(raw: bytes, document: Document) -> bytes | None:
    """The content `raw` of `document` with usage asked for; None where it is asked for or cannot be."""
    options = document.get("stream_options")
    if document.get("stream") is not True or not (options is None or isinstance(options, dict)):
        return None
    if "stream_options" not in document:
        brace = raw.index(b"{") + 1
        return raw[:brace] + b'"stream_options":{"include_usage":true},' + raw[brace:]
    if isinstance(options, dict) and options.get("include_usage") is True:
        return None
    text = raw.decode("latin-1")
    member = _find(text, text.index("{"), "stream_options")
    if options is None:
        return _splice(text, member.value, member.end, '{"include_usage":true}')
    if "include_usage" in options:
        flag = _find(text, member.value, "include_usage")
        return _splice(text, flag.value, flag.end, "true")
    inside = member.value + 1
    return _splice(text, inside, inside, '"include_usage":true,' if options else '"include_usage":true')


def strip_usage(event: Event) -> bytes:
    """The bytes of `event` without what `include_usage` brought: the whole chunk that carries the usage alone, or a
    `usage` that is null. An event whose data spans several lines keeps its null.
    """
    # Every chunk passes here; most have no usage to look for.
    chunk = read_json(event.data) if event.data is not None and '"usage"' in event.data else None
    if not isinstance(chunk, dict) or "usage" not in chunk:
        return event.raw
    if chunk["usage"] is None:
        return _strip_null(event.raw)
    return b"" if _is_usage_chunk(chunk) else event.raw


def _is_usage_chunk(chunk: Document) -> bool:
    noted = {name for name, value in chunk.items() if value is not None}
    groq = chunk.get("x_groq")
    failed = isinstance(groq, dict) and groq.get("error") is not None
    return chunk.get("choices") == [] and isinstance(chunk["usage"], dict) and noted <= _BOOKKEEPING and not failed


def _strip_null(raw: bytes) -> bytes:
    lines = list(_DATA.finditer(raw))
    if len(lines) != 1:
        return raw
    head, text = raw[: lines[0].end()], raw[lines[0].end() :].decode("latin-1")
    members = list(_members(text, text.index("{")))
    place = next(place for place, member in enumerate(members) if member.name == "usage")
    start, end = members[place].start, members[place].end
    if place:
        start = members[place - 1].end
    elif len(members) > 1:
        end = members[1].start
    return head + _splice(text, start, end, "")


def _splice(text: str, start: int, end: int, insertion: str) -> bytes:
    # Latin-1 keeps one character per byte, and JSON is told by its ASCII bytes alone.
    return (text[:start] + insertion + text[end:]).encode("latin-1")


def _find(text: str, brace: int, name: str) -> _Member:
    return next(member for member in _members(text, brace) if member.name == name)


def _members(text: str, brace: int) -> Iterator[_Member]:
    """The members of the object that opens at `brace` and has some, in a text that is known to be JSON."""
    comma = brace
    while text[comma] != "}":
        start = _skip(text, comma + 1)
        name, end = _DECODER.raw_decode(text, start)
        value = _skip(text, _skip(text, end) + 1)
        _, end = _DECODER.raw_decode(text, value)
        yield _Member(name, start, value, end)
        comma = _skip(text, end)


def _skip(text: str, start: int) -> int:
    while text[start] in " \t\n\r":
        start += 1
    return start
