"""What Mistral adds to OpenAI's formats: fill-in-the-middle, agents, OCR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.mistral import AGENTS, FIM, OCR

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.format import Format


@pytest.mark.parametrize("fmt", [FIM, AGENTS])
def test_answers_are_shaped_like_chat(fmt: Format) -> None:
    """Both ask with members of their own and answer with messages; a stream tells its usage in its last chunk."""
    reader = fmt.read_stream()
    stream = (
        b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}}\n\n'
        b"data: [DONE]\n\n"
    )
    for event in SSEDecoder(1000).feed(stream):
        reader.feed(event)

    assert Outcome(True, Usage(4, 2), ("stop",), error=False, sound=True, model="m") == reader.outcome()


@pytest.mark.parametrize("fmt", [FIM, AGENTS])
def test_mistral_is_asked_for_nothing(fmt: Format) -> None:
    """Mistral refuses members that it does not know, so nothing is put into a request; all of it is in the key."""
    assert fmt.ask is None
    assert fmt.strip is None
    assert frozenset() == fmt.left_out
    assert b'{"object":"error","message":"no"}' == fmt.error_body(429, "no")


def test_the_gap_of_a_text_is_normalized_like_a_prompt() -> None:
    """Prompt and suffix keep their outer white space; the document must name a model."""
    assert {"prompt": " a\n", "suffix": "\nb"} == FIM.normalize({"prompt": " a\r\n", "suffix": "\rb"}, "text")
    assert FIM.names_model


def test_an_agent_stands_for_a_model() -> None:
    """An agent's id is in the key like a model's name; what the caller runs is no reason to bypass, a search is."""
    document: Document = {"agent_id": "ag_1", "messages": [{"role": "user", "content": " a "}]}

    assert not AGENTS.names_model
    assert "" == AGENTS.bypass(document)
    assert "server-tool" == AGENTS.bypass({**document, "tools": [{"type": "web_search"}]})
    assert {**document, "messages": [{"role": "user", "content": "a"}]} == AGENTS.normalize(document, "text")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"pages": [{"index": 0, "markdown": "# a"}], "model": "m", "usage_info": {"pages_processed": 1}},
            Outcome(True, None, (), error=False, sound=True, model="m"),
        ),
        ({"pages": [{"markdown": ""}]}, Outcome(True, None, (), error=False, sound=False, model="")),
        ({"pages": []}, UNREADABLE),
        ({"pages": "x"}, UNREADABLE),
        ({"error": "x"}, Outcome(False, None, (), error=True, sound=False, model="")),
    ],
)
def test_pages_are_read(document: Document, expected: Outcome) -> None:
    """OCR is whole with its pages, sound with a text on one of them, and paid without tokens."""
    assert expected == OCR.read_body(document)


def test_pages_are_never_streamed() -> None:
    """Nothing is learned from a stream of pages."""
    reader = OCR.read_stream()
    reader.feed(Event(b"", "", '{"pages":[{"markdown":"a"}]}'))

    assert UNREADABLE == reader.outcome()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"document": {"type": "file", "file_id": "f_1"}}, "file"),
        ({"document": {"type": "document_url", "document_url": "data:application/pdf;base64,AA=="}}, ""),
        ({"document": {"file_id": None}}, ""),
        ({"document": "x"}, ""),
        ({}, ""),
    ],
)
def test_an_uploaded_file_bypasses(document: Document, reason: str) -> None:
    """What lies behind a file's id is not in the request."""
    assert reason == OCR.bypass(document)
    assert document is OCR.normalize(document, "loose")
