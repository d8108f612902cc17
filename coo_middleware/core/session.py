"""How long a provider's session is, as `session_type` says it."""

from __future__ import annotations

import re
from typing import Final

from coo_middleware.core.limits import LONGEST_LIMIT_SECONDS

_LENGTH: Final = re.compile(r"([0-9]{1,7})([smhd])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def read_session(text: str) -> float:
    """The seconds of a length such as `5m`, `1h` or `1d`. Raises ValueError, whose text repeats nothing of it."""
    match = _LENGTH.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 1 <= seconds <= LONGEST_LIMIT_SECONDS:
        raise ValueError("must be a number and s, m, h or d, from 1s to 35d, such as 5m, 1h or 1d, got a text")
    return seconds
