"""The frames of a stream."""

import pytest

from coo_middleware.core.document import Document
from coo_middleware.core.framing import Event
from coo_middleware.formats.answer import Frames


def event(data: str | None, name: str = "") -> Event:
    return Event(b"", name, data)


@pytest.mark.parametrize(
    ("events", "documents", "broken"),
    [
        ([event("{}"), event("[DONE]")], [{}, None], False),
        ([event(None), event("[DONE]"), event(None)], [None, None, None], False),
        ([event("")], [None], True),
        ([event("1"), event("{}")], [None, {}], True),
        ([event("[DONE]"), event("{}")], [None, {}], True),
        ([event("[DONE]"), event("[DONE]")], [None, None], True),
    ],
)
def test_frames_are_read_to_the_end(events: list[Event], documents: list[Document | None], broken: bool) -> None:
    """Every object is handed on, also after data that broke the stream."""
    frames = Frames()

    assert documents == [frames.read(event) for event in events]
    assert broken == frames.broken
    assert not frames.error


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (event(None, "error"), True),
        (event('{"error":""}'), True),
        (event('{"type":"error"}'), True),
        (event('{"object":"error","message":"x"}'), True),
        (event('{"error":null,"type":"text","object":["error"]}'), False),
        (event("{}", "done"), False),
    ],
)
def test_an_error_is_known_by_name_or_content(told: Event, error: bool) -> None:
    """An event named error is one whatever it carries, and so is an object that says of itself that it is one."""
    frames = Frames()
    frames.read(told)

    assert error == frames.error
