"""Completions of raw prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.completions import COMPLETIONS

if TYPE_CHECKING:
    from coo_middleware.core.document import Document


def test_a_stream_of_texts_is_read() -> None:
    """Texts stand in the choices themselves; each choice has its own finish reason."""
    reader = COMPLETIONS.read_stream()
    stream = (
        b'data: {"model":"m","choices":[{"index":0,"text":"a","finish_reason":null}]}\n\n'
        b'data: {"choices":[{"index":1,"text":"b","finish_reason":"length"}]}\n\n'
        b'data: {"choices":[{"index":0,"text":"","finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6,'
        b'"prompt_tokens_details":{"cached_tokens":1}}}\n\n'
        b"data: [DONE]\n\n"
    )
    for event in SSEDecoder(1000).feed(stream):
        reader.feed(event)

    expected = Outcome(True, Usage(4, 2, 1), ("stop", "length"), error=False, sound=True, model="m")
    assert expected == reader.outcome()


def test_a_stream_fed_twice_is_not_whole() -> None:
    """Text after the finish reason is more than the format's end allows."""
    reader = COMPLETIONS.read_stream()
    events = SSEDecoder(1000).feed(b'data: {"choices":[{"index":0,"text":"a","finish_reason":"stop"}]}\n\n')
    wholes = []
    for event in [*events, *events]:
        reader.feed(event)
        wholes.append(reader.outcome().whole)

    assert [True, False] == wholes


@pytest.mark.parametrize(("text", "sound"), [("a", True), (" ", True), ("", False)])
def test_an_empty_completion_gives_nothing(text: str, sound: bool) -> None:
    """A whole body without text is not sound."""
    outcome = COMPLETIONS.read_body({"choices": [{"text": text, "index": 0, "finish_reason": "stop"}]})

    assert (True, sound) == (outcome.whole, outcome.sound)


def test_the_edges_of_a_prompt_count() -> None:
    """Prompt and suffix are composed and get LF, and keep their outer white space."""
    document: Document = {"prompt": [" e\u0301\r\n", [1]], "suffix": "\r ", "stop": "\r\n"}

    assert {"prompt": [" é\n", [1]], "suffix": "\n ", "stop": "\r\n"} == COMPLETIONS.normalize(document, "text")
    assert document is COMPLETIONS.normalize(document, "strict")
    assert {"model": "m"} == COMPLETIONS.normalize({"model": "m"}, "loose")


def test_completions_never_bypass() -> None:
    """Nothing in a completion's request has an effect beyond its answer."""
    assert "" == COMPLETIONS.bypass({"prompt": "a", "best_of": 3})
    assert {"user"} == COMPLETIONS.left_out
