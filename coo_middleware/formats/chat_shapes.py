"""Both shapes of a chat completion: the `chat.completion` of JSON, and a stream of `chat.completion.chunk`.

Either is made of the other (https://platform.openai.com/docs/api-reference/chat-streaming), with ids, times and models
as they came. What cannot be carried over without loss is not carried over at all.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import Document, Json, canonical_json, read_json
from coo_middleware.core.format import Rendering
from coo_middleware.formats.answer import DONE, Frames, items_of
from coo_middleware.formats.choices import ChoicesReader
from coo_middleware.formats.fragments import ContradictionError, join_fragment, repeat_fragment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coo_middleware.core.framing import Event

_WHOLE: Final = "chat.completion"
_CHUNK: Final = "chat.completion.chunk"
# What every chunk says; all else that is no part of a choice is said by the first.
_HEAD: Final = frozenset({"id", "object", "created", "model", "system_fingerprint", "service_tier", "provider"})
# OpenAI's and Mistral's padding against a listener who measures chunks.
_PADDING: Final = frozenset({"obfuscation", "p"})
# Members of a choice of which a stream tells a piece at a time, as it does of its delta (Together, vLLM).
_GROWING: Final = frozenset({"logprobs", "text", "token_ids"})


def render_body(events: Sequence[Event]) -> bytes | None:
    """The JSON content that a whole stream adds up to.

    None where it is not whole, reports an error, or tells what cannot be put together: a second id or model, an object
    of another type, a label that changes.
    """
    try:
        return canonical_json(_assemble(_read_chunks(events)), ordered=True)
    # Infinite numbers and lone surrogates have no JSON either, and a document may be nested deeper than the stack.
    except (ValueError, RecursionError):
        return None


def render_stream(document: Document, include_usage: bool) -> bytes | None:
    """The content of a stream of events that adds up to `document`, but for its usage without `include_usage`.

    Each choice comes as its role, its whole message, and its finish reason. None where that would not add up to
    `document` again.
    """
    try:
        chunks = [canonical_json(chunk, ordered=True) for chunk in _cut(document, include_usage)]
        if _expected(document, include_usage) != _assemble(items_of([read_json(chunk) for chunk in chunks])):
            return None
        return b"".join(b"data: %b\n\n" % data for data in (*chunks, DONE.encode()))
    except (ValueError, RecursionError):
        return None


def _read_chunks(events: Sequence[Event]) -> list[Document]:
    frames = Frames()
    chunks = [chunk for chunk in map(frames.read, events) if chunk is not None]
    if frames.broken or frames.error:
        raise ContradictionError("no whole stream")
    return chunks


def _assemble(chunks: list[Document]) -> Document:
    """The answer that the chunks add up to. Raises ContradictionError, RecursionError."""
    reader = ChoicesReader()
    whole: Document = {}
    choices: dict[int, Document] = {}
    for chunk in chunks:
        reader.take(chunk)
        _take_head(whole, chunk)
        for choice in _list_of(chunk.get("choices")):
            _take_choice(choices, choice)
    outcome = reader.outcome()
    if outcome.error or not outcome.whole or whole.get("object") != _CHUNK:
        raise ContradictionError("no whole answer")
    _take_groq_usage(whole)
    ordered = [choices[index] for index in sorted(choices)]
    return {**whole, "object": _WHOLE, "choices": [_change_calls(choice, _order) for choice in ordered]}


def _list_of(value: Json) -> list[Json]:
    if value is None or isinstance(value, list):
        return value or []
    raise ContradictionError("choices that are no list")


def _take_head(whole: Document, chunk: Document) -> None:
    # Some servers (Ollama, TGI) give each chunk its own time; Azure's first has none.
    told = _PADDING | {"choices"} | ({"created"} if whole.get("created") else set())
    repeat_fragment(whole, {name: value for name, value in chunk.items() if name not in told})


def _take_choice(choices: dict[int, Document], choice: Json) -> None:
    index = choice.get("index") if isinstance(choice, dict) else None
    # Perplexity sends the message so far beside each delta.
    if not isinstance(choice, dict) or not isinstance(index, int) or "message" in choice:
        raise ContradictionError("no choice of a chunk")
    message: Document = {"role": "assistant"}
    whole = choices.setdefault(index, {"index": index, "message": message})
    for name, value in choice.items():
        if name == "delta":
            _take_delta(whole["message"], value)
        elif name in _GROWING:
            join_fragment(whole, {name: value})
        else:
            repeat_fragment(whole, {name: value})


def _take_delta(message: Json, delta: Json) -> None:
    if not isinstance(message, dict) or not isinstance(delta, dict | None):
        raise ContradictionError("a delta that is no object")
    if delta:
        _check_calls(items_of(message.get("tool_calls")), items_of(delta.get("tool_calls")))
        join_fragment(message, delta)


def _check_calls(told: list[Document], calls: list[Document]) -> None:
    """Gemini's compatible endpoint numbers no calls and sends each in one piece: it must be told from those before."""
    known = [call.get("id") for call in told]
    pieces = [call.get("id") for call in calls if call.get("index") is None]
    if told and any(not piece or piece in known for piece in pieces):
        raise ContradictionError("a piece of no certain tool call")


