"""The cache key: one SHA-256 over tagged, length-prefixed parts, and who is asking.

Nothing is picked by hand, cut short or put side by side bare: each of these has been a published hole elsewhere
(CVE-2026-35030: a key made of a token's first 20 characters; two fields that ran into each other).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.core.request import Head

ANONYMOUS: Final = "anonymous"
"""What a caller without credentials is shown as."""
SCHEMA: Final = b"coo/1/sha256"

_SECRET_PARAMETERS: Final = frozenset({b"key"})
_AWS: Final = b"aws4-hmac-sha256"


class ScopeError(ValueError):
    """Nobody can say who is asking; the request is forwarded and not cached."""


def frame_parts(parts: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Bytes that no other sequence of (tag, part) gives; those of two sequences in a row are those of both as one."""
    pieces: list[bytes] = []
    for tag, part in parts:
        pieces += (b"%d:%b%d:" % (len(tag), tag, len(part)), part)
    return b"".join(pieces)


def digest_parts(parts: Iterable[tuple[bytes, bytes]], framed: bytes = b"") -> bytes:
    """32 bytes that no other sequence of (tag, part) gives. `framed` are those before them."""
    sha = hashlib.sha256(framed)
    sha.update(frame_parts(parts))
    return sha.digest()


def caller_digest(identity: tuple[tuple[bytes, bytes], ...], secret: bytes) -> bytes:
    """A keyed digest of who is asking: equal for equal credentials, of no use to guess them without `secret`."""
    return hashlib.blake2b(digest_parts(identity), key=_caller_key(secret), digest_size=32).digest()


def caller_identity(head: Head, query: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The credentials of a request as (name, value), none for an anonymous one.

    Raises ScopeError when they are ambiguous: a field sent twice, or with nothing in it.
    """
    identity = [(name, _credential(name, value)) for name, value in head.credentials]
    if query:
        identity += [(b"?" + name, value) for name, value in _parameters(query) if name in _SECRET_PARAMETERS]
    # HTTP/2 clients may send one cookie a field (RFC 9113 section 8.2.3).
    single = [name for name, _ in identity if name != b"cookie"]
    if len(set(single)) != len(single) or not all(value for _, value in identity):
        raise ScopeError
    return tuple(sorted(identity))


def public_query(query: bytes) -> bytes:
    """The query without the parameters that carry a credential."""
    return b"&".join([pair for pair in query.split(b"&") if _name(pair) not in _SECRET_PARAMETERS]) if query else b""


@lru_cache(16)
def _caller_key(secret: bytes) -> bytes:
    return hashlib.sha256(b"coo/caller/1" + secret).digest()


def _credential(name: bytes, value: bytes) -> bytes:
    """What identifies the caller in a credential field: `bearer  k` is `Bearer k`, an AWS signature its key id."""
    value = value.strip(b" \t")
    if name != b"authorization":
        return value
    scheme, _, rest = value.partition(b" ")
    rest = rest.strip(b" \t")
    if scheme.lower() == _AWS:
        # Credential=AKID/date/region/service/aws4_request; the rest changes with every request.
        _, _, credential = rest.partition(b"Credential=")
        rest = credential.partition(b"/")[0]
    return scheme.lower() + b" " + rest if rest else b""


def _parameters(query: bytes) -> list[tuple[bytes, bytes]]:
    return [(_name(pair), pair.partition(b"=")[2]) for pair in query.split(b"&") if pair]


def _name(pair: bytes) -> bytes:
    # An upstream reads `k%65y=` as `key=`, and so do we.
    return unquote_to_bytes(pair.partition(b"=")[0]).lower()
