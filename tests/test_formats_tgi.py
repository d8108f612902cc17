"""Text Generation Inference: tokens, and the text that they make at the end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats import recognise
from coo_middleware.formats.tgi import TGI

MEMBERS = st.sampled_from(
    (
        *("generated_text", "details", "finish_reason", "generated_tokens", "prefill", "input_length"),
        *("best_of_sequences", "token", "error", "inputs"),
    )
)
ODD: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(MEMBERS, children, max_size=5),
    max_leaves=12,
)


def token(text: str = "a", **members: Json) -> Document:
    return {"index": 1, "token": {"id": 1, "text": text}, "generated_text": None, "details": None, **members}


def last(**details: Json) -> Document:
    return token(generated_text="a", details=details or None)


def read(*documents: Json) -> Outcome:
    reader = TGI.read_stream()
    raw = ":\n\n" + "".join(f"data:{json.dumps(document)}\n\n" for document in documents)
    for event in SSEDecoder(1 << 20).feed(raw.encode()):
        reader.feed(event)
    return reader.outcome()


@pytest.mark.parametrize(
    ("documents", "whole"),
    [
        ([token(), last(finish_reason="eos_token")], True),
        ([last()], True),
        ([], False),
        ([token()], False),
        ([token(), token(details={"finish_reason": "eos_token"})], False),
        ([token(), last(), token()], False),
        ([token(), last(), last()], False),
        ([token(), last(), {"error": "x", "error_type": "generation"}], False),
        ([[], token(), last()], False),
    ],
)
def test_a_stream_is_whole_at_the_generated_text(documents: list[Json], whole: bool) -> None:
    """The last event brings the text; nothing comes after it."""
    assert whole == read(*documents).whole


def test_a_stream_cut_anywhere_is_not_whole() -> None:
    """Only the last event makes a stream whole, and one that is fed twice is whole no more."""
    documents = [token(), token(), last(finish_reason="length")]

    assert [False, False, False, True] == [read(*documents[:cut]).whole for cut in range(4)]
    assert not read(*documents, *documents).whole


@pytest.mark.parametrize(
    ("details", "usage", "reasons"),
    [
        ({"finish_reason": "length", "generated_tokens": 20, "input_length": 5}, Usage(5, 20), ("length",)),
        ({"finish_reason": "eos_token", "generated_tokens": 2, "prefill": [{}, {}, {}]}, Usage(3, 2), ("eos_token",)),
        ({"finish_reason": "stop_sequence", "generated_tokens": 2, "prefill": []}, Usage(None, 2), ("stop_sequence",)),
        ({"generated_tokens": 0, "prefill": "x"}, Usage(None, 0), ()),
        (
            {
                "finish_reason": "eos_token",
                "generated_tokens": 2,
                "best_of_sequences": [{"finish_reason": "length", "generated_tokens": 3}],
            },
            Usage(None, 5),
            ("eos_token", "length"),
        ),
        ({"prefill": [{}]}, Usage(1, None), ()),
        ({"generated_tokens": -1}, None, ()),
        ({}, None, ()),
    ],
)
def test_details_tell_usage_and_reasons(details: Document, usage: Usage | None, reasons: tuple[str, ...]) -> None:
    """Every sequence counts, an empty list of prompt tokens is unknown, and without details nothing is."""
    outcome = read(token(), last(**details))

    assert usage == outcome.usage
    assert reasons == outcome.finish_reasons
    assert outcome == TGI.read_body(last(**details))


@pytest.mark.parametrize(
    ("headers", "usage"),
    [
        ([(b"x-prompt-tokens", b"5"), (b"X-Generated-Tokens", b"20")], Usage(5, 20)),
        ([(b"x-generated-tokens", b"20")], Usage(None, 20)),
        ([(b"x-prompt-tokens", b"\xe9"), (b"content-type", b"5")], None),
        ([], None),
    ],
)
def test_the_header_section_tells_usage(headers: list[tuple[bytes, bytes]], usage: Usage | None) -> None:
    """A JSON answer tells its usage in its header section also where no details were asked for."""
    assert TGI.read_fields is not None
    assert usage == TGI.read_fields(headers)


@pytest.mark.parametrize(
    ("document", "sound"),
    [
        ({"generated_text": "a"}, True),
        ({"generated_text": ""}, False),
        ({"generated_text": ["a"]}, False),
        ({"text": "a"}, False),
    ],
)
def test_sound_means_text(document: Document, sound: bool) -> None:
    """There is a text, and nothing else counts as one."""
    assert sound == TGI.read_body(document).sound


def test_an_error_within_a_stream_is_told() -> None:
    """An error comes as data under 200."""
    assert read(token(), {"error": "Request failed during generation", "error_type": "generation"}).error
    assert not read(token(), last()).error


def test_a_list_has_one_answer() -> None:
    """A list of one object is that object's answer; one of more is none."""
    assert TGI.read_list is not None
    assert Outcome(True, None, (), error=False, sound=True, model="") == TGI.read_list([{"generated_text": "a"}])
    assert [UNREADABLE] * 2 == [TGI.read_list([]), TGI.read_list([{"generated_text": "a"}] * 2)]


@pytest.mark.parametrize(
    ("path", "stream"),
    [("/generate", False), ("/tgi/generate", False), ("/generate_stream", True), ("/tgi/generate_stream", True)],
)
def test_the_path_says_whether_it_streams(path: str, stream: bool) -> None:
    """Each of the two paths gives one shape, whatever the document says, and names no model."""
    route = recognise(path)

    assert route is not None
    assert (TGI, stream, "") == (route.format, route.stream, route.model)
    assert not TGI.names_model


@pytest.mark.parametrize("path", ["/", "/invocations", "/xgenerate", "/generate/", "/tokenize"])
def test_general_paths_are_not_recognised(path: str) -> None:
    """The paths that any service may have speak no format."""
    assert recognise(path) is None


def test_inputs_keep_their_outer_white_space() -> None:
    """The prompt gets LF; its parameters and documents without it stay."""
    document: Document = {"inputs": " a\r\n", "parameters": {"stop": ["\r\n"]}}

    assert {"inputs": " a\n", "parameters": {"stop": ["\r\n"]}} == TGI.normalize(document, "text")
    assert document is TGI.normalize(document, "strict")
    other: Document = {"parameters": {}}
    assert other is TGI.normalize(other, "text")
    assert "" == TGI.bypass(document)


@given(st.lists(ODD, max_size=4), st.booleans())
def test_odd_content_never_raises(documents: list[Json], ended: bool) -> None:
    """Whatever the events hold there is an outcome, and nothing follows the end."""
    before = [last()] if ended else []

    assert not read(*before, *documents).whole or not before or not documents
