"""What an answer says of limits: RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11), and the
x-ratelimit fields of OpenAI (platform.openai.com/docs/guides/rate-limits). Whose limits they are is not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Final

from coo_middleware.core.limit_rules import Limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.demand import Kind
    from coo_middleware.core.request import Headers

# Quota units (section 3.1.2 of the draft); requests are meant where none is told. Those of tokens and costs are ours.
_UNITS: Final[dict[Kind, str]] = {
    "tokens": "tokens",
    "input_tokens": "input-tokens",
    "output_tokens": "output-tokens",
    "cost": "usd-micros",
    "concurrency": "concurrent-requests",
}
_MICROS: Final = 1_000_000
# RFC 9651 section 3.3.1.
_LARGEST_INTEGER: Final = 999_999_999_999_999
_TOLD_TWICE: Final[tuple[Kind, ...]] = ("requests", "tokens")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands: what is left of it, and in how many seconds it will be whole again."""

    limit: Limit
    remaining: float
    reset_seconds: float


def limit_fields(standings: Sequence[Standing]) -> Headers:
    """The fields that tell of these limits, and of the tightest of requests and of tokens once more; none of none."""
    if not standings:
        return ()
    policies = b", ".join(_policy(each.limit) for each in standings)
    states = b", ".join(_state(each) for each in standings)
    fields = [(b"ratelimit-policy", policies), (b"ratelimit", states)]
    for kind in _TOLD_TWICE:
        of_kind = [each for each in standings if each.limit.kind == kind]
        if of_kind:
            fields += _told_twice(min(of_kind, key=lambda each: (each.remaining, -each.reset_seconds)))
    return fields


def _policy(limit: Limit) -> bytes:
    unit = f';qu="{_UNITS[limit.kind]}"' if limit.kind in _UNITS else ""
    window = f";w={ceil(limit.window_seconds)}" if limit.window_seconds else ""
    return f'"{limit.label}";q={_count(limit, limit.quota)}{unit}{window}'.encode()


def _state(standing: Standing) -> bytes:
    limit = standing.limit
    # When a call at the same time will end nobody knows.
    reset = f";t={ceil(standing.reset_seconds)}" if limit.window_seconds else ""
    return f'"{limit.label}";r={_count(limit, standing.remaining)}{reset}'.encode()


def _count(limit: Limit, amount: float) -> int:
    """An amount as an integer; never more than there is."""
    return min(_LARGEST_INTEGER, floor(max(0.0, amount) * (_MICROS if limit.kind == "cost" else 1)))


def _told_twice(standing: Standing) -> list[tuple[bytes, bytes]]:
    limit = standing.limit
    values = {
        "limit": str(_count(limit, limit.quota)),
        "remaining": str(_count(limit, standing.remaining)),
        "reset": _duration(standing.reset_seconds),
    }
    return [(f"x-ratelimit-{name}-{limit.kind}".encode(), value.encode()) for name, value in values.items()]


def _duration(seconds: float) -> str:
    """A time as OpenAI writes it: `350ms`, `17s`, `1m30s`, `1h0m0s`; rounded up."""
    milliseconds = ceil(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
