"""OpenAI Responses."""

import time
from collections.abc import Iterator

from example_app.dialects.answer import Answer, Document
from example_app.dialects.frames import frame, new_id


def body(document: Document, answer: Answer) -> Document:
    """A completed `response`."""
    return _completed(_opened(document), answer, _finished(_item(answer), answer))


def events(document: Document, answer: Answer) -> Iterator[bytes]:
    """A response as a stream: numbered, named events, from `response.created` to `response.completed`; no `[DONE]`."""
    for number, event in enumerate(_events(document, answer)):
        yield frame({**event, "sequence_number": number}, str(event["type"]))


def error_frame(message: str) -> bytes:
    """The event that says that a stream has failed."""
    return frame({"type": "error", "code": "server_error", "message": message, "param": None}, "error")


def _events(document: Document, answer: Answer) -> Iterator[Document]:
    opened = _opened(document)
    yield {"type": "response.created", "response": opened}
    yield {"type": "response.in_progress", "response": opened}
    item = _item(answer)
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    place = {"item_id": item["id"], "output_index": 0}
    yield from _argument_events(place, answer) if answer.tool else _text_events(place, answer)
    finished = _finished(item, answer)
    yield {"type": "response.output_item.done", "output_index": 0, "item": finished}
    yield {"type": "response.completed", "response": _completed(opened, answer, finished)}


def _text_events(place: Document, answer: Answer) -> Iterator[Document]:
    place = {**place, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _part("")}
    for piece in answer.pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": answer.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _part(answer.text)}


def _argument_events(place: Document, answer: Answer) -> Iterator[Document]:
    kind = "response.function_call_arguments"
    for piece in answer.pieces:
        yield {"type": f"{kind}.delta", **place, "delta": piece}
    yield {"type": f"{kind}.done", **place, "arguments": answer.text, "name": answer.tool}


def _item(answer: Answer) -> Document:
    if answer.tool:
        call = {"arguments": "", "call_id": new_id("call_"), "name": answer.tool}
        return {"id": new_id("fc_"), "type": "function_call", "status": "in_progress", **call}
    return {"id": new_id("msg_"), "type": "message", "status": "in_progress", "content": [], "role": "assistant"}


def _finished(item: Document, answer: Answer) -> Document:
    content = {"arguments": answer.text} if answer.tool else {"content": [_part(answer.text)]}
    return {**item, "status": "completed", **content}


def _part(text: str) -> Document:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _opened(document: Document) -> Document:
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": document.get("instructions"),
        "metadata": document.get("metadata") or {},
        "model": document["model"],
        "output": [],
        "parallel_tool_calls": True,
        "temperature": document.get("temperature", 1.0),
        "tool_choice": document.get("tool_choice", "auto"),
        "tools": document.get("tools", []),
        "top_p": document.get("top_p", 1.0),
        "usage": None,
    }


def _completed(opened: Document, answer: Answer, item: Document) -> Document:
    usage = {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }
    return {**opened, "status": "completed", "output": [item], "usage": usage}
