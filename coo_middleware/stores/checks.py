"""What a store takes: every store refuses the same arguments in the same words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from sys import float_info
from typing import TYPE_CHECKING, Final

from coo_middleware.core.window import LONGEST_WINDOW, level_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.stores import Counter

MAX_KEY_BYTES: Final = 2048
# Of one list or one question, so that it holds up a store for a moment only.
MOST_COUNTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class Increment:
    """`delta` is the sum of `samples` increments of one counter, made `age` seconds ago.

    An old one belongs to the windows and the total of its time; the usage counter takes it only while it is younger
    than `usage_ttl_seconds`.
    """

    provider: str
    key_id: str
    metric: str
    delta: float
    samples: int = 1
    age: float = 0.0


def check_counter(provider: str, key_id: str, metric: str) -> None:
    """Raises ValueError unless a counter's three names, taken together, are text of at most 2 KiB in UTF-8."""
    _check_text("provider, key_id and metric together", provider + key_id + metric)


def check_amount(amount: float) -> None:
    """Raises ValueError unless a counter's value or delta is a finite number."""
    if not -float_info.max <= amount <= float_info.max:
        raise ValueError("a value or delta must be a finite number")


def check_increments(increments: Sequence[Increment]) -> None:
    """Raises ValueError unless every increment has a valid counter, delta and age, and at least one sample."""
    for each in increments:
        check_counter(each.provider, each.key_id, each.metric)
        check_amount(each.delta)
        if each.samples < 1:
            raise ValueError("samples must be at least 1")
        if not 0 <= each.age <= LONGEST_WINDOW:
            raise ValueError("age must be between 0 and 3024000 seconds, which is 35 days")


def check_writer(writer: str, sequence: int) -> None:
    """Raises ValueError unless a writer is text of at most 2 KiB in UTF-8 and its batch's number has 63 bits."""
    _check_text("writer", writer)
    if sequence.bit_length() > 63:
        raise ValueError("sequence must be below 2^63; a writer numbers its batches from 1")


def check_window(window_seconds: float) -> None:
    """Raises ValueError unless a window is within 1 s and 35 d."""
    level_of(window_seconds)


def check_points(counters: Sequence[Counter], window_seconds: float) -> None:
    """Raises ValueError unless all counters are valid, at most MOST_COUNTERS, and so is the window."""
    if len(counters) > MOST_COUNTERS:
        raise ValueError(f"counters: at most {MOST_COUNTERS} at a time; ask for the others apart")
    for each in counters:
        check_counter(*each)
    check_window(window_seconds)


def read_cursor(cursor: str) -> int:
    """The number of the last counter of the page before, by which some stores list theirs; 0 for the first page.
    Raises ValueError for what no page told.
    """
    if not re.fullmatch("[0-9]{0,18}", cursor):
        raise ValueError("cursor: must be empty, or the one of the page before")
    return int(cursor or 0)


def check_key(key: str) -> None:
    """Raises ValueError unless a cache key is text of at most 2 KiB in UTF-8."""
    _check_text("key", key)


def check_claim(key: str, owner: str, lease_seconds: float = 1.0) -> None:
    """Raises ValueError unless key and owner are text of at most 2 KiB together and a lease is a number above 0."""
    _check_text("key and owner together", key + owner)
    if not 0 < lease_seconds <= float_info.max:
        raise ValueError("lease_seconds must be a finite number above 0")


def check_ttl(ttl_seconds: float) -> None:
    """Raises ValueError unless a time to live is a finite number above 0."""
    if not 0 < ttl_seconds <= float_info.max:
        raise ValueError("ttl_seconds must be a finite number above 0; to forget a response, call delete_cache")


def _check_text(name: str, text: str) -> None:
    if len(text) <= MAX_KEY_BYTES and text.isascii():
        return
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = MAX_KEY_BYTES + 1
    # Raised out here: a chained UnicodeEncodeError would carry the text.
    if size > MAX_KEY_BYTES:
        raise ValueError(
            f"{name}: text of at most {MAX_KEY_BYTES} bytes in UTF-8, without surrogates; shorten or hash it"
        )
