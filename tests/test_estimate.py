"""The text of requests and answers is found by its members' names, once each, and nothing else is taken for text."""

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.core.estimate import texts_of_answer, texts_of_request

IMAGE: Document = {"url": "data:image/png;base64,iVBORw0KGgo="}
TOOLS: Json = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]

NAMES = st.sampled_from(
    [
        *("messages", "content", "text", "input", "tools", "arguments", "delta", "choices", "data", "type", "response"),
        *("bytes", "token", "generated_text", "x"),
    ]
)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("response.text.done"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            {
                "model": "m",
                "user": "who",
                "metadata": {"text": "no"},
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", **IMAGE}]},
                    {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
                    {"role": "tool", "tool_call_id": "1", "content": "cold"},
                ],
            },
            ["Be kind.", "Hi", "f", "{}", "cold"],
        ),
        ({"tools": TOOLS, "messages": [{"content": "Hi"}]}, [json.dumps(TOOLS, separators=(",", ":")), "Hi"]),
        (
            {
                "system": [{"type": "text", "text": "Be kind."}],
                "messages": [
                    {"content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"é": [1]}}]},
                    {"content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"text": "cold"}]}]},
                    {"content": [{"type": "image", "source": {"type": "base64", "data": "aaaa"}}]},
                ],
            },
            ["Be kind.", "f", '{"é":[1]}', "cold"],
        ),
        ({"instructions": "Be kind.", "input": "Hi", "text": {"format": {"type": "text"}}}, ["Be kind.", "Hi"]),
        (
            {
                "input": [
                    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"},
                    {"type": "function_call_output", "call_id": "1", "output": "cold"},
                    {"type": "computer_call_output", "output": {"image_url": "data:image/png;base64,aaaa"}},
                ]
            },
            ["f", "{}", "cold"],
        ),
        (
            {
                "systemInstruction": {"parts": [{"text": "Be kind."}]},
                "contents": [
                    {
                        "role": "user",
                        "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "aa"}}],
                    },
                    {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
                    {"parts": [{"functionResponse": {"name": "f", "response": {"b": 2}}}]},
                ],
            },
            ["Be kind.", "Hi", "f", '{"a":1}', "f", '{"b":2}'],
        ),
        (
            {
                "messages": [
                    {"content": [{"guardContent": {"text": {"text": "Hi", "qualifiers": ["query"]}}}]},
                    {"content": [{"toolUse": {"toolUseId": "1", "name": "f", "input": {"a": 1}}}]},
                    {"content": [{"toolResult": {"toolUseId": "1", "content": [{"json": {"b": 2}}]}}]},
                ]
            },
            ["Hi", "f", '{"a":1}', '{"b":2}'],
        ),
        ({"prompt": ["a", "b"], "suffix": "c"}, ["a", "b", "c"]),
        ({"message": "Hi", "documents": [{"snippet": "s"}], "preamble": "p"}, ['[{"snippet":"s"}]', "Hi", "p"]),
        ({"inputs": "Hi", "parameters": {"stop": ["x"]}}, ["Hi"]),
        ({"input": [1, 2, 3], "encoding_format": "float"}, []),
        ({}, []),
    ],
)
def test_what_the_model_reads_is_found(request_: Document, expected: list[str]) -> None:
    """Prompts, messages, tool calls and their results are text in every format; images, ids and settings are not."""
    assert expected == list(texts_of_request(request_))


def chunk(text: str) -> Document:
    return {
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "logprobs": {"content": [IMAGE]}}]
    }


