"""A stored response and its frame: versioned, checksummed, with bounds on every length, never a pickle.

Frame, big-endian: magic and version `COO\\x02` · created (float64, seconds since 1970) · lifetime and both times of
grace (float64, seconds) · generation (uint64) · seven token counts in the order of Usage (int64, -1 unknown) · flags
(1 streamed, 2 usage asked for, 4 usage known, 8 estimated) · ten byte strings, each behind its length (uint32): digest,
provider, key id, model, format, namespace, caller, tags (one a line), header fields, content · BLAKE2b-128 of all
before.

The checksum proves that a frame is whole, not who wrote it: one whose insides make no sense is refused all the same.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Final

from coo_middleware.core.outcome import Usage
from coo_middleware.core.request import Headers
from coo_middleware.core.shape import Shape

_MAGIC: Final = b"COO\x02"
_COUNTS: Final = 7
_HEAD: Final = struct.Struct(f">4s4dQ{_COUNTS}qB")
_STREAM, _ASKED, _KNOWN, _ESTIMATED = 1, 2, 4, 8
_counts_of: Final = attrgetter(*Usage.__match_args__)
_SHAPES: Final = tuple(Shape(bool(flags & _STREAM), bool(flags & _ASKED)) for flags in range(4))
_LENGTH: Final = struct.Struct(">I")
_STRINGS: Final = 10
_NAMES: Final = 8  # of them, those before the header fields
_LATEST: Final = 2.0**40  # seconds, as a time and as a lifetime
_CHECKSUM_BYTES: Final = 16

# Fields of a stored response that are true again when it is reused; every other one belongs to one exchange.
_REUSED: Final = frozenset({b"content-type", b"content-language", b"anthropic-version", b"openai-version"})
# RFC 9110 section 5.5: a value with one of these is dangerous; whoever retains it puts spaces in their place.
_DANGEROUS: Final = b"\r\n\0"
_SPACES: Final = bytes.maketrans(_DANGEROUS, b"   ")


class EntryError(ValueError):
    """A stored value is not a frame of ours, or not whole, or not the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response. `digest` repeats its cache key; `created` is in seconds since 1970, `ttl` in seconds, and so
    are `stale_while_revalidate` and `stale_if_error`: how long after that it may still answer while a new one is
    fetched, and in place of a failure (RFC 5861).

    By `namespace`, `caller`, `model` and `tags` it can be purged; `generation` tells which purges it has outlived.
    """

    digest: bytes
    created: float
    ttl: float
    provider: str
    key_id: str
    model: str
    format: str
    shape: Shape
    usage: Usage | None
    headers: Headers
    content: bytes
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    generation: int = 0
    namespace: str = ""
    caller: str = ""
    tags: tuple[str, ...] = ()

    @property
    def grace(self) -> float:
        """How long after its lifetime it may be of use, in seconds."""
        return max(self.stale_while_revalidate, self.stale_if_error)

    def age(self, now: float) -> int:
        """Whole seconds since it was created, never below 0 (RFC 9111 section 4.2.3)."""
        return max(0, int(now - self.created))


def reused_fields(headers: Headers) -> Headers:
    """The fields that a reused response repeats, by allow-list: a session cookie or a rate limit is never replayed."""
    return tuple((name.lower(), value.translate(_SPACES)) for name, value in headers if name.lower() in _REUSED)


def pack_entry(entry: Entry) -> bytes:
    """The frame of `entry`, whose headers are `reused_fields`."""
    fields = b"".join(name + b": " + value + b"\n" for name, value in entry.headers)
    names = (entry.provider, entry.key_id, entry.model, entry.format, entry.namespace, entry.caller)
    strings = (entry.digest, *names, "\n".join(entry.tags), fields, entry.content)
    times = (entry.created, entry.ttl, entry.stale_while_revalidate, entry.stale_if_error)
    parts = [_HEAD.pack(_MAGIC, *times, entry.generation, *_counts(entry.usage), _flags(entry))]
    for string in strings:
        part = string.encode(errors="replace") if isinstance(string, str) else string
        parts += [_LENGTH.pack(len(part)), part]
    frame = b"".join(parts)
    return frame + _checksum(frame)


def unpack_entry(frame: bytes, digest: bytes) -> Entry:
    """The entry in `frame`, which must be the one for `digest`. Raises EntryError."""
    body, checksum = frame[:-_CHECKSUM_BYTES], frame[-_CHECKSUM_BYTES:]
    if not frame.startswith(_MAGIC) or len(body) < _HEAD.size or _checksum(body) != checksum:
        raise EntryError("not a whole frame of this version")
    _, created, ttl, revalidate, error, generation, *counts, flags = _HEAD.unpack_from(body)
    # A comparison with NaN is false.
    if not all(0 <= time < _LATEST for time in (created, ttl, revalidate, error)):
        raise EntryError("the times are out of range")
    found, *names, fields, content = _read_strings(body)
    if found != digest:
        raise EntryError("the frame belongs to another key")
    provider, key_id, model, name, namespace, caller, tags = map(_read_text, names)
    return Entry(
        found,
        created,
        ttl,
        provider,
        key_id,
        model,
        name,
        _SHAPES[flags & (_STREAM | _ASKED)],
        _read_usage(counts, flags) if flags & _KNOWN else None,
        _read_fields(fields),
        content,
        revalidate,
        error,
        generation,
        namespace,
        caller,
        _read_tags(tags),
    )


def peek_entry(head: bytes) -> Entry | None:
    """What the first bytes of a frame tell of its entry: all but usage, fields and content, and without proof that it
    is whole. None where they tell nothing.
    """
    if not head.startswith(_MAGIC) or len(head) < _HEAD.size:
        return None
    _, created, ttl, revalidate, error, generation, *_, flags = _HEAD.unpack_from(head)
    try:
        digest, *names = _read_strings(head, _NAMES)
        provider, key_id, model, name, namespace, caller, tags = map(_read_text, names)
    except EntryError:
        return None
    shape, marks = _SHAPES[flags & (_STREAM | _ASKED)], _read_tags(tags)
    known = (digest, created, ttl, provider, key_id, model, name, shape)
    return Entry(*known, None, (), b"", revalidate, error, generation, namespace, caller, marks)


def _counts(usage: Usage | None) -> list[int]:
    counts = () if usage is None else _counts_of(usage)
    return [-1 if count is None else count for count in counts] or [-1] * _COUNTS


def _flags(entry: Entry) -> int:
    usage = entry.usage
    flags = (_STREAM * entry.shape.stream) | (_ASKED * entry.shape.usage) | (_KNOWN * (usage is not None))
    return flags | (_ESTIMATED * (usage is not None and usage.estimated))


def _read_usage(counts: list[int], flags: int) -> Usage:
    return Usage(*[None if count < 0 else count for count in counts], estimated=bool(flags & _ESTIMATED))


def _checksum(frame: bytes) -> bytes:
    return hashlib.blake2b(frame, digest_size=_CHECKSUM_BYTES).digest()


def _read_strings(body: bytes, count: int = _STRINGS) -> list[bytes]:
    strings, place, end, size = [], _HEAD.size, len(body), _LENGTH.size
    for _ in range(count):
        begin = place + size
        if begin > end:
            raise EntryError("a string is missing")
        place = begin + _LENGTH.unpack_from(body, place)[0]
        strings.append(body[begin:place])
    if place > end or (count == _STRINGS and place < end):
        raise EntryError("the lengths do not add up")
    return strings


def _read_tags(lines: str) -> tuple[str, ...]:
    return tuple(lines.split("\n")) if lines else ()


def _read_text(string: bytes) -> str:
    try:
        return string.decode()
    except UnicodeDecodeError:
        raise EntryError("a text is not UTF-8") from None


# Few differ, and all entries share what was read once.
@lru_cache(maxsize=64)
def _read_fields(fields: bytes) -> Headers:
    lines = [line.partition(b": ") for line in fields.split(b"\n") if line]
    headers = tuple((name, value) for name, _, value in lines)
    if reused_fields(headers) != headers:
        raise EntryError("a field is none that is reused")
    return headers
