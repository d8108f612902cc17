"""The text of requests and answers, for an estimate of tokens where a provider reports none.

It is found by the names of its members, whatever the format. Images, sound and files are not in it, nor what a
provider adds to a prompt or thinks unseen.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from coo_middleware.core.document import Document, Json


@dataclass(frozen=True, slots=True)
class _Names:
    """The members that are looked at: `roots` at the top, `texts` and `holders` below it; a holder is no text itself.
    `wholes` are read with all their names and values when they are objects.
    """

    roots: frozenset[str]
    texts: frozenset[str]
    holders: frozenset[str]
    wholes: frozenset[str]


# At the top of a request, and read whole whatever they are.
_DEFINITIONS: Final = frozenset({"documents", "functions", "response_format", "toolConfig", "tool_results", "tools"})
_CALLS: Final = frozenset({"args", "arguments", "input", "parameters"})
_ASKED: Final = _Names(
    roots=frozenset({"chat_history", "content", "contents", "input", "inputText", "inputs", "instances", "instruction"})
    | {"instructions", "message", "messages", "preamble", "prompt", "query", "requests", "suffix", "system"}
    | {"systemInstruction", "system_instruction", "texts"},
    texts=frozenset({"arguments", "content", "input", "message", "name", "output", "prompt", "result", "text"}),
    holders=frozenset({"function", "functionCall", "functionResponse", "function_call", "guardContent", "messages"})
    | {"parts", "toolResult", "toolUse", "tool_calls"},
    wholes=_CALLS | {"json", "response"},
)
_ANSWERED: Final = _Names(
    roots=frozenset({"candidates", "choices", "completion", "completions", "content", "contentBlockDelta"})
    | {"contentBlockStart", "content_block", "delta", "generated_text", "generation", "generations", "item"}
    | {"message", "output", "outputText", "outputs", "response", "results", "start", "step", "steps", "text"}
    | {"thinking", "token", "tool_calls"},
    texts=frozenset({"arguments", "code", "content", "input", "name", "outputText", "partial_json", "reasoning"})
    | {"reasoning_content", "refusal", "text", "thinking", "tool_plan"},
    holders=frozenset({"data", "delta", "executableCode", "function", "functionCall", "function_call", "message"})
    | {"parts", "reasoningContent", "reasoningText", "start", "summary", "toolUse", "tool_calls"},
    wholes=_CALLS | {"operation"},
)
# Members that repeat another one beside them: vLLM's former name, the last event of Text Generation Inference.
_REPEATS: Final = {"reasoning": "reasoning_content", "generated_text": "token"}


def texts_of_request(document: Document) -> Iterator[str]:
    """The texts that a request gives the model to read; tools, schemas and arguments as JSON."""
    yield from (_write(document[name]) for name in document if name in _DEFINITIONS)
    yield from _walk(document, _ASKED)


def texts_of_answer(documents: Iterable[Document]) -> Iterator[str]:
    """The texts that a model wrote, from the objects of a stream or from a body, each once and in their order; the
    arguments of tool calls as JSON.
    """
    for document in documents:
        told = _unpack(document)
        if not _repeats(told):
            yield from _walk(told, _ANSWERED)


def _walk(document: Document, names: _Names) -> Iterator[str]:
    pending = [document[name] for name in reversed(document) if name in names.roots and not _is_repeat(document, name)]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, list):
            pending.extend(reversed(node))
        elif isinstance(node, dict):
            pending.extend(_read(node, name, names) for name in reversed(node))


def _read(node: Document, name: str, names: _Names) -> Json:
    """The member's text, what holds text, or None."""
    value = node[name]
    if name in names.wholes and isinstance(value, dict):
        return _write(value)
    if name in names.holders:
        return None if isinstance(value, str) else value
    return value if name in names.texts and not _is_repeat(node, name) else None


def _write(value: Json) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return ""


def _is_repeat(node: Document, name: str) -> bool:
    return name in _REPEATS and _REPEATS[name] in node


def _unpack(document: Document) -> Document:
    """Bedrock's chunks carry the vendor's own object in base64."""
    carried = document.get("bytes")
    if not isinstance(carried, str):
        return document
    try:
        told = read_json(b64decode(carried))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _repeats(document: Document) -> bool:
    """Whether an event tells again what others have told, the whole response or a part of it, or is sound."""
    kind = document.get("type")
    return isinstance(document.get("response"), dict) or (
        isinstance(kind, str) and kind.startswith("response.") and kind.endswith((".done", "audio.delta"))
    )
