"""Dictionaries of Structured Field Values (RFC 9651 section 3.2)."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Bare: TypeAlias = bool | int | float | str | None
Item: TypeAlias = Bare | tuple[Bare, ...]

_KEY: Final = r"[a-z*][a-z0-9_.*-]*"
_BARE: Final = (
    r'"(?:[ !#-\[\]-~]|\\["\\])*"'
    r"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"
    r"|-?[0-9]{1,12}\.[0-9]{1,3}|-?[0-9]{1,15}"
    r"|\?[01]|:[A-Za-z0-9+/=]*:|@-?[0-9]{1,15}"
)
_PARAMETERS: Final = rf"(?:; *{_KEY}(?:=(?:{_BARE}))?)*"
_ITEM: Final = rf"(?:{_BARE}){_PARAMETERS}"
_INNER_ITEM: Final = re.compile(rf"({_BARE}){_PARAMETERS} *")
_MEMBER: Final = re.compile(
    rf"({_KEY})(?:=(?:({_BARE})|\( *((?:{_ITEM}(?: +{_ITEM})*)?) *\)))?{_PARAMETERS}(?:[ \t]*,[ \t]*(?=[a-z*])|\Z)"
)


def parse_dictionary(value: bytes) -> dict[str, Item] | None:
    """The members of a dictionary without their parameters, None for what is none. An inner list is a tuple; byte
    sequences and dates are read as None. Of a member given twice the last one counts.
    """
    text = value.decode("latin-1").strip(" ")
    members: dict[str, Item] = {}
    place = 0
    while place < len(text):
        match = _MEMBER.match(text, place)
        if match is None:
            return None
        members[match[1]] = _read_member(match[2], match[3])
        place = match.end()
    return members


def _read_member(bare: str | None, inner: str | None) -> Item:
    if inner is not None:
        return tuple(_read_bare(match[1]) for match in _INNER_ITEM.finditer(inner))
    return True if bare is None else _read_bare(bare)


def _read_bare(text: str) -> Bare:
    if text[0] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text[0] == "?":
        return text == "?1"
    if text[0] in ":@":
        return None
    if text[0].isdigit() or text[0] == "-":
        return float(text) if "." in text else int(text)
    return text
