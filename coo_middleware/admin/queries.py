"""What a query string may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from coo_middleware.core.window import LONGEST_WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WINDOW: Final = 3600
_LONGEST_QUERY: Final = 8192


def read_query(query: bytes, names: Sequence[str]) -> dict[str, str]:
    """The parameters of a query, each at most once and one of `names`; an empty one counts as left out. Raises
    ValueError, which shows nothing of what came.
    """
    if len(query) > _LONGEST_QUERY:
        raise ValueError(f"query: must have at most {_LONGEST_QUERY} characters")
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="replace")
    told = dict(pairs)
    if len(told) < len(pairs) or not told.keys() <= set(names):
        known = ", ".join(names) or "nothing"
        raise ValueError(f"query: may have {known}, each once")
    return {name: value for name, value in told.items() if value}


def read_seconds(parameters: Mapping[str, str], name: str, default: int) -> int:
    """A window in whole seconds. Raises ValueError for one that is not within 1 s and 35 d."""
    text = parameters.get(name, str(default))
    seconds = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= seconds <= LONGEST_WINDOW:
        raise ValueError(f"{name}: must be a whole number from 1 to {LONGEST_WINDOW}, which is 35 days")
    return seconds


def read_choice(parameters: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """One of `choices`, the first where nothing is said. Raises ValueError."""
    value = parameters.get(name, choices[0])
    if value not in choices:
        known = ", ".join(filter(None, choices))
        raise ValueError(f"{name}: must be one of {known}" if known else f"{name}: must be left out here")
    return value


@dataclass(frozen=True, slots=True)
class Filters:
    """Whose figures are wanted; where one is empty, everybody's."""

    provider: str = ""
    key: str = ""
    model: str = ""

    def match(self, provider: str, key: str, model: str) -> bool:
        """Whether they let it through."""
        pairs = ((self.provider, provider), (self.key, key), (self.model, model))
        return all(wanted in ("", value) for wanted, value in pairs)


def read_filters(parameters: Mapping[str, str]) -> Filters:
    """The filters of a query."""
    return Filters(parameters.get("provider", ""), parameters.get("key", ""), parameters.get("model", ""))
