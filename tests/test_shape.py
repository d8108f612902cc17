"""core/shape.py: one stored answer in the shape that is asked for."""

import json
from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.shape import Shape, render, wanted_shape
from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.completions import COMPLETIONS
from coo_middleware.formats.embeddings import EMBEDDINGS
from coo_middleware.formats.messages import MESSAGES

if TYPE_CHECKING:
    from coo_middleware.core.document import Document

BODY, STREAM, ASKED = Shape(stream=False), Shape(stream=True), Shape(stream=True, usage=True)

CHUNKS = (
    (
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}],"usage":null}\n\n'
    ),
    (
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
        b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
    ),
    (
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
        b'"usage":{"prompt_tokens":6,"completion_tokens":7,"total_tokens":13}}\n\n'
    ),
    b"data: [DONE]\n\n",
)
CONTENT = b"".join(CHUNKS)
BARE = b"".join((CHUNKS[0], CHUNKS[1], CHUNKS[3])).replace(b',"usage":null', b"")


def documents(content: bytes | None) -> list[object]:
    assert content is not None
    lines = [line.removeprefix(b"data: ") for line in content.splitlines() if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("shape", [BODY, STREAM, ASKED])
def test_the_stored_shape_keeps_every_byte(shape: Shape) -> None:
    """What is stored in the shape that is wanted is given as it is, and not even read."""
    content = b"\xff not a stream"

    assert content is render(CHAT, content, shape, shape)


def test_usage_that_was_not_asked_for_is_taken_out() -> None:
    """A client that did not ask for usage gets the bytes that a client got whose stream was stored."""
    assert BARE == render(CHAT, CONTENT, ASKED, STREAM)


def test_usage_that_is_not_there_cannot_be_given() -> None:
    """A stream that was never asked for its usage answers nobody who asks for it."""
    assert render(CHAT, BARE, STREAM, ASKED) is None


def test_a_stream_becomes_a_body() -> None:
    """A stored stream answers a request for a body."""
    body = json.loads(render(CHAT, CONTENT, ASKED, BODY) or b"{}")

    assert ("chat.completion", "Hi") == (body["object"], body["choices"][0]["message"]["content"])
    assert {"prompt_tokens": 6, "completion_tokens": 7, "total_tokens": 13} == body["usage"]


def test_a_body_becomes_a_stream() -> None:
    """A stored body answers a request for a stream, with its usage where that was asked for."""
    body = render(CHAT, CONTENT, ASKED, BODY)
    assert body is not None
    bare, full = (render(CHAT, body, BODY, shape) for shape in (STREAM, ASKED))

    assert [] == [document for document in documents(bare) if isinstance(document, dict) and "usage" in document]
    assert 13 == documents(full)[-1]["usage"]["total_tokens"]  # type: ignore[index]


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff"])
def test_what_is_no_answer_becomes_nothing(content: bytes) -> None:
    """Content that cannot be read is not turned into anything."""
    assert render(CHAT, content, BODY, STREAM) is None
    assert render(CHAT, content, ASKED, BODY) is None


def test_formats_without_a_rendering_keep_their_shape() -> None:
    """What a format cannot turn is not turned."""
    assert render(COMPLETIONS, CONTENT, ASKED, BODY) is None
    assert render(EMBEDDINGS, b"{}", BODY, STREAM) is None
    assert render(EMBEDDINGS, b"", ASKED, STREAM) is None


def test_the_wanted_shape_is_told_by_the_request() -> None:
    """Usage in a stream is a wish where the format knows it, and counts in a stream only."""
    asking: Document = {"stream_options": {"include_usage": True}}

    assert ASKED == wanted_shape(CHAT, asking, stream=True)
    assert STREAM == wanted_shape(CHAT, {"stream_options": {"include_usage": 1}}, stream=True)
    assert STREAM == wanted_shape(CHAT, {"stream_options": None}, stream=True)
    assert STREAM == wanted_shape(MESSAGES, asking, stream=True)
    assert BODY == wanted_shape(CHAT, asking, stream=False)
