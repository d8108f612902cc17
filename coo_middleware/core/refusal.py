"""What a caller is told whom limits refuse, in the error shape of the provider that it means to ask."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from coo_middleware.core.format import Format
    from coo_middleware.core.limited import LimitedError
    from coo_middleware.core.request import Headers

# SDKs retry by themselves; waiting longer than that for a budget is no use to anybody.
_LONGEST_RETRY_SECONDS: Final = 120.0
_UNCHECKED_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer without the app: its status, a fresh header section and its content."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes


def refuse_limited(error: LimitedError, fmt: Format, fields: Headers = ()) -> Refusal:
    """429 (RFC 6585 section 4) with the moment at which to come back: Retry-After in whole seconds (RFC 9110 section
    10.2.3), retry-after-ms as OpenAI's and Anthropic's SDKs read it, both rounded up; `fields` tell how the limits
    stand. Not to be retried: a budget that is spent for more than two minutes.
    """
    seconds = max(1, ceil(error.retry_after))
    what = "budget is spent" if error.spent else "rate limit is reached"
    refusal = _refuse(fmt, 429, f"The {what}; try again in {seconds} s.", error.retry_after)
    if error.spent and error.retry_after > _LONGEST_RETRY_SECONDS:
        refusal.headers.append((b"x-should-retry", b"false"))
    refusal.headers.extend(fields)
    return refusal


def refuse_unchecked(fmt: Format) -> Refusal:
    """503 for a call whose limits cannot be asked for, where `policy.limits.on_store_error` is `closed`."""
    return _refuse(fmt, 503, "The rate limits cannot be checked at present; try again later.", _UNCHECKED_SECONDS)


def _refuse(fmt: Format, status: int, message: str, retry_after: float) -> Refusal:
    content = fmt.error_body(status, message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"retry-after", b"%d" % max(1, ceil(retry_after))),
        (b"retry-after-ms", b"%d" % max(1, ceil(retry_after * 1000))),
    ]
    return Refusal(status, headers, content)