def _change_calls(choice: Json, change: Callable[[list[Document]], list[Json]]) -> Document:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ContradictionError("a choice without a message")
    calls = items_of(message.get("tool_calls"))
    if calls and calls != message["tool_calls"]:
        raise ContradictionError("tool calls of another kind")
    return {**choice, "message": {**message, "tool_calls": change(calls)}} if calls else choice


def _order(calls: list[Document]) -> list[Json]:
    """Tool calls in the order of their numbers, which only a stream needs."""
    numbers = [number for call in calls if isinstance(number := call.get("index"), int)]
    if len(set(numbers)) < len(numbers) or len(numbers) not in (0, len(calls)):
        raise ContradictionError("tool calls without an order")
    ordered = [call for _, call in sorted(zip(numbers, calls, strict=True), key=itemgetter(0))] if numbers else calls
    return [{name: value for name, value in call.items() if name != "index"} for call in ordered]


def _number(calls: list[Document]) -> list[Json]:
    return [{"index": place, **call} for place, call in enumerate(calls)]


def _unnumber(calls: list[Document]) -> list[Json]:
    """Mistral numbers the tool calls of its JSON, too."""
    return [
        {name: value for name, value in call.items() if name != "index" or value != place}
        for place, call in enumerate(calls)
    ]


def _take_groq_usage(whole: Document) -> None:
    """Groq's streams tell their usage in `x_groq`, its JSON where all do."""
    groq = whole.get("x_groq")
    if isinstance(groq, dict) and groq.get("usage") and not whole.get("usage"):
        whole["usage"] = groq.pop("usage")


def _expected(document: Document, include_usage: bool) -> Document:
    told: Document = {name: value for name, value in document.items() if include_usage or name != "usage"}
    return {**told, "choices": [_change_calls(choice, _unnumber) for choice in _list_of(document.get("choices"))]}


def _cut(document: Document, include_usage: bool) -> list[Document]:
    usage = document.get("usage") if include_usage else None
    head: Document = {name: value for name, value in document.items() if name in _HEAD} | {"object": _CHUNK}
    if include_usage and "usage" in document:
        head["usage"] = None
    first = {name: value for name, value in document.items() if name not in _HEAD and name not in ("choices", "usage")}
    pieces = [piece for choice in items_of(document.get("choices")) for piece in _cut_choice(choice)]
    chunks: list[Document] = [{**head, "choices": [piece]} for piece in pieces]
    chunks[:1] = [{**chunk, **first} for chunk in chunks[:1]]
    return chunks if usage is None else [*chunks, {**head, "choices": [], "usage": usage}]


def _cut_choice(choice: Document) -> tuple[Document, Document, Document]:
    """The role with all else that is said once, the message, the end."""
    message = _change_calls(choice, _number)["message"]
    delta = dict(message) if isinstance(message, dict) else {}
    once = {name: value for name, value in choice.items() if name != "message"}
    # The openai SDK (3.54) counts those twice that come with the first chunk of a second choice.
    logprobs: Document = {"logprobs": once["logprobs"]} if "logprobs" in once else {}
    place: Document = {"index": choice.get("index")}
    opening: Document = {**once, **dict.fromkeys(logprobs), "delta": {"role": delta.pop("role", None)}}
    middle: Document = {**place, "delta": delta, **logprobs, "finish_reason": None}
    return (
        {**opening, "finish_reason": None},
        middle,
        {**place, "delta": {}, "finish_reason": choice.get("finish_reason")},
    )


CHAT_RENDERING: Final = Rendering(body=render_body, stream=render_stream)
