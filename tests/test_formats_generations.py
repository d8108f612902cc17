"""Generated text in the spellings of its vendors."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.formats.generations import (
    COHERE,
    COMPLETION,
    JURASSIC,
    LLAMA,
    MISTRAL,
    TITAN,
    Dialect,
    GenerationsReader,
    read_generations,
)
from tests.proof import choose

TITAN_END: Document = {"outputText": "", "index": 0.0, "totalOutputTextTokenCount": 9.0, "completionReason": "FINISH"}
STREAMS: list[tuple[Dialect, list[Document], Usage | None, str]] = [
    (
        COMPLETION,
        [
            {"type": "completion", "completion": " Hel", "stop_reason": None, "model": "m"},
            {"type": "ping"},
            {"type": "completion", "completion": "lo", "stop_reason": "stop_sequence", "model": "m"},
        ],
        None,
        "stop_sequence",
    ),
    (
        TITAN,
        [
            {"outputText": "a", "index": 0, "totalOutputTextTokenCount": 4, "inputTextTokenCount": 6},
            {"outputText": "b", "index": 0, "totalOutputTextTokenCount": None, "completionReason": None},
            TITAN_END,
        ],
        Usage(6, 9),
        "FINISH",
    ),
    (
        LLAMA,
        [
            {"generation": "", "prompt_token_count": 10, "generation_token_count": 1, "stop_reason": None},
            {"generation": "a", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": None},
            {"generation": "", "prompt_token_count": None, "generation_token_count": 3, "stop_reason": "length"},
        ],
        Usage(10, 3),
        "length",
    ),
    (
        MISTRAL,
        [
            {"outputs": [{"text": "a", "stop_reason": None}]},
            {"outputs": [{"text": "", "stop_reason": "stop"}]},
        ],
        None,
        "stop",
    ),
    (
        COHERE,
        [
            {"event_type": "stream-start", "generation_id": "g", "is_finished": False},
            {"event_type": "text-generation", "text": "a", "is_finished": False},
            {"event_type": "stream-end", "finish_reason": "COMPLETE", "is_finished": True, "response": {"text": "a"}},
        ],
        None,
        "COMPLETE",
    ),
]
BODIES: list[tuple[Dialect, Document, Usage | None, tuple[str, ...]]] = [
    (COMPLETION, {"completion": "a", "stop_reason": "max_tokens", "model": "m"}, None, ("max_tokens",)),
    (
        TITAN,
        {
            "inputTextTokenCount": 5,
            "results": [
                {"tokenCount": 3, "outputText": "a", "completionReason": "FINISH"},
                {"tokenCount": 4.0, "outputText": "b", "completionReason": "LENGTH"},
            ],
        },
        Usage(5, 7),
        ("FINISH", "LENGTH"),
    ),
    (
        LLAMA,
        {"generation": "a", "prompt_token_count": 5, "generation_token_count": 7, "stop_reason": "stop"},
        Usage(5, 7),
        ("stop",),
    ),
    (MISTRAL, {"outputs": [{"text": "a", "stop_reason": "stop"}]}, None, ("stop",)),
    (COHERE, {"id": "1", "generations": [{"text": "a", "finish_reason": "COMPLETE"}]}, None, ("COMPLETE",)),
    (
        COHERE,
        {"text": "", "finish_reason": "COMPLETE", "tool_calls": [{"name": "f", "parameters": {}}]},
        None,
        ("COMPLETE",),
    ),
    (
        JURASSIC,
        {"completions": [{"data": {"text": "a"}, "finishReason": {"reason": "endoftext"}}]},
        None,
        ("endoftext",),
    ),
]
DIALECTS = [COMPLETION, TITAN, LLAMA, MISTRAL, COHERE, JURASSIC]


def fold(dialect: Dialect, pieces: list[Document]) -> Outcome:
    reader = GenerationsReader(dialect)
    for piece in pieces:
        reader.feed(Event(b"", "", json.dumps(piece)))
    return reader.outcome()


@pytest.mark.parametrize(("dialect", "pieces", "usage", "reason"), STREAMS)
def test_a_stream_adds_up(dialect: Dialect, pieces: list[Document], usage: Usage | None, reason: str) -> None:
    """Of cumulative counters the last that is known stays, and a ping tells nothing."""
    outcome = fold(dialect, pieces)

    assert (True, usage, (reason,), False, True) == (
        outcome.whole,
        outcome.usage,
        outcome.finish_reasons,
        outcome.error,
        outcome.sound,
    )


@pytest.mark.parametrize(("dialect", "pieces", "usage", "reason"), STREAMS)
def test_a_stream_ends_with_its_reason(
    dialect: Dialect, pieces: list[Document], usage: Usage | None, reason: str
) -> None:
    """Cut before its last piece a stream is not whole; told twice it has text behind its end, and is not either."""
    assert [False] * len(pieces) == [fold(dialect, pieces[:cut]).whole for cut in range(len(pieces))]
    assert not fold(dialect, pieces * 2).whole


@pytest.mark.parametrize(("dialect", "body", "usage", "reasons"), BODIES)
def test_a_body_tells_all_at_once(
    dialect: Dialect, body: Document, usage: Usage | None, reasons: tuple[str, ...]
) -> None:
    """A body is whole by the reasons of all its generations, and what is not told is not known."""
    model = "m" if "model" in body else ""

    assert Outcome(True, usage, reasons, error=False, sound=True, model=model) == read_generations(dialect, body)


def test_every_generation_must_end_and_count() -> None:
    """One generation without an end leaves the answer open, and one without a count its output unknown."""
    ended: Document = {"tokenCount": 3, "outputText": "a", "completionReason": "FINISH"}
    open_: Document = {"outputText": "a", "completionReason": None}
    outcome = read_generations(TITAN, {"inputTextTokenCount": 5, "results": [ended, open_]})

    assert (False, Usage(5, None), ("FINISH",)) == (outcome.whole, outcome.usage, outcome.finish_reasons)
    assert ("FINISH", "LENGTH") == fold(
        TITAN, [{"outputText": "a", "index": 1, "completionReason": "LENGTH"}, TITAN_END]
    ).finish_reasons


@pytest.mark.parametrize(
    ("item", "sound"),
    [
        ({"text": "a"}, True),
        ({"text": ""}, False),
        ({"text": None}, False),
        ({"text": ["a"]}, False),
        ({"text": "a", "tool_calls": None}, True),
        ({"text": "a", "tool_calls": []}, True),
        ({"tool_calls": []}, False),
        ({"tool_calls": [{"name": "f", "parameters": {"a": 1}}]}, True),
        ({"tool_calls": [{"name": "f", "parameters": "{"}]}, False),
        ({"tool_calls": [{"name": "f"}]}, False),
        ({"tool_calls": ["f"]}, False),
        ({"tool_calls": {"name": "f"}}, False),
    ],
)
def test_sound_means_usable(item: Document, sound: bool) -> None:
    """There is text or a call, and every call has its parameters."""
    assert sound == read_generations(COHERE, {**item, "finish_reason": "COMPLETE"}).sound


def test_errors_are_told() -> None:
    """An error in a body, in a piece or in an event's name is seen; data that is no object breaks a stream."""
    reader = GenerationsReader(COMPLETION)
    reader.feed(Event(b"", "error", None))
    broken = GenerationsReader(COMPLETION)
    broken.take({"completion": "a", "stop_reason": "stop_sequence"})
    broken.feed(Event(b"", "", "{"))

    assert reader.outcome().error
    assert fold(COMPLETION, [{"error": {"type": "overloaded_error"}}]).error
    assert read_generations(COMPLETION, {"type": "error"}).error
    assert not broken.outcome().whole


SCALARS: st.SearchStrategy[Json] = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))
JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["text", "data", "results", "index", "tool_calls", "finish_reason", "parameters", "x"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=6,
)
MEMBERS = st.sampled_from([name for each in DIALECTS for name in (each.text, each.reason, each.items, each.inputs)])


@settings(max_examples=choose(100, 10_000))
@given(st.sampled_from(DIALECTS), st.dictionaries(st.one_of(MEMBERS, st.just("index")), JSON, max_size=5))
def test_odd_content_raises_nothing(dialect: Dialect, document: Document) -> None:
    """Whatever stands where something is looked for, an answer is judged; what is whole has text reasons."""
    for outcome in (read_generations(dialect, document), fold(dialect, [document, document])):
        assert outcome.whole is False or all(outcome.finish_reasons)
