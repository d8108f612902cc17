"""OpenAI Chat Completions."""

import time
from collections.abc import Iterator

from example_app.dialects.answer import Answer, Document
from example_app.dialects.frames import DONE, frame, new_id


def body(document: Document, answer: Answer) -> Document:
    """A `chat.completion`."""
    message: Document = {"role": "assistant", "content": None if answer.tool else answer.text, "refusal": None}
    if answer.tool:
        message["tool_calls"] = [_tool_call(answer.tool, answer.text)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {**_envelope(document, "chat.completion"), "choices": [choice], "usage": usage(answer)}


def events(document: Document, answer: Answer) -> Iterator[bytes]:
    """A stream of `chat.completion.chunk`, its usage at the end where `stream_options.include_usage` asks for it."""
    envelope = _envelope(document, "chat.completion.chunk")
    if asked := asks_for_usage(document):
        envelope["usage"] = None
    for delta in _deltas(answer):
        yield frame({**envelope, "choices": [_choice(delta, None)]})
    yield frame({**envelope, "choices": [_choice({}, _finish_reason(answer))]})
    if asked:
        yield frame({**envelope, "choices": [], "usage": usage(answer)})
    yield DONE


def usage(answer: Answer) -> Document:
    """The usage object of the chat and completion formats."""
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def asks_for_usage(document: Document) -> bool:
    """Whether a stream is to end with its usage, which it does not by default."""
    options = document.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _envelope(document: Document, kind: str) -> Document:
    return {
        "id": new_id("chatcmpl-"),
        "object": kind,
        "created": int(time.time()),
        "model": document["model"],
        "system_fingerprint": None,
    }


def _deltas(answer: Answer) -> Iterator[Document]:
    if answer.tool:
        opening = {"index": 0, **_tool_call(answer.tool, "")}
        yield {"role": "assistant", "content": None, "tool_calls": [opening]}
        for piece in answer.pieces:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
    else:
        yield {"role": "assistant", "content": "", "refusal": None}
        for piece in answer.pieces:
            yield {"content": piece}


def _choice(delta: Document, finish_reason: str | None) -> Document:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _tool_call(name: str, arguments: str) -> Document:
    return {"id": new_id("call_"), "type": "function", "function": {"name": name, "arguments": arguments}}


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.tool else "stop"
