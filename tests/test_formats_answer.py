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


def test_an_error_is_known_by_name_or_content() -> None:
    """An event named error is one whatever it carries."""
    by_name, by_content = Frames(), Frames()
    by_name.read(event(None, "error"))
    by_content.read(event('{"error":""}'))

    assert by_name.error
    assert by_content.error
