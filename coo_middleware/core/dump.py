"""A request or an answer as somebody wrote it down: its content alone, or an object with the rest around it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.request import Headers

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_PATH: Final = "/v1/chat/completions"
JSON_FIELD: Final = (b"content-type", b"application/json")
_EVENTS: Final = (b"content-type", b"text/event-stream")
_AROUND: Final = frozenset({"method", "path", "url", "headers"})


class DumpError(ValueError):
    """A dump cannot be read; the text names the member and what it must be, and shows no value."""


@dataclass(frozen=True, slots=True)
class AskedDump:
    """A request: the path and the query as they stood in its target, the content as it was before any coding."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    content: bytes


@dataclass(frozen=True, slots=True)
class AnswerDump:
    """An answer, its content decoded."""

    status: int
    headers: Headers
    content: bytes


def read_asked(raw: bytes, path: str = DEFAULT_PATH, headers: Headers = ()) -> AskedDump:
    """The request in a file: an object with `body` (or HAR's `postData`) and any of `method`, `path` or `url`,
    `headers`; else all of it is the content. What it does not say is POST to `path`, as JSON; `headers` count before
    its own. Raises DumpError.
    """
    told = read_json(raw)
    is_dump = isinstance(told, dict) and not {"body", "postData"}.isdisjoint(told) and not _AROUND.isdisjoint(told)
    return make_asked(told if is_dump and isinstance(told, dict) else {"body": _text(raw)}, path, headers)


def make_asked(told: Document, path: str = DEFAULT_PATH, headers: Headers = ()) -> AskedDump:
    """The request that such an object stands for. Raises DumpError."""
    method, target = told.get("method", "POST"), told.get("path", told.get("url", path))
    if not isinstance(method, str) or not isinstance(target, str):
        raise DumpError("method and path: each must be a text")
    place, query = _split(target)
    own = _read_fields(told["headers"]) if told.get("headers") is not None else [JSON_FIELD]
    given = {name.lower() for name, _ in headers}
    return AskedDump(
        method=method.upper(),
        path=place,
        query=query,
        headers=(*(field for field in own if field[0] not in given), *headers),
        content=_read_content(_body(told)),
    )


def read_answer(raw: bytes, content_type: str = "") -> AnswerDump:
    """The answer in a file: an object with `status` and `body` and perhaps `headers`; else all of it is the content,
    under status 200 and a media type that is guessed where none is given. Raises DumpError.
    """
    told = read_json(raw)
    if isinstance(told, dict) and "status" in told and "body" in told:
        return make_answer(told)
    field = (b"content-type", content_type.encode(errors="replace")) if content_type else _guess(raw)
    return AnswerDump(200, (field,), raw)


def make_answer(told: Document) -> AnswerDump:
    """The answer that such an object stands for. Raises DumpError."""
    status = told.get("status", 200)
    if type(status) is not int:
        raise DumpError("status: must be a number such as 200")
    content = _read_content(told.get("body"))
    headers = _read_fields(told["headers"]) if told.get("headers") is not None else [_guess(content)]
    return AnswerDump(status, tuple(headers), content)


def _guess(content: bytes) -> tuple[bytes, bytes]:
    return JSON_FIELD if content.lstrip()[:1] in (b"{", b"[") else _EVENTS


def _text(raw: bytes) -> Json:
    """What `_read_content` makes the same bytes of."""
    return raw.decode(errors="surrogateescape")


def _split(target: str) -> tuple[bytes, bytes]:
    """The path and the query of a request's target, or of a URL."""
    try:
        parts = urlsplit(target if "://" in target.partition("?")[0] else f"http://host{target}")
        return parts.path.encode(), parts.query.encode()
    except ValueError:
        raise DumpError("path: must be a path or a URL") from None


def _body(told: Document) -> Json:
    posted = told.get("postData")
    return posted.get("text") if isinstance(posted, dict) else told.get("body")


def _read_content(body: Json) -> bytes:
    if body is None:
        return b""
    text = body if isinstance(body, str) else json.dumps(body)
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise DumpError(
            "body: must not have half of a surrogate pair in it; give a file of the content alone"
        ) from None


def _read_fields(headers: Json) -> list[tuple[bytes, bytes]]:
    """The fields, names in lower case. A coding is left out, since the content is there without."""
    fields = [
        (name.lower().encode(errors="replace"), value.encode(errors="replace")) for name, value in _pairs(headers)
    ]
    return [field for field in fields if field[0][:1] != b":" and field[0] != b"content-encoding"]


def _pairs(headers: Json) -> Iterator[tuple[str, str]]:
    if isinstance(headers, dict):
        headers = [{"name": name, "value": value} for name, value in headers.items()]
    for each in headers if isinstance(headers, list) else [None]:
        name, value = (each.get("name"), each.get("value")) if isinstance(each, dict) else (None, None)
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(name, str) or not isinstance(one, str):
                raise DumpError('headers: must be an object of texts, or a list of {"name": …, "value": …}')
            yield name, one
