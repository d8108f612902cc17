"""How bytes lie in a store: compressed, and encrypted so that a dump without the key tells nothing but lengths.

Without keys, `data` lies as it is, or behind `COS\\x01` and a form (0 as it is, 1 zstd). With keys: `COE\\x01` · key id
(8 bytes) · nonce (24 bytes) · form and data under XAES-256-GCM, whose associated data are the first twelve bytes of all
and what the caller binds it to. With keys nothing else is accepted: whoever can write to the store can neither make up
a response nor put one in another's place.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from secrets import token_bytes
from typing import TYPE_CHECKING, Final

from coo_middleware.core.coding import CodingError, decode_content, find_zstd_compressor
from coo_middleware.core.entry import EntryError
from coo_middleware.core.xaes import KEY_BYTES, NONCE_BYTES, OpenError, Xaes

if TYPE_CHECKING:
    from collections.abc import Sequence

# As much more than the content as the other parts of an entry may have.
FRAME_BYTES: Final = 1_048_576

_PLAIN: Final = b"COS\x01"
_ENCRYPTED: Final = b"COE\x01"
_MARKS: Final = (_PLAIN[:3], _ENCRYPTED[:3])
_AS_IT_IS: Final = b"\x00"
_ZSTD: Final = b"\x01"
_ID_BYTES: Final = 8
_HEAD_BYTES: Final = len(_ENCRYPTED) + _ID_BYTES
# Shorter ones hardly shrink.
_LEAST_COMPRESSED: Final = 256
# Of 32 random bytes, so few differ once in 10^15 times: a key with fewer was made by hand.
_LEAST_DIFFERENT: Final = 16
_FROM_URL_SAFE: Final = str.maketrans("-_", "+/")


class Sealer:
    """Seals with the first of `keys`, each as `read_key` gives it, and opens with any of them; with none, nothing is
    encrypted. `compress` says whether it compresses what becomes shorter; it reads what was compressed either way, up
    to `most_bytes`.

    Raises ImportError when what it needs is not installed: `name` is `zstd`, or a module of `cryptography`.
    """

    __slots__ = ("_compress", "_keys", "_most_bytes")

    def __init__(self, keys: Sequence[bytes] = (), *, compress: bool = False, most_bytes: int = FRAME_BYTES) -> None:
        self._keys: Final = tuple(map(_Key, keys))
        self._compress: Final = find_zstd_compressor() if compress else None
        self._most_bytes: Final = most_bytes
        if compress and self._compress is None:
            raise ImportError("zstd is not installed", name="zstd")

    def name(self, key: str) -> str:
        """The name under which `key` lies in the store: itself, or a digest of it that nobody can make without the
        encryption key, so that a dump cannot be searched for a prompt that is guessed.
        """
        return self._keys[0].name(key) if self._keys else key

    def names(self, key: str) -> tuple[str, ...]:
        """`name`, and behind it the names under which `key` may still lie from before a rotation."""
        return tuple(each.name(key) for each in self._keys) if self._keys else (key,)

    def seal(self, data: bytes, bound: bytes) -> bytes:
        """`data` as it is to lie in a store; it opens with the same `bound` only, and there is no limit to how often
        this is done.
        """
        packed = self._pack(data)
        if self._keys:
            return self._keys[0].seal(packed, bound)
        is_plain = packed.startswith(_AS_IT_IS) and not data.startswith(_MARKS)
        return data if is_plain else _PLAIN + packed

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """What was sealed. Raises EntryError for anything that was not sealed with one of the keys and `bound`, and
        where it would be longer than `most_bytes`.
        """
        if self._keys:
            return self._unpack(self._find_key(sealed).open(sealed, bound))
        if not sealed.startswith(_MARKS):
            return sealed
        if not sealed.startswith(_PLAIN):
            raise EntryError("it is encrypted, or of another version")
        return self._unpack(sealed[len(_PLAIN) :])

    def is_known(self, head: bytes) -> bool:
        """Whether what begins with these bytes, twelve at least, may open: by its key's id, or for want of one."""
        if self._keys:
            return any(head.startswith(key.head) for key in self._keys)
        return not head.startswith(_ENCRYPTED)

    def _find_key(self, sealed: bytes) -> _Key:
        for key in self._keys:
            if sealed.startswith(key.head):
                return key
        raise EntryError("it is not encrypted with a key that is configured")

    def _pack(self, data: bytes) -> bytes:
        if self._compress is not None and _LEAST_COMPRESSED <= len(data) <= self._most_bytes:
            compressed = self._compress(data)
            if len(compressed) < len(data):
                return _ZSTD + compressed
        return _AS_IT_IS + data

    def _unpack(self, packed: bytes) -> bytes:
        form, data = packed[:1], packed[1:]
        if form == _AS_IT_IS:
            return data
        if form != _ZSTD:
            raise EntryError("its form is none of ours")
        try:
            return decode_content(data, b"zstd", self._most_bytes)
        except CodingError as error:
            raise EntryError(f"it cannot be decompressed: {error.reason}") from None


def read_key(text: str) -> bytes:
    """An encryption key: 32 random bytes in hexadecimal, base64 or base64url. Raises ValueError, without the text."""
    text = text.strip()
    try:
        if len(text) == 2 * KEY_BYTES:
            key = bytes.fromhex(text)
        else:
            key = b64decode(text.translate(_FROM_URL_SAFE).rstrip("=") + "=", validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or len(set(key)) < _LEAST_DIFFERENT:
        raise ValueError("must be 32 random bytes in base64 or hexadecimal; openssl rand -base64 32 makes one")
    return key


class _Key:
    """One key's parts, each derived from it for one purpose (HKDF-Expand, RFC 5869 section 2.3)."""

    __slots__ = ("_cipher", "_naming", "head")

    def __init__(self, key: bytes) -> None:
        self.head: Final = _ENCRYPTED + _derive(key, b"coo/1/key id")[:_ID_BYTES]
        self._naming: Final = _derive(key, b"coo/1/name")
        self._cipher: Final = Xaes(_derive(key, b"coo/1/seal"))

    def name(self, key: str) -> str:
        return "s" + hmac.digest(self._naming, key.encode(), "sha256").hex()

    def seal(self, packed: bytes, bound: bytes) -> bytes:
        nonce = token_bytes(NONCE_BYTES)
        return self.head + nonce + self._cipher.seal(nonce, packed, self.head + bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        nonce = sealed[_HEAD_BYTES : _HEAD_BYTES + NONCE_BYTES]
        if len(nonce) < NONCE_BYTES:
            raise EntryError("it was cut")
        try:
            return self._cipher.open(nonce, sealed[_HEAD_BYTES + NONCE_BYTES :], self.head + bound)
        except OpenError:
            raise EntryError("it was changed, or belongs to another place") from None


def _derive(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose + b"\x01", "sha256")
