"""Cache-Control, read strictly: what does not parse counts as the most restrictive thing it could mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from coo_middleware.core.policy import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

# RFC 9111 section 5.2: directive = token [ "=" ( token / quoted-string ) ]; a list may have empty elements (RFC 9110
# section 5.6.1.2).
_DIRECTIVE: Final = re.compile(
    r'[ \t,]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([!#$%&\'*+.^_`|~0-9A-Za-z-]+)))?[ \t]*(?:,|$)'
)
_MOST_SECONDS: Final = 2.0**31
_ALL: Final[tuple[str, ...]] = get_args(Control)


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


def read_directives(value: bytes, honoured: Container[str] = _ALL) -> Directives:
    """The wishes in a request's Cache-Control, as far as they are honoured; in one that does not parse, neither reuse
    nor storing is agreed to. `stale-if-error` is RFC 5861's.
    """
    names = split_directives(value)
    if names is None:
        return Directives(no_store="no-store" in honoured, no_cache="no-cache" in honoured)
    said = {name: list(map(read_seconds, each)) for name, each in names.items() if name in honoured}
    ages, fresh = said.get("max-age", []), said.get("min-fresh", [])
    stale = [float("inf") if argument is None else read_seconds(argument) for argument in names.get("max-stale", ())]
    return Directives(
        no_store="no-store" in said,
        no_cache="no-cache" in said or None in ages or None in fresh,
        only_if_cached="only-if-cached" in said,
        max_age=_strictest(ages, min),
        min_fresh=_strictest(fresh, max),
        max_stale=_strictest(stale, min) if "max-stale" in said else None,
        stale_if_error=_strictest(said.get("stale-if-error", []), min, 0.0),
    )


def split_directives(value: bytes) -> dict[str, list[str | None]] | None:
    """Directive names in lower case with the arguments of each time that it was said, None where there was none; no
    dictionary at all when the field does not parse.
    """
    text = value.decode("latin-1").strip(" \t,")
    names: dict[str, list[str | None]] = {}
    place = 0
    while place < len(text):
        match = _DIRECTIVE.match(text, place)
        if match is None:
            return None
        names.setdefault(match[1].lower(), []).append(match[3] if match[2] is None else match[2])
        place = match.end()
    return names


def read_seconds(argument: str | None) -> float | None:
    """A time in whole seconds, at most 2^31 (RFC 9111 section 1.2.2), None for what is none."""
    if argument is None or not (argument.isascii() and argument.isdigit()):
        return None
    digits = argument.lstrip("0")
    # A longer text may reach the digit limit of int(), which raises.
    return min(float(digits or "0"), _MOST_SECONDS) if len(digits) <= 12 else _MOST_SECONDS


def _strictest(
    said: list[float | None], choose: Callable[[Iterable[float]], float], garbled: float | None = None
) -> float | None:
    """Of what was said several times the strictest; with what is no time among it, `garbled`."""
    known = [seconds for seconds in said if seconds is not None]
    if len(known) < len(said):
        return garbled
    return choose(known) if known else None
