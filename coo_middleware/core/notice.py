"""What an answer says about the cache: Cache-Status (RFC 9211), Age (RFC 9111 section 5.1), x-coo-cache."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Final

from coo_middleware.core.steering import TARGETED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.core.entry import Entry
    from coo_middleware.core.freshness import Fwd
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.request import Headers
    from coo_middleware.core.shape import Shape

_OURS: Final = b"x-coo-cache"
_STATUS: Final = b"cache-status"
_HIT: Final = (_OURS, b"HIT")
_STALE: Final = (_OURS, b"STALE")
_MISS: Final = (_OURS, b"MISS")
_BYPASS: Final = (_OURS, b"BYPASS")
_COLLAPSED: Final = (_OURS, b"COLLAPSED")
_TYPES: Final = {False: b"application/json", True: b"text/event-stream; charset=utf-8"}
# Beside these two fields stand only those that tell of limits.
_LEAST: Final = 2
_SPOKEN: Final = frozenset({_OURS, TARGETED})
_CODED: Final = _SPOKEN | {b"content-length", b"content-encoding"}
# Of an answer that several requests share, the others get what is true for them: no cookie, no limit, no identifier.
_SHARED: Final = {
    *(b"content-type", b"content-language", b"content-length", b"content-encoding", b"vary"),
    *(b"anthropic-version", b"openai-version", b"retry-after", b"retry-after-ms", b"x-should-retry"),
}


def hit_fields(entry: Entry, now: float, shape: Shape, length: int) -> list[tuple[bytes, bytes]]:
    """The header section of a reused response of that shape, `length` bytes long; a fresh list. The lifetime that is
    told is negative where the response is stale (RFC 9211 section 2.4).
    """
    ttl = floor(entry.created + entry.ttl - now)
    mark = _HIT if now - entry.created < entry.ttl else _STALE
    return _reply_fields(entry, shape, length, (_age(entry, now), (_STATUS, b"coo; hit; ttl=%d" % ttl), mark))


def spare_fields(entry: Entry, now: float, shape: Shape, length: int, status: int) -> list[tuple[bytes, bytes]]:
    """The header section of a stale response that answers for an upstream that failed, with `status` or, where that is
    0, without any.
    """
    failed = b"; fwd-status=%d" % status if status else b""
    told = (_STATUS, b"coo; fwd=stale" + failed + b"; detail=stale-if-error")
    return _reply_fields(entry, shape, length, (_age(entry, now), told, _STALE))


def follower_fields(entry: Entry, plan: Plan, fwd: Fwd, length: int) -> list[tuple[bytes, bytes]]:
    """The header section for a request that waited for the end of another one's call, and gets its own shape."""
    return _reply_fields(entry, plan.shape, length, forward_fields(plan, fwd, collapsed=True))


def forward_fields(plan: Plan, fwd: Fwd = "miss", *, stored: bool = False, collapsed: bool = False) -> Headers:
    """What a forwarded answer adds: why it was forwarded, `fwd=bypass` for what is never cached, `fwd=request` where
    only this request's own directives sent it on; whether it is going to be stored; whether another request's call
    brought it (RFC 9211 sections 2.2, 2.5 and 2.6).
    """
    if plan.bypass:
        return (_STATUS, b"coo; fwd=bypass; detail=" + plan.bypass.encode()), _BYPASS
    if plan.directives.no_store:
        return (_STATUS, b"coo; fwd=request; detail=no-store"), _BYPASS
    renewed = plan.directives.no_cache
    reason = b"request" if renewed else fwd.encode()
    flags = b"; stored" * stored + b"; collapsed" * collapsed + b"; detail=no-cache" * renewed
    return (_STATUS, b"coo; fwd=" + reason + flags), _COLLAPSED if collapsed else _MISS


def shared_fields(headers: Headers, fields: Headers, *, rewritten: bool) -> list[tuple[bytes, bytes]]:
    """The app's header section for a request that shares another one's call, with ours behind it."""
    return add_fields([field for field in headers if field[0].lower() in _SHARED], fields, rewritten=rewritten)


def add_fields(
    headers: Iterable[tuple[bytes, bytes]], fields: Headers, *, rewritten: bool
) -> list[tuple[bytes, bytes]]:
    """The app's header section with ours behind it (RFC 9211 section 2: the nearest cache comes last).

    A forged `x-coo-cache` goes, and so do what the app told us alone and, where we tell of limits, what the provider
    told of its own; `Content-Length` and `Content-Encoding` go when the content is `rewritten`.
    """
    dropped = _CODED if rewritten else _SPOKEN
    if len(fields) > _LEAST:
        dropped = dropped | {name for name, _ in fields if name != _STATUS}
    return [*(field for field in headers if field[0].lower() not in dropped), *fields]


def resize_fields(headers: Headers, length: int) -> list[tuple[bytes, bytes]]:
    """A request's header section for a content that is `length` bytes long and not coded."""
    kept = [field for field in headers if field[0].lower() != b"content-encoding"]
    return [(name, b"%d" % length if name.lower() == b"content-length" else value) for name, value in kept]


def _reply_fields(entry: Entry, shape: Shape, length: int, ours: Headers) -> list[tuple[bytes, bytes]]:
    told = entry.headers if shape.stream == entry.shape.stream else _retype(entry.headers, _TYPES[shape.stream])
    return [*told, *ours] if shape.stream else [*told, *ours, (b"content-length", b"%d" % length)]


def _age(entry: Entry, now: float) -> tuple[bytes, bytes]:
    return b"age", b"%d" % entry.age(now)


def _retype(headers: Headers, media: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, media if name == b"content-type" else value) for name, value in headers]
