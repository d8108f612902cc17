"""What giving an answer in its other shape asks for: a JSON answer as a stream of named events, a stream as a body."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final, ParamSpec

from coo_middleware.core.document import Document, Json, canonical_json
from coo_middleware.formats.answer import Frames, items_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coo_middleware.core.framing import Event

P = ParamSpec("P")

# How Python writes a fraction that has been an integer of more digits than `read_json` keeps.
_ROUNDED: Final = re.compile(rb"\de\+(?:39|[4-9]\d|\d{3})")


class LossError(ValueError):
    """The answer cannot be given in its other shape without loss."""


def lossless(render: Callable[P, bytes]) -> Callable[P, bytes | None]:
    """`render`, which gives None where it would lose something, or where the answer is no JSON that can be written."""

    @functools.wraps(render)
    def rendered(*args: P.args, **kwargs: P.kwargs) -> bytes | None:
        try:
            return render(*args, **kwargs)
        except (ValueError, RecursionError):
            return None

    return rendered


def read_frames(events: Iterable[Event]) -> list[Document]:
    """The objects that a stream carries. Raises LossError where one cannot be read, or reports an error."""
    frames = Frames()
    documents = [document for event in events if (document := frames.read(event)) is not None]
    if frames.broken or frames.error:
        raise LossError("the stream is broken, or has failed")
    return documents


def write_json(value: Json) -> bytes:
    """A value as JSON. Raises ValueError where it has none, or where a number has lost digits on its way here."""
    content = canonical_json(value, ordered=True)
    if _ROUNDED.search(content):
        raise LossError("a number may have been rounded")
    return content


def write_events(frames: Iterable[Document]) -> bytes:
    """A stream of events, each named after its type; Anthropic's client drops events without a name."""
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (need_text(frame, "type").encode(), write_json(frame)) for frame in frames
    )


def need_object(members: Document, name: str) -> Document:
    """The object under `name`. Raises LossError where there is none."""
    value = members.get(name)
    if not isinstance(value, dict):
        raise LossError(f"{name} is no object")
    return value


def need_objects(members: Document, name: str) -> list[Document]:
    """The objects in the list under `name`. Raises LossError where there is no list, or anything else in it."""
    value = members.get(name)
    objects = items_of(value)
    if not isinstance(value, list) or len(objects) != len(value):
        raise LossError(f"{name} is no list of objects")
    return objects


def need_text(members: Document, name: str) -> str:
    """The text under `name`. Raises LossError where there is none."""
    value = members.get(name)
    if not isinstance(value, str):
        raise LossError(f"{name} is no text")
    return value
