"""What the built-in upstream says: the same to the same prompt, whatever the wire format."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

Document = dict[str, object]

_PROMPTS = ("system", "instructions", "messages", "input", "prompt")
_SAMPLES: dict[object, object] = {"string": "example", "integer": 1, "number": 1.5, "boolean": True, "array": []}


@dataclass(frozen=True, slots=True)
class Answer:
    """Words of text, or fragments of the JSON arguments of a call of `tool`; each piece counts as one token."""

    pieces: tuple[str, ...]
    tool: str | None
    input_tokens: int

    @property
    def text(self) -> str:
        """The whole text, or the whole arguments."""
        return "".join(self.pieces)

    @property
    def output_tokens(self) -> int:
        """One for each piece."""
        return len(self.pieces)


def answer(document: Document) -> Answer:
    """The answer to a request document: a call of its first tool where the last text says "use the tool", else text."""
    prompts = [text for name in _PROMPTS for text in _texts(document.get(name))]
    last = prompts[-1] if prompts else ""
    count = sum(len(text.split()) for text in prompts)
    tools = document.get("tools")
    if isinstance(tools, list) and tools and "use the tool" in last.lower():
        name, arguments = _call(tools[0])
        return Answer(tuple(re.findall(r".{1,8}", arguments)), name, count)
    said = f"The upstream read {count} words, and these came last: {' '.join(last.split()[-8:])}"
    return Answer(tuple(re.findall(r"\S+\s*", said)), None, count)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from _texts(value.get("content"))
        yield from _texts(value.get("text"))


def _call(tool: Document) -> tuple[str, str]:
    # OpenAI chat nests the function; Responses and Anthropic do not.
    function = _member(tool, "function") or tool
    schema = _member(function, "parameters") or _member(function, "input_schema")
    properties = _member(schema, "properties")
    arguments = {name: _SAMPLES.get(_member(properties, name).get("type"), {}) for name in properties}
    return str(function["name"]), json.dumps(arguments)


def _member(parent: Document, name: str) -> Document:
    member = parent.get(name)
    return member if isinstance(member, dict) else {}
