"""How the upstream's answer differs from the stored one that would have been given in its place.

Nothing here says whether two texts mean the same: what is told can be counted and not argued about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.entry import reused_fields
from coo_middleware.core.estimate import texts_of_answer
from coo_middleware.core.exchange import Exchange
from coo_middleware.core.request import Headers
from coo_middleware.core.shape import Shape, render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coo_middleware.core.format import Format

Kind: TypeAlias = Literal["equal", "volatile", "members", "text", "tools", "finish"]

# What differs between any two answers to one request: identifiers, times, signatures, and what the work has cost.
_VOLATILE: Final = frozenset(
    {
        *("id", "created", "system_fingerprint", "service_tier", "obfuscation", "p", "x_groq", "time_info"),
        *("created_at", "completed_at", "call_id", "item_id", "encrypted_content", "signature", "expires_at"),
        *("responseId", "createTime", "modelVersion", "thoughtSignature", "generation_id", "response_id"),
        *("total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "metrics"),
        *("usage", "usageMetadata", "meta", "prompt_eval_count", "eval_count", "amazon-bedrock-invocationMetrics"),
    }
)
# The arguments of a tool call: whatever stands in them is the model's own word.
_ARGUMENTS: Final = frozenset({"input", "args", "arguments", "parameters"})
_CALLS: Final = frozenset({"function", "functionCall", "function_call", "toolUse", "tool_calls"})
_CALL_TYPES: Final = ("tool_use", "_call")
_BODY: Final = Shape(stream=False)


@dataclass(frozen=True, slots=True)
class Said:
    """A whole answer: its shape, its header section and its content, decoded."""

    shape: Shape
    headers: Headers
    content: bytes


@dataclass(frozen=True, slots=True)
class Divergence:
    """How two whole answers differ, by the gravest of what does: not at all (`equal`, byte for byte), in what differs
    every time (`volatile`), in `members` that are no text of the model's, in the `text`, in which `tools` are called,
    in what they ended for (`finish`).

    `length_ratio` is the shorter text's length by the longer one's, 1 where both are empty. Streams of a format that
    cannot be turned into bodies are compared by text, tools and finish alone.
    """

    kind: Kind
    length_ratio: float


@dataclass(frozen=True, slots=True)
class _Read:
    body: Json
    text: str
    tools: list[str]
    finish: list[str]


def compare_answers(fmt: Format, stored: Said, came: Said) -> Divergence | None:
    """How `came` differs from `stored`, None where one of them is nested too deep to be compared."""
    if stored.shape == came.shape and stored.content == came.content:
        return Divergence("equal", 1.0)
    try:
        a, b = _read(fmt, stored), _read(fmt, came)
        kind = _tell_kind(a, b)
    except RecursionError:
        return None
    longer = max(len(a.text), len(b.text))
    return Divergence(kind, min(len(a.text), len(b.text)) / longer if longer else 1.0)


def _tell_kind(a: _Read, b: _Read) -> Kind:
    if a.finish != b.finish:
        return "finish"
    if a.tools != b.tools:
        return "tools"
    if a.text != b.text:
        return "text"
    return "volatile" if a.body is None or b.body is None or a.body == b.body else "members"


def _read(fmt: Format, said: Said) -> _Read:
    exchange = Exchange(fmt, len(said.content), streams=said.shape.stream)
    exchange.start(200, reused_fields(said.headers))
    exchange.add(said.content, more=False)
    documents = exchange.documents()
    body = _body(fmt, said)
    told = [body] if isinstance(body, dict) else documents
    return _Read(
        body=_settle(body),
        text="".join(texts_of_answer(told)),
        tools=sorted(name for document in told for name in _tool_names(document)),
        finish=sorted(exchange.answer().outcome.finish_reasons),
    )


def _body(fmt: Format, said: Said) -> Json:
    """The answer as one JSON value, None where a stream cannot be made one."""
    content = said.content
    if said.shape.stream:
        rendered = render(fmt, content, said.shape, _BODY) if fmt.rendering else None
        return None if rendered is None else read_json(rendered)
    return read_json(content)


def _settle(value: Json) -> Json:
    """The value without what differs every time."""
    if isinstance(value, list):
        return [_settle(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: member for name, member in value.items() if name not in _VOLATILE}
    return {name: member if name in _ARGUMENTS else _settle(member) for name, member in kept.items()}


def _tool_names(node: Json, *, called: bool = False) -> Iterator[str]:
    """The names of the tools that are called anywhere in an answer."""
    if isinstance(node, list):
        for item in node:
            yield from _tool_names(item, called=called)
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    name = node.get("name")
    if isinstance(name, str) and (called or (isinstance(kind, str) and kind.endswith(_CALL_TYPES))):
        yield name
    yield from _names_below(node)


def _names_below(node: Document) -> Iterator[str]:
    for name, member in node.items():
        if name not in _ARGUMENTS:
            yield from _tool_names(member, called=name in _CALLS)
