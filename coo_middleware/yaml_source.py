"""A configuration file as plain values with their lines: the part of YAML that every reader understands alike.

Scalars that stand bare are `true`, `false`, `null`, `~`, a decimal integer, a decimal fraction, or else a text; YAML
1.1's `yes`, `012`, `1_000`, `12:30` and dates are texts. Anchors, aliases, merge keys, tags, doubled names and second
documents are refused. Variables of the environment are put in after the parsing, so no value can change the structure.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, cast

import yaml
from yaml.composer import ComposerError

from coo_middleware.faults import MAX_DEPTH, Fault, FieldPath, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coo_middleware.core.document import Json

MAX_BYTES: Final = 262_144

_CONSTANTS: Final[dict[str, bool | None]] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_FRACTION: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})\.[0-9]{1,100}")
_VARIABLE: Final = re.compile(r"\$(?:\$|\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\})?)")
# What PyYAML quotes is a piece of the file; only its own words and marks of punctuation may be repeated.
_QUOTED: Final = re.compile(r"'(?P<own>[^'\w]*|<[^']*>)'|'[^']*'")


class _RefusedError(Exception):
    """The scalar has no value; the text says why and is safe to show."""


def read_yaml(path: str | os.PathLike[str]) -> Source:
    """The file's values, with `${NAME}`, `${NAME:-default}` and `$$` replaced. Never raises for what the file holds:
    whatever is wrong with it stands in the source's faults, and a file without a mapping has an empty tree.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:  # noqa: PTH123
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "the path is not valid"
        return _refused(name, Fault((), f"cannot be read: {reason}"))
    return parse_yaml(name, raw)


def parse_yaml(name: str, raw: bytes) -> Source:
    """As `read_yaml`, for content that is already in memory; `name` stands in the messages."""
    text = _decode(raw)
    node = _compose(text) if isinstance(text, str) else text
    if isinstance(node, Fault):
        return _refused(name, node)
    reading = _Reading()
    tree = reading.read_members(node, ())
    return Source(name, tree, reading.lines, tuple(reading.faults))


def _refused(name: str, fault: Fault) -> Source:
    return Source(name, {}, faults=(fault,))


def _decode(raw: bytes) -> str | Fault:
    if len(raw) > MAX_BYTES:
        return Fault((), f"is longer than {MAX_BYTES // 1024} KiB; a configuration is a short file")
    if raw.startswith(b"\xef\xbb\xbf"):
        return Fault((), "begins with a byte order mark; save it as UTF-8 without one")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        return Fault((), "is not UTF-8; save it as UTF-8", raw.count(b"\n", 0, error.start) + 1)


def _compose(text: str) -> yaml.MappingNode | Fault:
    try:
        node = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        return _syntax_fault(error)
    except yaml.reader.ReaderError as error:
        return Fault((), "holds a control character; remove it", text.count("\n", 0, error.position) + 1)
    except (ValueError, OverflowError):
        return Fault((), "holds an escape or a directive whose number is out of range")
    if node is None or (isinstance(node, yaml.ScalarNode) and node.style is None and node.value in {"", "~", "null"}):
        return Fault((), "is empty; write `storage:` or `policy:`, or give no configuration to get the defaults")
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        return Fault((), f"must be a mapping that begins with `storage:` or `policy:`, got {kind}", _line(node))
    return node


def _syntax_fault(error: yaml.MarkedYAMLError) -> Fault:
    context = f"{error.context} (line {error.context_mark.line + 1}), " if error.context and error.context_mark else ""
    text = f"{context}{error.problem}"
    if r"'\t'" in text:
        text += "; indent with spaces"
    elif not isinstance(error, ComposerError):
        text += "; a text with punctuation belongs in quotes"
    mark = error.problem_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    shown = _QUOTED.sub(lambda match: "text" if match["own"] is None else match[0], text)
    return Fault((), shown, line, column)


class _Composer(yaml.SafeLoader):
    """Composes nodes and constructs nothing. What could repeat, retype or deepen the file ends the reading at once."""

    depth: int = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if refusal := _refusal(event, self.depth):
            raise ComposerError(None, None, refusal, event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _refusal(event: yaml.Event, depth: int) -> str:
    if getattr(event, "anchor", None) is not None:
        return "anchors and aliases are not read; write the value out, or in quotes if it is a text"
    if getattr(event, "tag", None) is not None:
        return "tags are not read; write the value alone, or in quotes if it is a text"
    return f"is nested deeper than {MAX_DEPTH} levels; no field lies so deep" if depth >= MAX_DEPTH else ""


class _Reading:
    """Walks the nodes, and gathers lines and faults on its way."""

    def __init__(self) -> None:
        self.lines: dict[FieldPath, int] = {}
        self.faults: list[Fault] = []

    def read_members(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Json]:
        tree: dict[str, Json] = {}
        for name_node, value_node in node.value:
            name, line = name_node.value, _line(name_node)
            if refusal := self._refuse_name(name_node, path):
                where = (*path, name) if isinstance(name, str) else path
                self.faults.append(Fault(where, refusal, line))
                continue
            self.lines[*path, name] = line
            tree.update((name, value) for value in self._read(value_node, (*path, name), line))
        return tree

    def _refuse_name(self, node: yaml.Node, path: FieldPath) -> str:
        if not isinstance(node, yaml.ScalarNode):
            return "holds a name that is no text; write `name: value`"
        if node.value == "<<":
            return "merge keys are not read; write the values out"
        first = self.lines.get((*path, node.value))
        return f"stands on line {first} and again on line {_line(node)}; remove one" if first else ""

    def _read(self, node: yaml.Node, path: FieldPath, line: int) -> Iterator[Json]:
        """The node's value, or nothing where it has a fault."""
        if isinstance(node, yaml.MappingNode):
            yield self.read_members(node, path)
        elif isinstance(node, yaml.SequenceNode):
            yield self._read_items(node, path)
        else:
            try:
                yield _read_scalar(cast("yaml.ScalarNode", node))
            except _RefusedError as refusal:
                self.faults.append(Fault(path, str(refusal), line))

    def _read_items(self, node: yaml.SequenceNode, path: FieldPath) -> list[Json]:
        items: list[Json] = []
        for place, item in enumerate(node.value):
            line = self.lines[*path, place] = _line(item)
            items.extend(self._read(item, (*path, place), line))
        return items


def _read_scalar(node: yaml.ScalarNode) -> Json:
    text = _VARIABLE.sub(_replace, node.value)
    if node.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) else text


def _replace(match: re.Match[str]) -> str:
    name, default = match["name"], match["default"]
    if match[0] == "$$":
        return "$"
    if name is None:
        raise _RefusedError("`${` begins no variable; write ${NAME} or ${NAME:-default}, or $${ for the text itself")
    value = os.environ.get(name)
    if default is not None:
        return value or str(default[2:])
    if value is None:
        raise _RefusedError(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
    return value


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
