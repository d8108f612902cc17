"""Where two JSON values differ, place by place."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.document import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coo_middleware.core.document import Json

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,79}\Z")
_LONGEST_NAME: Final = 80


class Blank(enum.Enum):
    """What stands for a value that is not there, or that is not to be told."""

    ABSENT = "absent"
    WITHHELD = "not shown"


ABSENT: Final = Blank.ABSENT
WITHHELD: Final = Blank.WITHHELD
Found: TypeAlias = "Json | Blank"


@dataclass(frozen=True, slots=True)
class Contrast:
    """One place where two values differ, as in `messages[0].content`; with `is_order` only in their members' order."""

    path: str
    a: Found
    b: Found
    is_order: bool = False


def contrast(a: Found, b: Found, path: str = "") -> Iterator[Contrast]:
    """The places where `a` and `b` differ, each as deep as it can be told; `1` and `true` differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in [*a, *(name for name in b if name not in a)]:
            yield from contrast(a.get(name, ABSENT), b.get(name, ABSENT), path_of(name, path))
        if a.keys() == b.keys() and list(a) != list(b):
            yield Contrast(path, a, b, is_order=True)
    elif isinstance(a, list) and isinstance(b, list):
        yield from _contrast_items(a, b, path)
    elif type(a) is not type(b) or a != b:
        yield Contrast(path, a, b)


def path_of(name: str, outer: str = "") -> str:
    """The path of the member `name` at `outer`; a name that is no plain word is written as JSON, and not all of a long
    one.
    """
    if _PLAIN.match(name):
        return f"{outer}.{name}" if outer else name
    short = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"
    return f"{outer}[{canonical_json(short).decode()}]"


def differing_place(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    return _alike(a, b)


def _contrast_items(a: list[Json], b: list[Json], path: str) -> Iterator[Contrast]:
    """Item by item. Of lists that are not equally long, what they begin and end with alike is passed over, so that one
    message more is one difference.
    """
    start = end = 0
    if len(a) != len(b):
        ours, theirs = [list(map(_spell, items)) for items in (a, b)]
        start = _alike(ours, theirs)
        end = _alike(ours[start:][::-1], theirs[start:][::-1])
    for place in range(start, max(len(a), len(b)) - end):
        yield from contrast(_item(a, place, end), _item(b, place, end), f"{path}[{place}]")


def _alike(a: Sequence[object], b: Sequence[object]) -> int:
    return sum(takewhile(bool, map(eq, a, b)))


def _item(items: list[Json], place: int, end: int) -> Found:
    return items[place] if place < len(items) - end else ABSENT


def _spell(value: Json) -> bytes:
    return canonical_json(value, ordered=True)
