"""What an answer says about the cache: Cache-Status (RFC 9211), Age (RFC 9111 section 5.1), x-coo-cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.request import Headers
    from coo_middleware.core.shape import Shape

_OURS: Final = b"x-coo-cache"
_HIT: Final = (_OURS, b"HIT")
_MISS: Final = (_OURS, b"MISS")
_BYPASS: Final = (_OURS, b"BYPASS")
_TYPES: Final = {False: b"application/json", True: b"text/event-stream; charset=utf-8"}
_CODED: Final = {_OURS, b"content-length", b"content-encoding"}
_FWD_MISS: Final = (b"cache-status", b"coo; fwd=miss")


def hit_fields(entry: Entry, now: float, shape: Shape, length: int) -> list[tuple[bytes, bytes]]:
    """The header section of a reused response of that shape, `length` bytes long; a fresh list."""
    ttl = max(0, int(entry.created + entry.ttl - now))
    told = entry.headers if shape.stream == entry.shape.stream else _retype(entry.headers, _TYPES[shape.stream])
    fields = [*told, (b"age", b"%d" % entry.age(now)), (b"cache-status", b"coo; hit; ttl=%d" % ttl), _HIT]
    return fields if shape.stream else [*fields, (b"content-length", b"%d" % length)]


def forward_fields(plan: Plan) -> tuple[tuple[bytes, bytes], ...]:
    """What a forwarded answer adds: `fwd=miss`, `fwd=bypass` for what is never cached, `fwd=request` where only this
    request's own directives sent it on.
    """
    if plan.bypass:
        return (b"cache-status", b"coo; fwd=bypass; detail=" + plan.bypass.encode()), _BYPASS
    if plan.directives.no_store:
        return (b"cache-status", b"coo; fwd=request; detail=no-store"), _BYPASS
    if plan.directives.no_cache:
        return (b"cache-status", b"coo; fwd=request; detail=no-cache"), _MISS
    return _FWD_MISS, _MISS


def add_fields(headers: Headers, fields: Headers, *, rewritten: bool) -> list[tuple[bytes, bytes]]:
    """The app's header section with ours behind it (RFC 9211 section 2: the nearest cache comes last).

    A forged `x-coo-cache` goes; `Content-Length` and `Content-Encoding` go when the content is `rewritten`.
    """
    dropped = _CODED if rewritten else {_OURS}
    return [*(field for field in headers if field[0].lower() not in dropped), *fields]


def resize_fields(headers: Headers, length: int) -> list[tuple[bytes, bytes]]:
    """A request's header section for a content that is `length` bytes long and not coded."""
    kept = [field for field in headers if field[0].lower() != b"content-encoding"]
    return [(name, b"%d" % length if name.lower() == b"content-length" else value) for name, value in kept]


def _retype(headers: Headers, media: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, media if name == b"content-type" else value) for name, value in headers]