def carried(document: Document) -> Document:
    return {"bytes": b64encode(json.dumps(document).encode()).decode()}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([chunk("a"), chunk("b"), {"choices": []}], ["a", "b"]),
        (
            [
                {
                    "choices": [
                        {"message": {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}}
                    ]
                }
            ],
            ["f", "{"],
        ),
        ([{"choices": [{"message": {"reasoning": "r", "content": "a", "refusal": "no"}}]}], ["r", "a", "no"]),
        ([{"choices": [{"delta": {"reasoning": "r", "reasoning_content": "r"}}]}], ["r"]),
        ([{"choices": [{"text": "a"}], "model": "m"}], ["a"]),
        (
            [
                {"type": "message_start", "message": {"content": [], "model": "m", "id": "1"}},
                {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f", "input": {}}},
                {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
                {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "t"}},
                {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "s"}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            ],
            ["f", "{}", '{"a":1}', "t"],
        ),
        ([{"content": [{"type": "redacted_thinking", "data": "d"}, {"text": "a"}]}], ["a"]),
        (
            [
                {"type": "response.created", "response": {"instructions": "no", "output": [{"text": "no"}]}},
                {"type": "response.output_item.added", "item": {"type": "function_call", "name": "f", "arguments": ""}},
                {"type": "response.function_call_arguments.delta", "delta": "{}"},
                {"type": "response.function_call_arguments.done", "arguments": "{}"},
                {"type": "response.output_text.delta", "delta": "a"},
                {"type": "response.output_text.done", "text": "a"},
                {"type": "response.audio.delta", "delta": "UklGRg=="},
                {"type": "response.output_item.done", "item": {"content": [{"text": "a"}]}},
                {"type": "response.completed", "response": {"output": [{"content": [{"text": "a"}]}]}},
            ],
            ["f", "", "{}", "a"],
        ),
        (
            [
                {
                    "object": "response",
                    "instructions": "no",
                    "output": [
                        {"type": "reasoning", "summary": [{"text": "s"}]},
                        {"type": "mcp_call", "arguments": "{}", "name": "f", "output": "no"},
                        {"type": "file_search_call", "results": [{"text": "no"}]},
                        {"type": "apply_patch_call", "operation": {"diff": "+"}},
                        {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
                    ],
                }
            ],
            ["s", "{}", "f", '{"diff":"+"}', "a"],
        ),
        (
            [{"candidates": [{"content": {"parts": [{"text": "a"}, {"functionCall": {"name": "f", "args": {}}}]}}]}],
            ["a", "f", "{}"],
        ),
        ([{"output": {"message": {"content": [{"reasoningContent": {"reasoningText": {"text": "r"}}}]}}}], ["r"]),
        ([{"start": {"toolUse": {"name": "f"}}}, {"delta": {"toolUse": {"input": "{"}}}], ["f", "{"]),
        ([carried({"delta": {"text": "a"}}), carried({"outputText": "b"}), {"bytes": "a"}, {"bytes": "é"}], ["a", "b"]),
        ([{"bytes": b64encode(b"[]").decode()}], []),
        ([{"message": {"content": "a"}, "done": False}, {"response": "b", "thinking": "t"}], ["a", "b", "t"]),
        ([{"event_type": "text-generation", "text": "a"}, {"response": {"text": "a"}}], ["a"]),
        ([{"generations": [{"text": "a"}], "prompt": "no"}], ["a"]),
        ([{"results": [{"outputText": "a"}]}, {"completions": [{"data": {"text": "b"}}]}], ["a", "b"]),
        ([{"token": {"text": "a"}, "generated_text": "a"}], ["a"]),
        ([{"generated_text": "a", "details": {"tokens": [{"text": "a"}]}}], ["a"]),
        ([{"steps": [{"type": "model_output", "content": [{"text": "a"}]}]}], ["a"]),
        ([{"data": [{"embedding": "aaaa", "object": "embedding"}], "embeddings": [[0.5]]}], []),
        ([], []),
    ],
)
def test_what_the_model_wrote_is_found(answer: list[Document], expected: list[str]) -> None:
    """Texts, thoughts and tool calls are found in every format, streamed or not, and none of them twice."""
    assert expected == list(texts_of_answer(answer))


@given(DOCUMENTS, st.lists(DOCUMENTS, max_size=3))
def test_any_document_has_some_texts(request: Document, answer: list[Document]) -> None:
    """Whatever a document looks like, its texts are texts and nothing is raised."""
    assert all(isinstance(text, str) for text in [*texts_of_request(request), *texts_of_answer(answer)])


def test_depth_is_no_matter() -> None:
    """A document that is nested too deep to be written has what else is in it."""
    deep: Json = "a"
    for _ in range(100_000):
        deep = {"content": deep}

    assert ["a"] == list(texts_of_request({"messages": [deep]}))
    assert ["", "b"] == list(texts_of_request({"tools": deep, "prompt": "b"}))
