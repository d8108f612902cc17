"""Anthropic Messages."""

import json
from collections.abc import Iterator

from example_app.dialects.answer import Answer, Document
from example_app.dialects.frames import frame, new_id


def body(document: Document, answer: Answer) -> Document:
    """A `message`."""
    block = _block(answer, json.loads(answer.text) if answer.tool else answer.text)
    usage = _usage(answer, answer.output_tokens)
    return _message(document, [block], stop_reason=_stop_reason(answer), usage=usage)


def events(document: Document, answer: Answer) -> Iterator[bytes]:
    """A message as a stream: one content block, a `ping`, usage in `message_start` and, final, in `message_delta`."""
    message = _message(document, [], stop_reason=None, usage=_usage(answer, 1))
    yield _named({"type": "message_start", "message": message})
    block = _block(answer, {} if answer.tool else "")
    yield _named({"type": "content_block_start", "index": 0, "content_block": block})
    yield _named({"type": "ping"})
    for piece in answer.pieces:
        yield _named({"type": "content_block_delta", "index": 0, "delta": _delta(answer, piece)})
    yield _named({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": end, "usage": {"output_tokens": answer.output_tokens}})
    yield _named({"type": "message_stop"})


def _message(document: Document, content: list[Document], *, stop_reason: str | None, usage: Document) -> Document:
    return {
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": document["model"],
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _block(answer: Answer, content: object) -> Document:
    if answer.tool:
        return {"type": "tool_use", "id": new_id("toolu_"), "name": answer.tool, "input": content}
    return {"type": "text", "text": content}


def _delta(answer: Answer, piece: str) -> Document:
    if answer.tool:
        return {"type": "input_json_delta", "partial_json": piece}
    return {"type": "text_delta", "text": piece}


def _usage(answer: Answer, output_tokens: int) -> Document:
    return {
        "input_tokens": answer.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.tool else "end_turn"


def _named(data: Document) -> bytes:
    return frame(data, str(data["type"]))
