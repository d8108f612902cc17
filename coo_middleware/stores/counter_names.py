"""A counter's three names in one text, as Redis keys have them, and back: what lists of counters go by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from coo_middleware.stores import Counter

# Nothing else is encoded, so that people can read it.
NAMES: Final = str.maketrans({":": "%3A", "%": "%25"})


def write_counter(counter: Counter) -> str:
    """`provider:key_id:metric`, a colon or percent sign inside a name percent-encoded."""
    return ":".join(name.translate(NAMES) for name in counter)


def read_counter(text: str) -> Counter:
    """The counter that `write_counter` wrote. Raises ValueError for any other text."""
    names = tuple(map(unquote, text.split(":")))
    if len(names) != 3 or text != write_counter(names):
        raise ValueError("cursor: must be empty, or the one of the page before")
    return names
