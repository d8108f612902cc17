"""How two answers to one request differ."""

from __future__ import annotations

import json

import pytest

from coo_middleware.core.difference import Divergence, Kind, Said, compare_answers
from coo_middleware.core.shape import Shape
from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.completions import COMPLETIONS
from coo_middleware.formats.gemini import GEMINI
from coo_middleware.formats.messages import MESSAGES
from tests.asgi import ANSWER, CHUNKS, JSON_FIELD, SSE_FIELD

BODY, STREAM = Shape(stream=False), Shape(stream=True, usage=True)


def body(content: bytes = ANSWER, **changes: bytes) -> Said:
    """An answer in which texts were exchanged for others."""
    for old, new in changes.items():
        content = content.replace(old.encode(), new)
    return Said(BODY, (JSON_FIELD,), content)


def stream(*chunks: bytes) -> Said:
    return Said(STREAM, (SSE_FIELD,), b"".join(chunks))


def chat(message: dict[str, object], finish: str = "stop") -> Said:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return body(json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]}).encode())


def call_of(name: str, arguments: str = "{}", ident: str = "call_1") -> dict[str, object]:
    call = {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"content": None, "tool_calls": [call]}


def kind(a: Said, b: Said) -> Kind:
    told = compare_answers(CHAT, a, b)
    assert told is not None
    return told.kind


@pytest.mark.parametrize(
    ("expected", "a", "b"),
    [
        ("equal", body(), body()),
        ("volatile", body(), body(c1=b"c2")),
        ("volatile", body(), body(prompt_tokens=b"other_tokens")),
        ("volatile", body(), body(ANSWER + b"  ")),
        ("members", body(), body(gpt=b"claude")),
        ("text", body(), body(Hello=b"Hi")),
        ("finish", body(), body(stop=b"length", Hello=b"Hi")),
        ("volatile", chat(call_of("f"), "tool_calls"), chat(call_of("f", ident="call_2"), "tool_calls")),
        ("text", chat(call_of("f"), "tool_calls"), chat(call_of("f", '{"id": 2}'), "tool_calls")),
        ("tools", chat(call_of("f"), "tool_calls"), chat(call_of("g"), "tool_calls")),
        ("tools", chat({"content": "x"}), chat(call_of("f"))),
    ],
)
def test_the_gravest_difference_is_told(expected: Kind, a: Said, b: Said) -> None:
    """What differs every time is no difference; then members, text, tools and finish, each graver than the last."""
    assert (expected, expected) == (kind(a, b), kind(b, a))


def test_the_shorter_texts_length_is_told_by_the_longer_ones() -> None:
    """The ratio is that of what the model wrote, whichever came first."""
    assert Divergence("text", 0.4) == compare_answers(CHAT, body(), body(Hello=b"Hi"))
    assert Divergence("text", 0.4) == compare_answers(CHAT, body(Hello=b"Hi"), body())
    assert Divergence("text", 0.0) == compare_answers(CHAT, body(), body(Hello=b""))


def test_streams_are_compared_by_what_they_add_up_to() -> None:
    """The same answer in other chunks, with another identifier, differs in nothing that lasts."""
    merged = (CHUNKS[0].replace(b"Hel", b"Hello"), *CHUNKS[2:])

    assert "equal" == kind(stream(*CHUNKS), stream(*CHUNKS))
    assert "volatile" == kind(stream(*CHUNKS), stream(*(chunk.replace(b"c1", b"c2") for chunk in merged)))
    assert "text" == kind(stream(*CHUNKS), stream(*(chunk.replace(b"Hello", b"Hallo") for chunk in merged)))


def test_a_stream_and_a_body_are_compared() -> None:
    """A body that a stream adds up to is no other answer."""
    assert "volatile" == kind(stream(*CHUNKS), body())
    assert "text" == kind(stream(*CHUNKS), body(Hello=b"Hi"))


def test_streams_without_a_body_are_compared_by_their_texts() -> None:
    """Where a format's streams cannot be made a body, text and finish decide, however they were cut."""

    def said(*texts: str, finish: str = "stop") -> Said:
        ends = [*([None] * (len(texts) - 1)), finish]
        chunks = [{"id": "x", "choices": [{"text": t, "finish_reason": e}]} for t, e in zip(texts, ends, strict=True)]
        return stream(*(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks), b"data: [DONE]\n\n")

    assert COMPLETIONS.rendering is None
    assert Divergence("volatile", 1.0) == compare_answers(COMPLETIONS, said("He", "llo"), said("Hello"))
    assert Divergence("text", 0.4) == compare_answers(COMPLETIONS, said("He", "llo"), said("Hi"))
    assert Divergence("finish", 1.0) == compare_answers(COMPLETIONS, said("Hello"), said("Hello", finish="length"))


def test_a_tools_arguments_are_the_models_own_word() -> None:
    """An `id` among the arguments of a call is no identifier of the provider's."""

    def said(ident: str, argument: int) -> Said:
        call = {"type": "tool_use", "id": ident, "name": "f", "input": {"id": argument}}
        message = {"id": ident, "type": "message", "role": "assistant", "content": [call], "stop_reason": "tool_use"}
        return body(json.dumps(message).encode())

    assert Divergence("volatile", 1.0) == compare_answers(MESSAGES, said("a", 1), said("b", 1))
    assert Divergence("text", 1.0) == compare_answers(MESSAGES, said("a", 1), said("a", 2))


def test_tools_of_other_formats_are_found() -> None:
    """A call is found by where its name stands."""

    def said(name: str) -> Said:
        parts = [{"functionCall": {"name": name, "args": {}}}]
        return body(json.dumps({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}).encode())

    assert Divergence("volatile", 1.0) == compare_answers(GEMINI, said("f"), body(said("f").content + b" "))
    assert (told := compare_answers(GEMINI, said("f"), said("g"))) is not None
    assert "tools" == told.kind


def test_what_is_nested_too_deep_is_not_compared() -> None:
    """A body that a recursion cannot walk gives no verdict and no error."""
    deep = b'{"a":' * 900 + b"1" + b"}" * 900

    assert compare_answers(CHAT, body(deep), body(deep + b" ")) in (None, Divergence("volatile", 1.0))
