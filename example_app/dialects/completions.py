"""OpenAI Completions, the format before chat."""

import time
from collections.abc import Iterator

from example_app.dialects.answer import Answer, Document
from example_app.dialects.chat import asks_for_usage, usage
from example_app.dialects.frames import DONE, frame, new_id


def body(document: Document, answer: Answer) -> Document:
    """A `text_completion`."""
    return {**_envelope(document), "choices": [_choice(answer.text, "stop")], "usage": usage(answer)}


def events(document: Document, answer: Answer) -> Iterator[bytes]:
    """A stream of `text_completion`, with the usage at the end where `stream_options.include_usage` asks for it."""
    envelope = _envelope(document)
    if asked := asks_for_usage(document):
        envelope["usage"] = None
    for piece in answer.pieces:
        yield frame({**envelope, "choices": [_choice(piece, None)]})
    yield frame({**envelope, "choices": [_choice("", "stop")]})
    if asked:
        yield frame({**envelope, "choices": [], "usage": usage(answer)})
    yield DONE


def _envelope(document: Document) -> Document:
    return {
        "id": new_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": document["model"],
    }


def _choice(text: str, finish_reason: str | None) -> Document:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
