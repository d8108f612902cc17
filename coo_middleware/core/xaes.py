"""XAES-256-GCM (https://c2sp.org/XAES-256-GCM): AES-256-GCM under a key that is derived for each nonce of 192 bits.

Bare AES-GCM with random nonces is good for 2^32 messages under one key (NIST SP 800-38D, section 8.3), which a busy
proxy stores within weeks; this is good for 2^80. The parts are AES-CMAC and AES-256-GCM of the library `cryptography`.
"""

from __future__ import annotations

from typing import Final

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16

_HALF: Final = 12


class OpenError(ValueError):
    """What was to be opened was not sealed like this: another key, nonce or binding, or a byte that was changed."""


class Xaes:
    """Seals and opens under one key of 32 bytes. Raises ImportError when `cryptography` is not installed."""

    __slots__ = ("_aead", "_fault", "_mac")

    def __init__(self, key: bytes) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.ciphers.algorithms import AES256
        from cryptography.hazmat.primitives.cmac import CMAC

        self._aead: Final = AESGCM
        self._fault: Final = InvalidTag
        self._mac: Final = CMAC(AES256(key))

    def seal(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
        """`data` encrypted, 16 bytes longer; it opens with the same `bound` only. A nonce is used once."""
        return self._aead(self._derive(nonce)).encrypt(nonce[_HALF:], data, bound)

    def open(self, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
        """What was sealed. Raises OpenError."""
        try:
            return self._aead(self._derive(nonce)).decrypt(nonce[_HALF:], sealed, bound)
        except self._fault:
            raise OpenError("it does not open") from None

    def _derive(self, nonce: bytes) -> bytes:
        """SP 800-108, section 4.1, in counter mode: the label is an X and the context the nonce's first half."""
        blocks = []
        for number in (b"\x00\x01", b"\x00\x02"):
            mac = self._mac.copy()
            mac.update(number + b"X\x00" + nonce[:_HALF])
            blocks.append(mac.finalize())
        return b"".join(blocks)
