"""Answers in their other shape: what is read, what is written, and what is too much of a loss."""

from collections.abc import Callable

import pytest

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.shapes import (
    LossError,
    lossless,
    need_object,
    need_objects,
    need_text,
    read_frames,
    write_events,
    write_json,
)


def read(content: bytes) -> list[Document]:
    return read_frames(SSEDecoder(1 << 20).feed(content))


def test_what_is_written_is_read_again() -> None:
    """Every object leaves in an event that is named after its type, and is the same when it is read."""
    frames: list[Document] = [{"type": "a", "text": "é\u2028\n\r\x00"}, {"type": "b", "of": [1, 2.5, None, {}]}]

    assert frames == read(write_events(frames))
    assert b'event: a\ndata: {"type":"a"}\n\n' == write_events([{"type": "a"}])


def test_events_without_data_are_passed_over() -> None:
    """Comments, and the end that OpenAI's other formats have, carry no object."""
    assert [{"type": "a"}] == read(b': ping\n\ndata: {"type":"a"}\n\ndata: [DONE]\n\n')


@pytest.mark.parametrize(
    "content",
    [
        b"data: {broken\n\n",
        b"data: 1\n\n",
        b'data: {"a":1,"a":2}\n\n',
        b'data: [DONE]\n\ndata: {"type":"a"}\n\n',
        b'data: {"error":{"message":"m"}}\n\n',
        b'event: error\ndata: {"type":"a"}\n\n',
    ],
)
def test_broken_and_failed_streams_are_refused(content: bytes) -> None:
    """What cannot be read, what comes after the end, and what reports an error is no whole answer."""
    with pytest.raises(LossError):
        read(content)


@pytest.mark.parametrize("digits", [20, 39, 40, 41, 78, 300, 400, 5000])
def test_no_integer_loses_digits(digits: int) -> None:
    """An integer is written with all of its digits, or not at all."""
    text = b"[" + b"7" * digits + b"]"
    render = lossless(write_json)

    assert (text if digits <= 40 else None) == render(read_json(text))


@pytest.mark.parametrize("value", ["\ud83d", float("nan"), float("inf")])
def test_what_is_no_json_is_not_written(value: Json) -> None:
    """Half a character and a number that JSON cannot say are a loss."""
    assert lossless(write_json)([value]) is None


def test_depth_is_a_loss() -> None:
    """A value that is too deep to be written is a loss and no error."""
    value: Json = []
    for _ in range(100_000):
        value = [value]

    assert lossless(write_json)(value) is None


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "a", [], [{}, 1], {"a": 1}, [{"a": 1}, {}]])
def test_members_are_of_the_kind_that_is_needed(value: Json) -> None:
    """A member is given as it is where it is of the kind that is needed, else it is a loss; so is an absent one."""
    members = {"m": value}

    assert (value if isinstance(value, dict) else None) == attempt(need_object, members)
    assert (value if isinstance(value, str) else None) == attempt(need_text, members)
    assert (value if value in ([], [{"a": 1}, {}]) else None) == attempt(need_objects, members)
    assert (None, None, None) == tuple(attempt(need, {}) for need in (need_object, need_text, need_objects))


def attempt(need: Callable[[Document, str], object], members: Document) -> object:
    """What is given, None for a loss."""
    try:
        return need(members, "m")
    except LossError:
        return None
