"""Answers made of candidates: where they end, what they cost, and whether they can be used."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.candidates import CandidatesReader, read_candidates, read_chunks

JSON: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    (
        *("candidates", "content", "parts", "text", "thought", "functionCall", "name", "args", "willContinue", "index"),
        *("finishReason", "promptFeedback", "blockReason", "usageMetadata", "promptTokenCount", "modelVersion"),
        *("promptTokensDetails", "modality", "tokenCount", "error"),
    )
)
ODD = st.recursive(JSON, lambda children: st.lists(children, max_size=2) | st.dictionaries(MEMBERS, children))


def candidate(*parts: Json, finish: str = "", **members: Json) -> Document:
    told: Document = {"finishReason": finish} if finish else {}
    return {"content": {"role": "model", "parts": list(parts)}, **told, **members}


def chunk(*candidates: Json, **members: Json) -> Document:
    return {"candidates": list(candidates), **members}


def read(*chunks: Json) -> Outcome:
    reader = CandidatesReader()
    for event in SSEDecoder(1 << 20).feed("".join(f"data: {json.dumps(item)}\r\n\r\n" for item in chunks).encode()):
        reader.feed(event)
    return reader.outcome()


def usage(**counts: Json) -> Document:
    return {"usageMetadata": counts}


A: Document = {"text": "a"}
STOP = chunk(candidate(finish="STOP"))
STREAM = [chunk(candidate(A)), chunk(candidate({"text": "b"}, finish="STOP"))]
BLOCKED: Document = {"promptFeedback": {"blockReason": "SAFETY"}}
CALL: Document = {"functionCall": {"name": "f", "args": {"a": 1}}}


@pytest.mark.parametrize(
    ("chunks", "whole"),
    [
        (STREAM, True),
        ([chunk(candidate(A)), STOP], True),
        ([chunk(candidate(A, finish="STOP")), usage(promptTokenCount=1)], True),
        ([chunk(candidate(A, finish="STOP")), STOP], True),
        ([chunk(candidate(A, finish="MAX_TOKENS"))], True),
        ([chunk(candidate(A, index=0), candidate(A, index=1)), chunk(candidate(index=0, finish="STOP"))], False),
        (
            [
                chunk(candidate(A, index=0), candidate(A, index=1)),
                chunk(candidate(index=1, finish="STOP")),
                chunk(candidate(index=0, finish="STOP")),
            ],
            True,
        ),
        ([BLOCKED], True),
        ([BLOCKED, chunk(candidate(A))], False),
        ([], False),
        ([usage(promptTokenCount=1)], False),
        ([chunk()], False),
        ([chunk(candidate(A))], False),
        ([chunk(candidate(A, finishReason=1))], False),
        ([*STREAM, chunk(candidate(A))], False),
        ([*STREAM, chunk(candidate(CALL))], False),
        ([*STREAM, chunk(candidate({"text": "hm", "thought": True}))], True),
        ([*STREAM, *STREAM], False),
        ([[], *STREAM], False),
    ],
)
def test_a_stream_is_whole_when_every_candidate_has_finished(chunks: list[Json], whole: bool) -> None:
    """Every candidate that was seen has a finish reason, and gives nothing after it; no marker follows."""
    assert whole == read(*chunks).whole


def test_a_stream_cut_anywhere_is_not_whole() -> None:
    """Only the chunk with the finish reason makes a stream whole."""
    assert [False, False, True] == [read(*STREAM[:cut]).whole for cut in range(3)]


def test_an_array_is_read_like_its_chunks() -> None:
    """Without `alt=sse` the chunks come as one array; an error may stand in it."""
    documents = [*STREAM, usage(promptTokenCount=1)]

    assert read(*documents) == read_chunks(documents)
    assert UNREADABLE == read_chunks([])
    assert read_chunks([*STREAM, {"error": {"code": 503}}]).error


def test_a_body_tells_all_at_once() -> None:
    """A body is one chunk."""
    document = chunk(
        candidate(A, finish="STOP"),
        modelVersion="gemini-2.5-flash",
        usageMetadata={"promptTokenCount": 2, "candidatesTokenCount": 3, "totalTokenCount": 5},
    )
    expected = Outcome(True, Usage(2, 3), ("STOP",), error=False, sound=True, model="gemini-2.5-flash")

    assert expected == read_candidates(document)


def test_a_blocked_prompt_is_an_answer_that_is_not_to_be_reused() -> None:
    """The reason of the block is the finish reason, there is nothing to give back, and its cost is told."""
    blocked: Document = {**BLOCKED, "usageMetadata": {"promptTokenCount": 8}}

    assert Outcome(True, Usage(8, None), ("SAFETY",), error=False, sound=False, model="") == read_candidates(blocked)
    assert ("STOP", "SAFETY") == read(*STREAM, BLOCKED).finish_reasons
    assert not read_candidates({"promptFeedback": {"blockReason": None}}).whole
    assert not read_candidates({"promptFeedback": "SAFETY"}).whole


def test_every_candidate_tells_its_finish_reason() -> None:
    """One reason a candidate, in the order of their indices; one that changes its reason has both."""
    chunks = [
        chunk(candidate(A, index=1, finish="MAX_TOKENS"), candidate(A, index=0, finish="STOP")),
        chunk(candidate(index=0, finish="SAFETY")),
    ]

    assert ("STOP", "SAFETY", "MAX_TOKENS") == read(*chunks).finish_reasons
    assert ("STOP", "MAX_TOKENS") == read(
        chunk(candidate(finish="STOP"), candidate(finish="MAX_TOKENS"))
    ).finish_reasons


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([usage(promptTokenCount=11), usage(promptTokenCount=11, candidatesTokenCount=2)], Usage(11, 2)),
        ([usage(promptTokenCount=11, candidatesTokenCount=2), usage(candidatesTokenCount=5)], Usage(11, 5)),
        ([usage(promptTokenCount=13, toolUsePromptTokenCount=31)], Usage(44, None)),
        ([usage(toolUsePromptTokenCount=31)], Usage(31, None)),
        ([usage(candidatesTokenCount=23, thoughtsTokenCount=67)], Usage(None, 90, reasoning_tokens=67)),
        ([usage(thoughtsTokenCount=67)], Usage(None, 67, reasoning_tokens=67)),
        ([usage(promptTokenCount=9, cachedContentTokenCount=4)], Usage(9, None, cache_read_tokens=4)),
        ([usage(promptTokenCount=0)], Usage(0, None)),
        ([usage(promptTokenCount="7", candidatesTokenCount=6.0)], Usage(7, 6)),
        ([usage(promptTokenCount=-1, candidatesTokenCount=True)], None),
        ([usage(totalTokenCount=5)], None),
        ([usage(cachedContentTokenCount=5)], None),
        ([{"usageMetadata": [1]}], None),
        ([], None),
    ],
)
def test_usage_is_inclusive(chunks: list[Json], expected: Usage | None) -> None:
    """What tools read is input, thoughts are output, cached tokens are a part; the last known value counts."""
    assert expected == read(*chunks).usage


def test_sound_is_counted_by_modality() -> None:
    """Audio tokens are told in lists, of which the last one counts; a list without audio leaves them unknown."""
    first = usage(promptTokenCount=9, promptTokensDetails=[{"modality": "AUDIO", "tokenCount": 1}])
    second = usage(
        candidatesTokenCount=8,
        promptTokensDetails=[{"modality": "TEXT", "tokenCount": 4}, {"modality": "AUDIO", "tokenCount": 3}],
        toolUsePromptTokensDetails=[{"modality": "AUDIO", "tokenCount": 2}],
        candidatesTokensDetails=[{"modality": "AUDIO", "tokenCount": 7}],
    )

    assert Usage(9, 8, input_audio_tokens=5, output_audio_tokens=7) == read(first, second).usage
    silent = usage(promptTokenCount=9, promptTokensDetails=[{"modality": "TEXT", "tokenCount": 9}, {}, 1])
    assert Usage(9, None) == read(silent).usage


@pytest.mark.parametrize(
    ("parts", "sound"),
    [
        ([A], True),
        ([{"text": "hm", "thought": True}, A], True),
        ([{"inlineData": {"mimeType": "image/png", "data": "AA=="}}], True),
        ([{"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}], True),
        ([CALL], True),
        ([CALL, CALL], True),
        ([{"functionCall": {"name": "f"}}], True),
        ([{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "x"}], True),
        ([], False),
        ([{"text": ""}], False),
        ([{"text": "hm", "thought": True}], False),
        ([{"thoughtSignature": "x"}], False),
        ([{"unheard": {"a": 1}}], False),
        ([A, {"functionCall": {"name": "f", "args": "{}"}}], False),
        ([A, {"functionCall": {"name": "f", "args": None}}], False),
        ([A, {"functionCall": {"args": {}}}], False),
        ([A, {"functionCall": "f"}], False),
        ([A, "a"], False),
    ],
)
def test_sound_means_usable(parts: list[Json], sound: bool) -> None:
    """There is more than thinking, and every call has a name and an object for its arguments."""
    assert sound == read_candidates(chunk(candidate(*parts, finish="STOP"))).sound


def test_every_candidate_must_be_sound() -> None:
    """One empty candidate, or one that is no object, makes the answer unsound."""
    full, empty = candidate(A, finish="STOP"), candidate(finish="STOP")

    assert read(chunk(full, full)).sound
    assert not read(chunk(full, empty)).sound
    assert not read(chunk(full, 1)).sound
    assert not read(chunk({**full, "content": "a"})).sound
    assert not read({"candidates": {"0": full}}).sound


def test_a_call_may_be_streamed() -> None:
    """Vertex names a call in its first piece and tells its arguments by path; its last piece does not continue."""
    pieces: list[Document] = [
        {"name": "f", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.a", "numberValue": 1}], "willContinue": True},
        {},
    ]
    chunks = [chunk(candidate({"functionCall": piece})) for piece in pieces]

    assert read(*chunks, STOP).sound
    assert not read(*chunks[:2], STOP).sound
    assert not read(*chunks[1:], STOP).sound


@pytest.mark.parametrize(
    "frame",
    [
        b'data: {"error": {"code": 503, "status": "UNAVAILABLE"}}\r\n\r\n',
        b"event: error\ndata: x\n\n",
    ],
)
def test_errors_within_a_stream_are_told(frame: bytes) -> None:
    """A chunk with an error is an error under any status."""
    reader = CandidatesReader()
    for event in SSEDecoder(1 << 20).feed(frame):
        reader.feed(event)

    assert reader.outcome().error
    assert not read(*STREAM).error


@given(st.lists(ODD, max_size=4))
def test_odd_content_never_raises(values: list[Json]) -> None:
    """Whatever JSON a chunk is made of, it is read, and alike in each of the three ways that it may come."""
    reader = CandidatesReader()
    for value in values:
        reader.feed(Event(b"", "", json.dumps(value)))
    documents = [value for value in values if isinstance(value, dict)]

    if len(documents) == len(values):
        assert reader.outcome() == read_chunks(documents)
    else:
        assert not reader.outcome().whole
    assert [read_candidates(document) for document in documents] == [read_chunks([item]) for item in documents]
