"""`POST /explain`: where two requests differ, and why one, or its answer, is not cached."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import Json, read_json
from coo_middleware.core.dump import AskedDump, DumpError, make_answer, make_asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.admin.room import Asked, Room
    from coo_middleware.core.document import Document
    from coo_middleware.explainer import Explainer

_MEMBERS: Final = frozenset({"a", "b", "answer", "show_text"})


async def answer_explain(room: Room, asked: Asked) -> Mapping[str, object]:
    """What `explain_samples` tells. Raises DumpError."""
    return explain_samples(room.explainer, asked.content)


def explain_samples(explainer: Explainer, content: bytes) -> dict[str, object]:
    """The members of a Report on `{"a": {…}, "b": {…}, "answer": {…}, "show_text": false}`, all but `a` optional.

    `a` and `b` are objects with `method`, `path` or `url`, `headers` and `body`, of which only `body` is needed;
    `answer` has `status`, `headers` and `body`. Texts that differ are told only with `show_text`. Raises DumpError.
    """
    told = read_json(content)
    if not isinstance(told, dict) or told.get("a") is None or not told.keys() <= _MEMBERS:
        raise DumpError("content: must be an object with a, and perhaps b, answer and show_text")
    dumps = [_read(told, name) for name in ("a", "b") if told.get(name) is not None]
    answer = make_answer(_object(told, "answer")) if told.get("answer") is not None else None
    return asdict(explainer.report(dumps, answer, texts=told.get("show_text") is True))


def _read(told: Document, name: str) -> AskedDump:
    return make_asked(_object(told, name))


def _object(told: Document, name: str) -> Document:
    value: Json = told[name]
    if not isinstance(value, dict):
        raise DumpError(f"{name}: must be an object")
    return value
