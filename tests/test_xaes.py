"""core/xaes.py: XAES-256-GCM with the vectors of its specification."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pytest

from coo_middleware.core.xaes import OpenError, Xaes

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
DATA = b"XAES-256-GCM"


@pytest.mark.parametrize(
    ("key", "bound", "sealed"),
    [
        (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\x03" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_the_specifications_vectors(key: bytes, bound: bytes, sealed: str) -> None:
    """Both of them, sealed and opened."""
    assert sealed == Xaes(key).seal(NONCE, DATA, bound).hex()
    assert DATA == Xaes(key).open(NONCE, bytes.fromhex(sealed), bound)


def test_the_specifications_accumulated_vector() -> None:
    """Ten thousand messages of all lengths up to 255 bytes, drawn from SHAKE-128, have the hash that is published."""
    drawn = BytesIO(hashlib.shake_128().digest(10_000 * (32 + 24 + 256 + 256)))
    hashed = hashlib.shake_128()
    for _ in range(10_000):
        key, nonce = drawn.read(32), drawn.read(24)
        data, bound = (drawn.read(drawn.read(1)[0]) for _ in range(2))
        hashed.update(Xaes(key).seal(nonce, data, bound))

    assert "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939" == hashed.hexdigest(32)


@pytest.mark.parametrize("sealed", [b"", b"\x00" * 15, b"\x00" * 16, b"\x00" * 100])
def test_what_was_not_sealed_does_not_open(sealed: bytes) -> None:
    """Neither what is shorter than a tag nor what has a wrong one."""
    with pytest.raises(OpenError):
        Xaes(b"\x01" * 32).open(NONCE, sealed, b"")
