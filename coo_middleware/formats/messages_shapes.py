"""Anthropic's messages in their other shape (https://docs.claude.com/en/docs/build-with-claude/streaming).

A block, a delta, an event or a member of an event that is not known here is a loss, but for a block that comes without
deltas: such a one is whole at its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.format import Rendering
from coo_middleware.core.outcome import tokens
from coo_middleware.formats.answer import text_of
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

    from coo_middleware.core.framing import Event

_CALLS: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
# The blocks that a delta adds to, and what it says. An estimate is shown while a block is thought, and is no part of
# it.
_DELTAS: Final = {
    "text_delta": ({"text"}, {"text"}),
    "citations_delta": ({"text"}, {"citation"}),
    "thinking_delta": ({"thinking"}, {"thinking", "estimated_tokens"}),
    "signature_delta": ({"thinking"}, {"signature"}),
    "compaction_delta": ({"compaction"}, {"content", "encrypted_content"}),
    "input_json_delta": (_CALLS, {"partial_json"}),
}
# Members of blocks that come in deltas, as they are at the start.
_EMPTY: Final[dict[str, Document]] = {
    "text": {"text": "", "citations": []},
    "thinking": {"thinking": "", "signature": ""},
    "compaction": {"content": None, "encrypted_content": None},
    **{kind: {"input": {}} for kind in _CALLS},
}
# Members of a message that `message_delta` tells: within its delta, and beside it.
_ENDS: Final = ("stop_reason", "stop_sequence", "stop_details", "container")
_BESIDE: Final = ("context_management", "input_transformations")
# Members of the usage that `message_delta` tells, and those that it alone tells.
_LATE: Final = ("output_tokens_details", "server_tool_use", "iterations", "fallback_credit")
_COUNTS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens", *_LATE)
# `p` is Bedrock's padding; its metrics repeat what the usage tells.
_MEMBERS: Final = frozenset(
    {"type", "index", "message", "content_block", "delta", "usage", *_BESIDE, "p", "amazon-bedrock-invocationMetrics"}
)


@lossless
def render_body(events: Sequence[Event]) -> bytes:
    """The message that a stream adds up to. As in the SDK, the counters of `message_delta` are totals, and an absent or
    null one leaves what is known; unlike in the SDK, all of them are taken.
    """
    return write_json(_add_up(read_frames(events)))


@lossless
def render_stream(document: Document, _: bool) -> bytes:
    """A stream that adds up to a message, each block in one piece. Usage is always a part of it."""
    frames = list(_frames(document))
    if _add_up(frames) != document:
        raise LossError("the stream would add up to something else")
    return write_events(frames)


MESSAGES_RENDERING: Final = Rendering(body=render_body, stream=render_stream)


def _add_up(frames: Iterable[Document]) -> Document:
    """The message in a stream's frames, which stay as they are."""
    told = [frame for frame in frames if frame.get("type") != "ping"]
    if any(frame.keys() - _MEMBERS for frame in told):
        raise LossError("an event has a member that is not known")
    kinds = [frame.get("type") for frame in told]
    if kinds[:1] != ["message_start"] or kinds[-1] != "message_stop":
        raise LossError("the stream is not whole")
    sum_ = _Sum(need_object(told[0], "message"))
    for frame in told[1:-1]:
        sum_.take(frame)
    return sum_.message()


class _Sum:
    """A message, from its start on. Blocks come one after the other."""

    __slots__ = ("_block", "_content", "_message", "_usage")

    def __init__(self, start: Document) -> None:
        if start.get("content") != []:
            raise LossError("a message starts with content")
        self._message = dict(start)
        self._usage = dict(need_object(start, "usage")) if start.get("usage") is not None else {}
        self._content: list[Json] = []
        self._block: _Block | None = None

    def take(self, frame: Document) -> None:
        kind = frame.get("type")
        if kind == "message_delta":
            self._take_message(frame)
        elif frame.get("index") != len(self._content):
            raise LossError("an event is not of the block that is open")
        elif kind == "content_block_start" and self._block is None:
            self._block = _Block(need_object(frame, "content_block"))
        elif kind == "content_block_delta" and self._block is not None:
            self._block.take(need_object(frame, "delta"))
        elif kind == "content_block_stop" and self._block is not None:
            self._close_block(self._block.members())
        else:
            raise LossError("an event is not known, or comes where none is expected")

    def message(self) -> Document:
        if self._block is not None or not text_of(self._message, "stop_reason"):
            raise LossError("the message has not ended")
        self._message["content"] = self._content
        if self._usage or "usage" in self._message:
            self._message["usage"] = self._usage
        return self._message

    def _take_message(self, frame: Document) -> None:
        delta = need_object(frame, "delta")
        if delta.keys() - {*_ENDS}:
            raise LossError("the end of the message has a member that is not known")
        _merge(self._message, delta)
        _merge(self._message, {name: frame[name] for name in _BESIDE if name in frame})
        if frame.get("usage") is not None:
            _merge(self._usage, need_object(frame, "usage"))

    def _close_block(self, members: Document) -> None:
        if members.get("type") == "fallback":
            # The body names the model that has answered at last, the stream's start the one that was asked.
            self._message["model"] = need_text(need_object(members, "to"), "model")
        self._content.append(members)
        self._block = None


