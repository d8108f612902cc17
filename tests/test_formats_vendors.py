"""A vendor is known by the shape of what it answers."""

import json

import pytest

from coo_middleware.core.document import Document
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.formats.vendors import recognise_vendor

CALL: Document = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
CONVERSED: Document = {"message": {"content": [{"text": "a"}]}}


def read(body: Document) -> Outcome:
    vendor = recognise_vendor(body)
    return vendor.read_body(body) if vendor else UNREADABLE


def fold(*pieces: Document) -> Outcome:
    vendor = recognise_vendor(pieces[0])
    if vendor is None:
        return UNREADABLE
    reader = vendor.read_stream()
    for piece in pieces:
        reader.feed(Event(b"", "", json.dumps(piece)))
    return reader.outcome()


@pytest.mark.parametrize(
    ("body", "usage", "reasons"),
    [
        (
            {"type": "message", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"},
            None,
            ("end_turn",),
        ),
        ({"completion": "a", "stop_reason": "stop_sequence", "stop": None}, None, ("stop_sequence",)),
        (
            {"output": CONVERSED, "stopReason": "end_turn", "usage": {"inputTokens": 5, "outputTokens": 2}},
            Usage(5, 2),
            ("end_turn",),
        ),
        (
            {"inputTextTokenCount": 5, "results": [{"outputText": "a", "tokenCount": 2, "completionReason": "FINISH"}]},
            Usage(5, 2),
            ("FINISH",),
        ),
        (
            {"generation": "a", "prompt_token_count": 5, "generation_token_count": 2, "stop_reason": "stop"},
            Usage(5, 2),
            ("stop",),
        ),
        ({"outputs": [{"text": "a", "stop_reason": "stop"}]}, None, ("stop",)),
        ({"choices": [{"index": 0, "message": {"content": "a"}, "stop_reason": "stop"}]}, None, ("stop",)),
        ({"choices": [{"text": "a", "stop_reason": "length"}]}, None, ("length",)),
        ({"choices": [{"message": {"tool_calls": [CALL]}, "stop_reason": "tool_calls"}]}, None, ("tool_calls",)),
        (
            {
                "choices": [{"message": {"content": "a"}, "finish_reason": "stop", "stop_reason": "eos"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 2},
            },
            Usage(5, 2),
            ("stop",),
        ),
        ({"generations": [{"text": "a", "finish_reason": "COMPLETE"}], "prompt": "p"}, None, ("COMPLETE",)),
        ({"generation_id": "g", "text": "a", "finish_reason": "COMPLETE"}, None, ("COMPLETE",)),
        (
            {"completions": [{"data": {"text": "a"}, "finishReason": {"reason": "endoftext"}}]},
            None,
            ("endoftext",),
        ),
        ({"embedding": [0.1], "inputTextTokenCount": 5}, Usage(5, None), ()),
        ({"embeddings": {"float": [[0.1]]}, "texts": ["a"]}, None, ()),
    ],
)
def test_a_body_is_read_as_its_vendors(body: Document, usage: Usage | None, reasons: tuple[str, ...]) -> None:
    """Each vendor's body is whole and sound, with the usage and the reasons in the vendor's own words."""
    assert Outcome(True, usage, reasons, error=False, sound=True, model="") == read(body)


@pytest.mark.parametrize(
    ("pieces", "usage", "reason"),
    [
        (
            [
                {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 5}}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
                {"type": "message_stop"},
            ],
            Usage(5, 2),
            "end_turn",
        ),
        (
            [
                {"messageStart": {"role": "assistant"}},
                {"contentBlockDelta": {"delta": {"text": "a"}, "contentBlockIndex": 0}},
                {"contentBlockStop": {"contentBlockIndex": 0}},
                {"messageStop": {"stopReason": "end_turn"}},
                {"metadata": {"usage": {"inputTokens": 5, "outputTokens": 2}}, "amazon-bedrock-trace": {}},
            ],
            Usage(5, 2),
            "end_turn",
        ),
        (
            [
                {"choices": [{"index": 0, "message": {"content": "a"}, "stop_reason": None}]},
                {"choices": [{"index": 0, "message": {"content": ""}, "stop_reason": "stop"}]},
            ],
            None,
            "stop",
        ),
        (
            [
                {"choices": [{"index": 0, "delta": {"content": "a"}}]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5}},
            ],
            Usage(5, None),
            "stop",
        ),
        (
            [
                {"is_finished": False, "text": "a", "index": 0},
                {"is_finished": True, "text": "b", "finish_reason": "COMPLETE", "index": 0},
            ],
            None,
            "COMPLETE",
        ),
    ],
)
def test_a_stream_is_read_as_its_vendors(pieces: list[Document], usage: Usage | None, reason: str) -> None:
    """The first piece gives the vendor away, and the last one ends the stream; cut anywhere before it is not whole."""
    assert Outcome(True, usage, (reason,), error=False, sound=True, model="") == fold(*pieces)
    assert [False] * (len(pieces) - 1) == [fold(*pieces[:cut]).whole for cut in range(1, len(pieces))]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"images": ["eA=="], "error": None},
        {"type": "message-start", "id": "1"},
        {"type": ["message"]},
        {"message": "a summary", "finishReason": "stop"},
    ],
)
def test_strangers_are_not_guessed_at(body: Document) -> None:
    """An answer of a shape that is not known has no vendor."""
    assert recognise_vendor(body) is None


def test_a_ranking_is_no_text() -> None:
    """A reranker's results look like Titan's by their name alone, and are not whole."""
    assert not read({"results": [{"index": 0, "relevance_score": 0.9}]}).whole


@pytest.mark.parametrize("body", [{"embedding": []}, {"embeddings": None}, {"embeddings": {}}])
def test_no_embedding_is_no_answer(body: Document) -> None:
    """An answer without a vector is neither whole nor sound, and a stream of them never is."""
    assert (False, False) == (read(body).whole, read(body).sound)
    assert UNREADABLE == fold({"embedding": [0.1]})


def test_odd_events_of_nova_are_passed_over() -> None:
    """What is no object under an event's name tells nothing."""
    assert not fold({"messageStart": 1}, {"messageStop": "end_turn", "metadata": []}).whole


def test_errors_of_a_vendor_are_told() -> None:
    """An error inside a vendor's own piece is seen."""
    assert fold({"type": "error", "error": {"type": "overloaded_error"}}).error
    assert fold({"messageStart": {}}, {"error": {"message": "x"}}).error
    assert read({"embedding": [0.1], "error": "x"}).error
