"""The HTTP layout of a store, for both of its ends: names in paths, counters, increments and responses in JSON.

A name is one segment of a path, percent-encoded. Proxies and URL libraries merge empty segments, resolve `.` and `..`,
and decode `%2F`, so a name that some of them would change travels as `~` and its UTF-8 in base64url (RFC 4648 section
5) without padding. A reader takes both forms for any name; one that begins with `~` has the second only.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from math import isfinite
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import quote, unquote

from coo_middleware.core.document import MAX_NUMBER, Document, Json, read_json
from coo_middleware.core.labels import check_labels
from coo_middleware.stores import MAX_KEY_BYTES, CachePage, Increment

if TYPE_CHECKING:
    from collections.abc import Iterable

Parts: TypeAlias = dict[str, Json]

JSON_TYPE: Final = "application/json"

_FRAGILE: Final = re.compile(r"\.*|~.*|.*[/\\%;?#\x00-\x1f\x7f].*", re.DOTALL)


class LayoutError(ValueError):
    """What came is not of the layout. The text names the member and what it must be, and holds no value."""


def encode_name(name: str) -> str:
    """The segment of a path that stands for `name`, whatever text that is."""
    if _FRAGILE.fullmatch(name):
        return "~" + urlsafe_b64encode(name.encode()).decode().rstrip("=")
    return quote(name, safe=":")


def decode_name(segment: str) -> str:
    """The name that a segment stands for. Raises LayoutError."""
    try:
        if segment.startswith("~"):
            padding = "=" * (-len(segment[1:]) % 4)
            return b64decode(segment[1:] + padding, altchars=b"-_", validate=True).decode()
        return unquote(segment, errors="strict")
    except ValueError:
        refusal = LayoutError("path: a name is percent-encoded UTF-8, or ~ and base64url without padding")
    raise refusal


def counter_path(provider: str, key_id: str, metric: str) -> str:
    """The path of a usage counter."""
    return f"/usage/{encode_name(provider)}/{encode_name(key_id)}/{encode_name(metric)}"


def cache_path(key: str) -> str:
    """The path of a stored response."""
    return f"/cache/{encode_name(key)}"


def page_path(cursor: str) -> str:
    """The path of a page of the stored responses."""
    return f"/responses/{encode_name(cursor)}"


def claim_path(key: str, owner: str) -> str:
    """The path of an owner's lease."""
    return f"/claim/{encode_name(key)}/{encode_name(owner)}"


def encode_json(document: Parts) -> bytes:
    """`document` as it is sent."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def decode_json(content: bytes) -> Document:
    """The JSON object that was sent. Raises LayoutError."""
    document = read_json(content)
    if not isinstance(document, dict):
        raise LayoutError("body: must be one JSON object in UTF-8 with every member once")
    return document


def write_value(value: bytes) -> Parts:
    """The members that stand for the bytes of a stored response: its text where it is UTF-8."""
    try:
        return {"value": value.decode(), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"value": b64encode(value).decode(), "encoding": "base64"}


def read_value(document: Parts) -> bytes:
    """The bytes that `write_value` wrote; the encoding is utf-8 where none is named. Raises LayoutError."""
    text, encoding = read_text(document, "value"), document.get("encoding", "utf-8")
    if encoding not in ("utf-8", "base64"):
        raise LayoutError("encoding: must be utf-8 or base64")
    try:
        return text.encode() if encoding == "utf-8" else b64decode(text, validate=True)
    except ValueError:
        refusal = LayoutError("value: must be text without lone surrogates, or base64 where encoding says so")
    # Raised out here: the codec's error would carry the value.
    raise refusal


def write_page(page: CachePage | None) -> Parts:
    """A page of the stored responses; without any list where there is none."""
    if page is None:
        return {"cursor": ""}
    return {"responses": [{"key": key, **write_value(head)} for key, head in page.responses], "cursor": page.cursor}


def read_page(document: Parts) -> CachePage | None:
    """What `write_page` wrote. Raises LayoutError."""
    responses, cursor = document.get("responses"), read_text(document, "cursor")
    if responses is None:
        return None
    if not isinstance(responses, list) or not all(isinstance(each, dict) for each in responses):
        raise LayoutError("responses: must be a list of objects, or left out")
    listed = cast("list[Parts]", responses)
    return CachePage(tuple((read_text(each, "key"), read_value(each)) for each in listed), cursor)


def read_labels(document: Parts) -> list[str]:
    """The labels to purge. Raises LayoutError and LabelError."""
    labels = document.get("labels")
    if not isinstance(labels, list) or not all(isinstance(each, str) for each in labels):
        raise LayoutError("labels: must be a list of texts")
    texts = cast("list[str]", labels)
    check_labels(texts)
    return texts


def write_increments(increments: Iterable[Increment]) -> list[Json]:
    """A batch's increments."""
    return [
        {
            "provider": each.provider,
            "key_id": each.key_id,
            "metric": each.metric,
            "delta": each.delta,
            "samples": each.samples,
            "age": each.age,
        }
        for each in increments
    ]


def read_increments(document: Parts) -> list[Increment]:
    """The increments of a batch; one sample and no age where nothing is said. Raises LayoutError."""
    increments = document.get("increments")
    if not isinstance(increments, list):
        raise LayoutError("increments: must be a list")
    return [_read_increment(each) for each in increments]


def read_writer(document: Parts) -> tuple[str, int]:
    """Who sends increments and under which number. Raises LayoutError."""
    writer = read_text(document, "writer")
    if not 0 < len(writer) <= MAX_KEY_BYTES // 4 or not writer.isprintable():
        raise LayoutError(f"writer: must be 1 to {MAX_KEY_BYTES // 4} printable characters")
    return writer, read_count(document, "sequence")


def read_text(document: Parts, name: str) -> str:
    """The text under `name`. Raises LayoutError."""
    text = document.get(name)
    if not isinstance(text, str):
        raise LayoutError(f"{name}: must be a text")
    return text


def read_list(part: Json, name: str) -> list[Json]:
    """The list that `part`, of this name, must be. Raises LayoutError."""
    if not isinstance(part, list):
        raise LayoutError(f"{name}: must be a list")
    return part


def read_objects(part: Json, name: str) -> list[Parts]:
    """The list of objects that `part`, of this name, must be. Raises LayoutError."""
    objects = read_list(part, name)
    if not all(isinstance(each, dict) for each in objects):
        raise LayoutError(f"{name}: must hold objects")
    return cast("list[Parts]", objects)


def read_number(document: Parts, name: str, default: float | None = None) -> float:
    """The finite number under `name`. Raises LayoutError."""
    number = document.get(name, default)
    if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
        raise LayoutError(f"{name}: must be a finite number")
    return float(number)


def read_count(document: Parts, name: str, default: int | None = None) -> int:
    """The whole number under `name`, 1 or more. Raises LayoutError."""
    count = document.get(name, default)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_NUMBER:
        raise LayoutError(f"{name}: must be a whole number from 1 to 2^53")
    return count


def _read_increment(part: Json) -> Increment:
    if not isinstance(part, dict):
        raise LayoutError("increments: each must be an object")
    return Increment(
        read_text(part, "provider"),
        read_text(part, "key_id"),
        read_text(part, "metric"),
        read_number(part, "delta"),
        read_count(part, "samples", 1),
        read_number(part, "age", 0),
    )
