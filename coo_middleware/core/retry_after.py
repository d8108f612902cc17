"""For how long a provider wants to be left alone."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coo_middleware.core.request import Headers


def find_retry_after(headers: Headers, now: float) -> float | None:
    """The seconds that `retry-after-ms` tells, else `retry-after`; None where neither says anything. `now` is in
    seconds since the epoch.
    """
    fields = {name.lower(): value.decode("latin-1") for name, value in headers}
    milliseconds = _read_number(fields.get(b"retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    return read_retry_after(fields.get(b"retry-after", ""), now)


def read_retry_after(value: str, now: float) -> float | None:
    """The seconds that a Retry-After field tells: a number of them, or an HTTP date (RFC 9110 section 10.2.3). None for
    what is neither.
    """
    seconds = _read_number(value)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _read_number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None
