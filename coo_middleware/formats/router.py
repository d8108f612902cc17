"""Which format a path speaks where the operator has a say in it."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Route
from coo_middleware.formats import FORMATS, recognise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.format import Format
    from coo_middleware.core.routes import RoutePolicy

_NAMES: Final = {fmt.name: fmt for fmt in FORMATS}

FORMAT_NAMES: Final = tuple(sorted(_NAMES))

# Callers choose their paths, so what is kept of them is bounded.
_MOST_KEPT: Final = 1024
_LONGEST_KEPT: Final = 256


class Router:
    """Recognises paths by the rules of one policy, and by their end where no rule with a format fits.

    A rule's format is one of FORMAT_NAMES.
    """

    __slots__ = ("_recall", "_rules")

    def __init__(self, routes: Sequence[RoutePolicy] = ()) -> None:
        self._rules: Final = tuple(
            (re.compile(translate(rule.path)), _NAMES[rule.format]) for rule in routes if rule.format
        )
        self._recall: Final = lru_cache(_MOST_KEPT)(self._recognise)

    def recognise(self, path: str) -> Route | None:
        """What a path says; None where it speaks no format."""
        return self._recall(path) if len(path) <= _LONGEST_KEPT else self._recognise(path)

    def _recognise(self, path: str) -> Route | None:
        for paths, fmt in self._rules:
            if paths.match(path):
                return _route(path, fmt)
        return recognise(path)


def _route(path: str, fmt: Format) -> Route:
    """What a path says that speaks `fmt`, its model among it where that is how the format writes its paths."""
    told = recognise(path)
    return told if told is not None and told.format is fmt else Route(fmt, fmt.provider)
