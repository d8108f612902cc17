"""HTTP content codings (RFC 9110, section 8.4.1), undone incrementally and within bounds.

gzip and deflate are always read; zstd needs Python 3.14 or the extra `codings`, br needs that extra.
"""

from __future__ import annotations

import importlib
import zlib
from functools import cache, partial
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

MAX_CODINGS: Final = 3

# Small pieces: what follows a member is copied, and a content may consist of very short members.
_PIECE: Final = 8192
# A member costs time to begin, however short it is.
_MAX_MEMBERS: Final = 4096
# RFC 9659, section 3: in HTTP no window is over 8 MiB.
_ZSTD_WINDOW_LOG: Final = 23
# The library's own default.
_ZSTD_LEVEL: Final = 3
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS


class CodingError(ValueError):
    """The content cannot be decoded: `reason` is "too-large" where the bound ended it, else "content-encoding"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Member(Protocol):
    """What the decompressors of zlib and of zstd have in common: one member, and the bytes behind its end."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Layer(Protocol):
    def decode(self, chunk: bytes, limit: int) -> bytes: ...
    def is_complete(self) -> bool: ...


class Coding:
    """Undoes the codings of one content as its bytes come; with none of them it is the identity.

    After a CodingError it is not to be used again.
    """

    __slots__ = ("_layers",)

    def __init__(self, layers: tuple[_Layer, ...]) -> None:
        self._layers = layers

    def decode(self, chunk: bytes, limit: int) -> bytes:
        """What `chunk` adds to the content; of a coded one at most `limit` bytes, which bounds the memory too. Raises
        CodingError.
        """
        if not self._layers:
            return chunk
        # What is still coded may be somewhat larger than the content: data that does not compress.
        for layer in self._layers:
            chunk = layer.decode(chunk, limit + limit // 64 + _PIECE)
        if len(chunk) > limit:
            raise CodingError("too-large")
        return chunk

    def is_complete(self) -> bool:
        """Whether every coding has come to its own end: a content that was cut has not."""
        return all(layer.is_complete() for layer in self._layers)


def open_coding(value: bytes) -> Coding | None:
    """A fresh decoder for the value of Content-Encoding (b"": none). None where one coding of the list cannot be read,
    or where there are more than MAX_CODINGS.
    """
    names = [name for item in value.lower().split(b",") if (name := item.strip(b" \t")) not in (b"", b"identity")]
    if len(names) > MAX_CODINGS or not all(name in _LAYERS for name in names):
        return None
    # They are named in the order in which they were applied.
    layers = [layer for name in reversed(names) if (layer := _LAYERS[name]()) is not None]
    return Coding(tuple(layers)) if len(layers) == len(names) else None


def decode_content(content: bytes, value: bytes, limit: int) -> bytes:
    """The whole content without its codings; of a coded one at most `limit` bytes. Raises CodingError, also where it
    was cut.
    """
    coding = open_coding(value)
    if coding is None:
        raise CodingError("content-encoding")
    decoded = coding.decode(content, limit)
    if not coding.is_complete():
        raise CodingError("content-encoding")
    return decoded


def find_zstd_compressor() -> Callable[[bytes], bytes] | None:
    """Makes one zstd member of its argument; None where zstd is not installed."""
    zstd = _import_zstd()
    return None if zstd is None else partial(zstd.compress, level=_ZSTD_LEVEL)


class _Members:
    """A series of compressed members (RFC 1952, section 2.2; RFC 8878, section 3), or a single one."""

    __slots__ = ("_error", "_left", "_member", "_start")

    def __init__(self, start: Callable[[], _Member], error: type[Exception], most: int = _MAX_MEMBERS) -> None:
        self._start = start
        self._error = error
        self._member = start()
        self._left = most - 1

    def decode(self, chunk: bytes, limit: int) -> bytes:
        decoded = bytearray()
        for place in range(0, len(chunk), _PIECE):
            piece = chunk[place : place + _PIECE]
            while piece:
                # One byte more than allowed tells a content that is too large from one that fits.
                decoded += self._decompress(piece, limit + 1 - len(decoded))
                if len(decoded) > limit:
                    raise CodingError("too-large")
                piece = self._member.unused_data
        return bytes(decoded)

    def is_complete(self) -> bool:
        return self._member.eof

    def _decompress(self, piece: bytes, length: int) -> bytes:
        if self._member.eof:
            if not self._left:
                raise CodingError("content-encoding")
            self._left -= 1
            self._member = self._start()
        try:
            return self._member.decompress(piece, length)
        except self._error:
            raise CodingError("content-encoding") from None


class _Deflate:
    """The zlib format (RFC 1950), or the bare deflate data (RFC 1951) that some senders call so."""

    __slots__ = ("_head", "_stream")

    def __init__(self) -> None:
        self._head = b""
        self._stream: _Members | None = None

    def decode(self, chunk: bytes, limit: int) -> bytes:
        if self._stream is None:
            chunk = self._head = self._head + chunk
            if len(chunk) < 2:
                return b""
            self._stream = _Members(partial(zlib.decompressobj, _deflate_wbits(chunk)), zlib.error, most=1)
            self._head = b""
        return self._stream.decode(chunk, limit)

    def is_complete(self) -> bool:
        return self._stream is not None and self._stream.is_complete()


class _Brotli:
    """One brotli stream (RFC 7932)."""

    __slots__ = ("_decompressor", "_error")

    def __init__(self) -> None:
        brotli = importlib.import_module("brotli")
        self._decompressor = brotli.Decompressor()
        self._error = brotli.error

    def decode(self, chunk: bytes, limit: int) -> bytes:
        try:
            decoded: bytes = self._decompressor.process(chunk, output_buffer_limit=limit + 1) if chunk else b""
        except self._error:
            raise CodingError("content-encoding") from None
        if len(decoded) > limit:
            raise CodingError("too-large")
        return decoded

    def is_complete(self) -> bool:
        return bool(self._decompressor.is_finished())


def _deflate_wbits(head: bytes) -> int:
    # RFC 1950, section 2.2: method 8, and the first two bytes are a multiple of 31.
    zlib_format = head[0] & 15 == zlib.DEFLATED and int.from_bytes(head[:2]) % 31 == 0
    return zlib.MAX_WBITS if zlib_format else -zlib.MAX_WBITS


def _open_gzip() -> _Layer:
    return _Members(partial(zlib.decompressobj, _GZIP_WBITS), zlib.error)


def _open_zstd() -> _Layer | None:
    parts = _find_zstd()
    return _Members(*parts) if parts else None


def _open_brotli() -> _Layer | None:
    return _Brotli() if _has_brotli() else None


@cache
def _find_zstd() -> tuple[Callable[[], _Member], type[Exception]] | None:
    zstd = _import_zstd()
    if zstd is None:
        return None
    options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    return partial(zstd.ZstdDecompressor, options=options), zstd.ZstdError


def _import_zstd() -> ModuleType | None:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


@cache
def _has_brotli() -> bool:
    """Releases before 1.2 cannot bound what they put out (CVE-2025-6176)."""
    try:
        return hasattr(importlib.import_module("brotli").Decompressor, "can_accept_more_data")
    except ImportError:
        return False


_LAYERS: Final[dict[bytes, Callable[[], _Layer | None]]] = {
    b"gzip": _open_gzip,
    b"x-gzip": _open_gzip,
    b"deflate": _Deflate,
    b"zstd": _open_zstd,
    b"br": _open_brotli,
}
