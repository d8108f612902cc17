"""Cache-Control, read strictly: what does not parse counts as the most restrictive thing it could mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# RFC 9111 section 5.2: directive = token [ "=" ( token / quoted-string ) ]; a list may have empty elements (RFC 9110
# section 5.6.1.2).
_DIRECTIVE: Final = re.compile(
    r'[ \t,]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([!#$%&\'*+.^_`|~0-9A-Za-z-]+)))?[ \t]*(?:,|$)'
)
_MOST_SECONDS: Final = 2**31


@dataclass(frozen=True, slots=True)
class Directives:
    """A request's wishes (RFC 9111 section 5.2.1), all times in seconds, None when they were not said.

    `no_write`: reuse, but store nothing. `max_stale` is infinite where any staleness will do. `ttl`, `namespace` and
    `tags` are for the answer as it is stored.
    """

    no_store: bool = False
    no_cache: bool = False
    no_write: bool = False
    only_if_cached: bool = False
    max_age: float | None = None
    min_fresh: float | None = None
    max_stale: float | None = None
    stale_if_error: float | None = None
    ttl: float | None = None
    namespace: str = ""
    tags: tuple[str, ...] = ()


NO_WISHES: Final = Directives()


def read_directives(value: bytes) -> Directives:
    """The wishes in a request's Cache-Control; in one that does not parse, neither reuse nor storing is agreed to."""
    if not value:
        return NO_WISHES
    names = _split(value)
    if names is None:
        return Directives(no_store=True, no_cache=True)
    age = _seconds(names["max-age"]) if "max-age" in names else None
    return Directives(
        no_store="no-store" in names,
        no_cache="no-cache" in names or ("max-age" in names and age is None),
        only_if_cached="only-if-cached" in names,
        max_age=age,
    )


def forbids_storing(value: bytes, *, shared: bool) -> bool:
    """Whether a response's Cache-Control forbids a cache to store it; `private` speaks to a shared one only."""
    names = _split(value)
    return names is None or "no-store" in names or (shared and "private" in names)


def _split(value: bytes) -> dict[str, str] | None:
    """Directive names in lower case with their arguments; None when the field does not parse."""
    text = value.decode("latin-1").strip(" \t,")
    names: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _DIRECTIVE.match(text, place)
        if match is None:
            return None
        name, argument = match[1].lower(), match[2] if match[2] is not None else match[3] or ""
        # Said twice: the smaller age is the stricter wish.
        names[name] = min(names.get(name, argument), argument, key=_strictness)
        place = match.end()
    return names


def _strictness(argument: str) -> int:
    seconds = _seconds(argument)
    return -1 if seconds is None else seconds


def _seconds(argument: str) -> int | None:
    if not (argument.isascii() and argument.isdigit()):
        return None
    digits = argument.lstrip("0")
    # A longer text may reach the digit limit of int(), which raises.
    return min(int(digits or "0"), _MOST_SECONDS) if len(digits) <= 12 else _MOST_SECONDS
