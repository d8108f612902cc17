"""Ollama's chat and generate: lines that end with one that is done, and says why."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.ndjson import NDJSONDecoder
from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.formats import recognise
from coo_middleware.formats.ollama import OLLAMA_CHAT, OLLAMA_GENERATE

CALL: Document = {"function": {"name": "f", "arguments": {"a": 1}}}
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    (
        *("message", "content", "response", "thinking", "tool_calls", "images", "image", "function", "arguments"),
        *("done", "done_reason", "model", "error", "prompt_eval_count", "eval_count"),
    )
)
ODD = st.recursive(JSON, lambda children: st.lists(children, max_size=2) | st.dictionaries(MEMBERS, children))


def said(content: str = "", **members: Json) -> Document:
    return {"model": "llama3:8b", "message": {"role": "assistant", "content": content, **members}, "done": False}


def done(reason: str | None = "stop", /, **members: Json) -> Document:
    told: Document = {} if reason is None else {"done_reason": reason}
    return {**said(), "done": True, **told, **members}


def read(*lines: Json) -> Outcome:
    reader = OLLAMA_CHAT.read_stream()
    decoder = NDJSONDecoder(1 << 20)
    raw = "".join(json.dumps(line) + "\n" for line in lines).encode()
    for event in [*decoder.feed(raw), *decoder.close()]:
        reader.feed(event)
    return reader.outcome()


@pytest.mark.parametrize(
    ("lines", "whole"),
    [
        ([said("a"), done()], True),
        ([done()], True),
        ([said("a"), done("length")], True),
        ([], False),
        ([said("a")], False),
        ([said("a"), done(None)], False),
        ([said("a"), done("")], False),
        ([said("a"), {"done": 1, "done_reason": "stop"}], False),
        ([said("a"), done(), said()], False),
        ([said("a"), done(), done()], False),
        ([said("a"), done(), {"error": "x"}], False),
        ([said("a"), [], done()], False),
    ],
)
def test_a_stream_is_whole_at_the_line_that_is_done(lines: list[Json], whole: bool) -> None:
    """The last line is done and gives its reason: without one the connection to the runner was lost."""
    assert whole == read(*lines).whole


def test_a_stream_cut_anywhere_is_not_whole() -> None:
    """Only the last line makes a stream whole, and one that is fed twice is whole no more."""
    lines = [said("a"), said("b"), said("", thinking="c"), done()]

    assert [False] * 4 + [True] == [read(*lines[:cut]).whole for cut in range(5)]
    assert not read(*lines, *lines).whole


@pytest.mark.parametrize(
    ("members", "usage"),
    [
        ({"prompt_eval_count": 17, "eval_count": 66}, Usage(17, 66)),
        ({"eval_count": 58}, Usage(None, 58)),
        ({"prompt_eval_count": 17}, Usage(17, None)),
        ({"prompt_eval_count": 0, "eval_count": 1}, Usage(0, 1)),
        ({"prompt_eval_count": None, "eval_count": "2"}, Usage(None, 2)),
        ({"prompt_eval_count": -1, "eval_count": True}, None),
        ({}, None),
    ],
)
def test_an_absent_count_is_unknown(members: Document, usage: Usage | None) -> None:
    """A prompt that was in Ollama's cache has no count, which is not zero tokens."""
    assert usage == read(said("a"), done(**members)).usage


@pytest.mark.parametrize(
    ("line", "sound"),
    [
        (said("a"), True),
        ({"response": "a", "done": False}, True),
        ({"image": "iVBORw0KGgo=", "done": False}, True),
        (said(images=["iVBORw0KGgo="]), True),
        (said(tool_calls=[CALL]), True),
        (said(tool_calls=[{"function": {"name": "f", "arguments": {}}}]), True),
        (said("a", tool_calls=[]), True),
        (said("a", tool_calls=None), True),
        (said(), False),
        (said(thinking="hm"), False),
        (said(content=""), False),
        (said("a", tool_calls=[CALL, {"function": {"name": "f", "arguments": "{}"}}]), False),
        (said("a", tool_calls=[{"function": {"name": "f"}}]), False),
        (said("a", tool_calls=[{}]), False),
        (said("a", tool_calls=["f"]), False),
        (said("a", tool_calls="f"), False),
        ({"message": "a", "done": False}, False),
    ],
)
def test_sound_means_usable(line: Document, sound: bool) -> None:
    """There is a text, an image or a call, thinking alone is none, and every call's arguments are an object."""
    assert sound == read(line, done()).sound


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_model_that_was_loaded_gives_nothing(reason: str) -> None:
    """Loading ends like a generation but gives nothing back, and its reason is no good ending."""
    assert Outcome(True, None, (reason,), error=False, sound=False, model="llama3:8b") == read(done(reason))


def test_an_error_under_200_is_told() -> None:
    """An error is a line of its own, whose text is the error."""
    assert read(said("a"), {"error": "model runner has stopped"}).error
    assert not read(said("a"), done()).error


