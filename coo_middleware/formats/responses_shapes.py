"""OpenAI's responses in their other shape (https://platform.openai.com/docs/api-reference/responses-streaming)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Rendering
from coo_middleware.formats.answer import reports_error, text_of
from coo_middleware.formats.shapes import (
    LossError,
    lossless,
    need_object,
    need_objects,
    need_text,
    read_frames,
    write_events,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event

_ENDS: Final = ("completed", "incomplete")
_LAST: Final = ("response.completed", "response.incomplete", "response.failed")
# What a response says while it is made.
_EARLY: Final[Document] = {
    "status": "in_progress",
    "output": [],
    "usage": None,
    "completed_at": None,
    "incomplete_details": None,
}
# Members of items that are streamed, as they are at the start. Items of other types are given whole at once.
_EMPTY_ITEMS: Final[dict[str, Document]] = {
    "message": {"content": []},
    "reasoning": {"summary": [], "content": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
}
_EMPTY_PART: Final[Document] = {"text": "", "refusal": "", "annotations": [], "logprobs": []}
# The events of a call, and those of a part and its member that holds the text.
_CALLS: Final = {"arguments": "response.function_call_arguments", "input": "response.custom_tool_call_input"}
_TEXTS: Final = {
    "output_text": ("response.output_text", "text"),
    "refusal": ("response.refusal", "refusal"),
    "reasoning_text": ("response.reasoning_text", "text"),
    "summary_text": ("response.reasoning_summary_text", "text"),
}
# Items that the SDK tells apart by their call alone.
_BY_CALL: Final = ("function_call", "custom_tool_call", "shell_call", "shell_call_output")


@lossless
def render_body(events: Sequence[Event]) -> bytes:
    """The response in a stream's last event, with the items that were done where it repeats none of them."""
    frames = read_frames(events)
    last = frames[-1] if frames else {}
    response = dict(need_object(last, "response"))
    _check_end(response)
    kinds = [text_of(frame, "type") for frame in frames]
    if not kinds[-1:] == [kind for kind in kinds if kind in _LAST] == [f"response.{response['status']}"]:
        raise LossError("the stream does not end with its one end")
    if any(kind.startswith("response.audio") for kind in kinds):
        raise LossError("no response repeats the sound of its stream")
    response["output"] = _output(response, frames)
    return write_json(response)


@lossless
def render_stream(document: Document, _: bool) -> bytes:
    """A stream that ends with a response, each text in one piece. Usage is always a part of it."""
    _check_end(document)
    identities = [_identity(item) for item in need_objects(document, "output")]
    if len(identities) != len(set(identities)):
        raise LossError("clients could not tell the items apart")
    return write_events({**frame, "sequence_number": place} for place, frame in enumerate(_frames(document)))


RESPONSES_RENDERING: Final = Rendering(body=render_body, stream=render_stream)


def _check_end(response: Document) -> None:
    if response.get("status") not in _ENDS or reports_error(response):
        raise LossError("the response has not ended, or has failed")


def _output(response: Document, frames: Iterable[Document]) -> list[Json]:
    """The items of a response, or those that were done where it repeats none of them (ChatGPT's own endpoint)."""
    done = _done_items(frames)
    items: list[Json] = [done[index] for index in sorted(done)]
    if not response.get("output"):
        if {index for frame in frames if isinstance(index := frame.get("output_index"), int)} - done.keys():
            raise LossError("an item was not done")
        return items
    output: list[Json] = [*need_objects(response, "output")]
    # Where the end tells an item otherwise than the item's own end did, one of them has lost something.
    if items and items != output:
        raise LossError("the response is not what its items were")
    return output


def _done_items(frames: Iterable[Document]) -> dict[int, Document]:
    """The items that were done, by their index; indices may have gaps."""
    done: dict[int, Document] = {}
    for frame in frames:
        if frame.get("type") == "response.output_item.done":
            index = frame.get("output_index")
            if not isinstance(index, int) or index in done:
                raise LossError("an item has no index of its own")
            done[index] = need_object(frame, "item")
    return done


def _identity(item: Document) -> tuple[str, str, str]:
    kind = text_of(item, "type")
    return kind, "" if kind in _BY_CALL else text_of(item, "id"), text_of(item, "call_id")


def _frames(document: Document) -> Iterator[Document]:
    early = {**document, **{name: value for name, value in _EARLY.items() if name in document}}
    yield {"type": "response.created", "response": early}
    yield {"type": "response.in_progress", "response": early}
    for index, item in enumerate(need_objects(document, "output")):
        yield from _item_frames(index, item)
    yield {"type": f"response.{document['status']}", "response": document}


def _item_frames(index: int, item: Document) -> Iterator[Document]:
    empty = _EMPTY_ITEMS.get(need_text(item, "type"), {})
    start = {**item, **_emptied(item, empty), **({"status": "in_progress"} if "status" in item else {})}
    yield {"type": "response.output_item.added", "output_index": index, "item": start}
    for name in filter(item.__contains__, empty):
        place: Document = {"item_id": need_text(item, "id"), "output_index": index}
        yield from _call_frames(item, name, place) if name in _CALLS else _part_frames(item, name, place)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _emptied(members: Document, empty: Document) -> Document:
    """The members that are filled by later events, as they are at the start."""
    return {name: value for name, value in empty.items() if members.get(name)}


def _call_frames(item: Document, name: str, place: Document) -> Iterator[Document]:
    """The arguments of a function, or the input of a custom tool."""
    text = need_text(item, name)
    yield {"type": f"{_CALLS[name]}.delta", **place, "delta": text}
    yield {"type": f"{_CALLS[name]}.done", **place, name: text}


def _part_frames(item: Document, name: str, place: Document) -> Iterator[Document]:
    """The parts of a message, of a reasoning and of its summary."""
    prefix, index = ("reasoning_summary", "summary_index") if name == "summary" else ("content", "content_index")
    parts = need_objects(item, name) if item[name] is not None else []
    for part_index, part in enumerate(parts):
        here: Document = {**place, index: part_index}
        known = need_text(part, "type") in _TEXTS
        yield {
            "type": f"response.{prefix}_part.added",
            **here,
            "part": {**part, **_emptied(part, _EMPTY_PART)} if known else part,
        }
        if known:
            yield from _text_frames(part, here)
        yield {"type": f"response.{prefix}_part.done", **here, "part": part}


def _text_frames(part: Document, place: Document) -> Iterator[Document]:
    """The text of a part in one piece, and what is noted on it."""
    kind = need_text(part, "type")
    events, name = _TEXTS[kind]
    text = need_text(part, name)
    beside: Document = {"logprobs": part.get("logprobs") or []} if kind == "output_text" else {}
    if text:
        yield {"type": f"{events}.delta", **place, "delta": text, **beside}
    notes = need_objects(part, "annotations") if part.get("annotations") else []
    for note_index, note in enumerate(notes):
        yield {"type": f"{events}.annotation.added", **place, "annotation_index": note_index, "annotation": note}
    yield {"type": f"{events}.done", **place, name: text, **beside}
