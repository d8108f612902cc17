"""What is wrong with a configuration, said with file, line and field, and never with a value."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

FieldPath: TypeAlias = tuple[str | int, ...]

MAX_DEPTH: Final = 16

_SHOWN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,23}")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_KINDS: Final[dict[type, str]] = {str: "a text", list: "a list", dict: "a section", type(None): "null"}
_RULES: Final = {
    "bool_type": "must be true or false, without quotes",
    "dataclass_type": "must be a section of names and values",
    "float_type": "must be a number such as 10 or 0.5, without quotes",
    "greater_than": "must be greater than {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "int_type": "must be a whole number such as 10, without quotes",
    "less_than_equal": "must be at most {le:.12g}",
    "literal_error": "must be one of {expected}",
    "too_long": "must have at most {max_length} items",
    "string_too_long": "must have at most {max_length} characters",
    "string_type": "must be a text in quotes",
    "tuple_type": "must be a list such as [a, b]",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`text` says what is wrong with the field at `path`, and the way out; it repeats no value. Line and column count
    from 1; 0 is unknown.
    """

    path: FieldPath
    text: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """What a configuration's source holds: the values, the line of each field, and what could not be read. `name` is
    what messages call it.
    """

    name: str
    tree: object = field(repr=False)
    lines: dict[FieldPath, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def describe(self, faults: Iterable[Fault]) -> str:
        """One line for each fault, in the order of the source's lines."""
        ordered = sorted(faults, key=self._line)
        return "\n".join(self._describe(fault) for fault in ordered)

    def _describe(self, fault: Fault) -> str:
        place = "".join(f":{each}" for each in (self._line(fault), fault.column) if each)
        return ": ".join(each for each in (f"{self.name}{place}", _dotted(fault.path), fault.text) if each)

    def _line(self, fault: Fault) -> int:
        """Where no line is known, that of the nearest section around the field."""
        path = fault.path
        while path and path not in self.lines:
            path = path[:-1]
        return fault.line or self.lines.get(path, 0)


def explain_rule(rule: str, path: FieldPath, value: object, limits: Mapping[str, object]) -> Fault:
    """The fault of a field that breaks one of pydantic's rules (docs.pydantic.dev, validation errors)."""
    return Fault(path, f"{_RULES.get(rule, 'is not valid').format(**limits)}, got {_kind(value)}")


def explain_name(path: FieldPath, known: list[str]) -> Fault:
    """The fault of a field whose section knows only the names `known`."""
    near = difflib.get_close_matches(str(path[-1])[:64], known, 1)
    return Fault(path, f"unknown name; did you mean {near[0]}?" if near else f"unknown name; known: {', '.join(known)}")


def find_foreign(value: object, path: FieldPath = ()) -> Iterator[Fault]:
    """What no JSON can carry: a mapping may hold any object, and an escape in YAML half a surrogate pair."""
    plain = os.fspath(value) if isinstance(value, os.PathLike) else value
    match plain:
        case None:
            pass
        case str() if not _SURROGATE.search(plain):
            pass
        case int() | float() if abs(plain) < 1e300:
            pass
        case Mapping() if len(path) < MAX_DEPTH:
            for name, member in plain.items():
                if isinstance(name, str) and not _SURROGATE.search(name):
                    yield from find_foreign(member, (*path, name))
                else:
                    yield Fault((*path, name if isinstance(name, str) else "?"), "the name must be a Unicode text")
        case list() | tuple() if len(path) < MAX_DEPTH:
            for place, item in enumerate(plain):
                yield from find_foreign(item, (*path, place))
        case _:
            kind = type(plain).__name__
            yield Fault(path, f"must be a Unicode text, a finite number, a boolean, a list or a section, got {kind}")


def _kind(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            kind = "a whole number" if isinstance(value, int) else "a decimal number"
            return "a negative number" if value < 0 else kind if value else "zero"
    return _KINDS[type(value)]


def _dotted(path: FieldPath) -> str:
    steps = (f"[{each}]" if isinstance(each, int) else f".{_show(each)}" for each in path)
    return "".join(steps).removeprefix(".")


def _show(name: str) -> str:
    # A name that looks like none of ours may be a secret that slipped out of its place.
    return name if _SHOWN_NAME.fullmatch(name) else "?"