@pytest.mark.parametrize(
    "document",
    [
        {**done(prompt_eval_count=1, eval_count=2), "message": {"role": "assistant", "content": "a"}},
        {**done(prompt_eval_count=1, eval_count=2), "message": None, "response": "a", "context": [1, 2]},
    ],
)
def test_a_body_tells_all_at_once(document: Document) -> None:
    """A body is the one line of a stream: the same is read from both."""
    expected = Outcome(True, Usage(1, 2), ("stop",), error=False, sound=True, model="llama3:8b")

    assert expected == OLLAMA_CHAT.read_body(document) == OLLAMA_GENERATE.read_body(document) == read(document)


@given(st.lists(ODD, max_size=4), st.sampled_from([(), (said("a"), done())]))
def test_odd_lines_never_raise(lines: list[Json], before: tuple[Document, ...]) -> None:
    """Whatever the lines hold, and whatever is fed after them, there is an outcome, and nothing follows the end."""
    assert not read(*before, *lines).whole or not before or not lines


@given(st.lists(ODD, max_size=3))
def test_a_line_that_is_no_object_breaks_the_stream(lines: list[Json]) -> None:
    """Lines that are no objects make a stream not whole, and nothing else of it changes."""
    others = [line for line in lines if not isinstance(line, dict)]
    expected = read(said("a"), done("stop", eval_count=1))

    assert replace(expected, whole=not others) == read(*others, said("a"), done("stop", eval_count=1))


def test_bytes_past_the_limit_tell_nothing() -> None:
    """An event without data is passed over."""
    reader = OLLAMA_CHAT.read_stream()
    reader.feed(Event(b"x", "", None))

    assert Outcome(False, None, (), error=False, sound=False, model="") == reader.outcome()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/chat", "ollama-chat"),
        ("/ollama/api/chat", "ollama-chat"),
        ("/api/generate", "ollama-generate"),
        ("/api/embed", "ollama-embeddings"),
        ("/api/embeddings", "ollama-embeddings"),
        ("/v1/embeddings", "embeddings"),
        ("/api/v1/embeddings", "embeddings"),
    ],
)
def test_its_paths_are_its_own(path: str, name: str) -> None:
    """Ollama's paths go before the shorter ends that others have, under any mount."""
    route = recognise(path)

    assert route is not None
    assert name == route.format.name


@pytest.mark.parametrize("word", ["pull", "push", "create", "copy", "delete", "show", "tags", "ps", "blobs/sha256:29"])
def test_administration_is_not_ours(word: str) -> None:
    """What manages models speaks no format."""
    assert recognise(f"/api/{word}") is None


@pytest.mark.parametrize(
    ("document", "chat", "generate"),
    [
        ({"model": "m", "messages": [{"role": "user", "content": "a"}]}, "", "model-load"),
        ({"model": "m", "prompt": "a", "context": [1], "keep_alive": 0}, "model-load", ""),
        ({"model": "m", "messages": [], "prompt": ""}, "model-load", "model-load"),
        ({"model": "m", "keep_alive": 0}, "model-load", "model-load"),
    ],
)
def test_loading_a_model_reaches_the_provider(document: Document, chat: str, generate: str) -> None:
    """A request without a prompt loads or unloads its model, as its `keep_alive` says, which the key leaves out."""
    assert (chat, generate) == (OLLAMA_CHAT.bypass(document), OLLAMA_GENERATE.bypass(document))
    assert OLLAMA_CHAT.left_out == OLLAMA_GENERATE.left_out == {"keep_alive"}


def test_messages_are_prose() -> None:
    """Messages lose their outer white space; what answers a tool and what is no message stays."""
    tool: Document = {"role": "tool", "content": " a\r\n"}
    document: Document = {"messages": [{"role": "user", "content": " a\r\nb ", "images": ["AA"]}, tool]}

    expected = {"messages": [{"role": "user", "content": "a\nb", "images": ["AA"]}, tool]}
    assert expected == OLLAMA_CHAT.normalize(document, "text")
    assert document is OLLAMA_CHAT.normalize(document, "strict")
    other: Document = {"prompt": " a "}
    assert other is OLLAMA_CHAT.normalize(other, "text")


def test_a_list_of_parts_is_no_text() -> None:
    """Ollama refuses a list of parts, so it never equals the text that it accepts."""
    document: Document = {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}

    assert document == OLLAMA_CHAT.normalize(document, "text")


def test_prompts_keep_their_outer_white_space() -> None:
    """A prompt and its system prompt get LF; a suffix, a template and a raw prompt keep their bytes."""
    kept: Document = {"model": "m", "suffix": "\r\n", "template": "{{ .Prompt }}\r\n"}
    document: Document = {**kept, "prompt": " a\r\n", "system": "b\r"}

    assert {**kept, "prompt": " a\n", "system": "b\n"} == OLLAMA_GENERATE.normalize(document, "text")
    assert document is OLLAMA_GENERATE.normalize(document, "strict")
    raw: Document = {**document, "raw": True}
    assert raw is OLLAMA_GENERATE.normalize(raw, "text")


@given(st.dictionaries(st.sampled_from(["messages", "prompt", "system", "raw"]), ODD))
def test_odd_requests_never_raise(document: Document) -> None:
    """Whatever the members hold, normalizing twice is normalizing once."""
    for spoken in (OLLAMA_CHAT, OLLAMA_GENERATE):
        once = spoken.normalize(document, "loose")
        assert once == spoken.normalize(once, "loose")
        assert spoken.bypass(document) in ("", "model-load")