class _Block:
    """A content block, from its start on. What a text or a thought says stands under the name of its kind."""

    __slots__ = ("_arguments", "_kind", "_members", "_pieces")

    def __init__(self, start: Document) -> None:
        self._kind = need_text(start, "type")
        self._members = dict(start)
        self._pieces: list[str] = []
        self._arguments: list[str] = []

    def take(self, delta: Document) -> None:
        kind = need_text(delta, "type")
        blocks, members = _DELTAS.get(kind, ((), set()))
        if self._kind not in blocks or delta.keys() - members - {"type"}:
            raise LossError("a delta is not known for its block, or has a member that is not known")
        if kind == "input_json_delta":
            self._arguments.append(need_text(delta, "partial_json"))
        elif kind == "citations_delta":
            self._members["citations"] = [*self._citations(), need_object(delta, "citation")]
        elif kind in ("text_delta", "thinking_delta"):
            self._pieces.append(need_text(delta, self._kind))
        else:
            self._set(delta)

    def members(self) -> Document:
        if self._pieces:
            self._members[self._kind] = need_text(self._members, self._kind) + "".join(self._pieces)
        arguments = "".join(self._arguments)
        if arguments:
            self._set({"input": read_json(arguments)})
            need_object(self._members, "input")
        return self._members

    def _citations(self) -> list[Document]:
        return need_objects(self._members, "citations") if self._members.get("citations") is not None else []

    def _set(self, delta: Document) -> None:
        """Takes what is told once, whole."""
        for name in delta.keys() - {"type"}:
            if self._members.get(name):
                raise LossError("a member is told twice")
            self._members[name] = delta[name]


def _merge(members: Document, later: Document) -> None:
    members.update({name: value for name, value in later.items() if value is not None or name not in members})


def _frames(document: Document) -> Iterator[Document]:
    usage = need_object(document, "usage")
    if tokens(usage.get("output_tokens")) is None:
        raise LossError("the usage tells no output, which clients read without asking whether it is there")
    ends: Document = {name: document[name] for name in _ENDS if name in document}
    edits = {name: document[name] for name in _BESIDE[:1] if name in document}
    early = {name: value for name, value in usage.items() if name not in _LATE}
    start = {**document, **dict.fromkeys((*ends, *edits)), "content": [], "usage": {**early, "output_tokens": 0}}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(need_objects(document, "content")):
        yield from _block_frames(index, block)
    counts: Document = {name: usage[name] for name in _COUNTS if name in usage}
    yield {"type": "message_delta", "delta": ends, "usage": counts, **edits}
    yield {"type": "message_stop"}


def _block_frames(index: int, block: Document) -> Iterator[Document]:
    kind = need_text(block, "type")
    empty = _EMPTY.get(kind, {})
    streamed: Document = {name: value for name, value in block.items() if name in empty and value}
    start = {**block, **{name: empty[name] for name in streamed}}
    yield {"type": "content_block_start", "index": index, "content_block": start}
    for delta in _deltas(streamed) if kind != "compaction" else _compaction_deltas(block, streamed):
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _compaction_deltas(block: Document, streamed: Document) -> Iterator[Document]:
    """One delta with both members: to the SDK one that is not told is null."""
    if streamed:
        yield {"type": "compaction_delta", **{name: block[name] for name in _EMPTY["compaction"] if name in block}}


def _deltas(streamed: Document) -> Iterator[Document]:
    """What fills a block: citations before their text and a signature after its thought, as on the wire."""
    if "citations" in streamed:
        for citation in need_objects(streamed, "citations"):
            yield {"type": "citations_delta", "citation": citation}
    for name in ("text", "thinking", "signature"):
        if name in streamed:
            yield {"type": f"{name}_delta", name: streamed[name]}
    if "input" in streamed:
        yield {"type": "input_json_delta", "partial_json": write_json(streamed["input"]).decode()}
