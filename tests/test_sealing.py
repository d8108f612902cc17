"""core/sealing.py: what is sealed opens in its own place with a key that is known, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coo_middleware.core import coding
from coo_middleware.core.coding import find_zstd_compressor
from coo_middleware.core.entry import EntryError
from coo_middleware.core.sealing import Sealer, read_key

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD, NEW, FOREIGN = (bytes(range(first, first + 32)) for first in (0, 32, 64))
TEXT = b'{"role":"assistant","content":"Hello"}' * 40
SEALERS = [Sealer(keys, compress=compress) for keys in ((), (NEW, OLD)) for compress in (False, True)]
PLAIN, ZIPPED, ENCRYPTED, BOTH = SEALERS
COMPRESS = find_zstd_compressor()

contents = st.binary(max_size=600) | st.builds(
    lambda part, times: part * times, st.binary(max_size=20), st.integers(0, 99)
)


@pytest.mark.parametrize("sealer", SEALERS)
@given(contents, st.binary(max_size=80))
@example(b"COS\x01\x00", b"")
@example(b"COS", b"")
@example(b"COE\x01", b"")
@example(b"COO\x02", b"")
@example(TEXT, b"a")
def test_what_is_sealed_opens(sealer: Sealer, data: bytes, bound: bytes) -> None:
    """Byte for byte, whatever it is, however it lies."""
    assert data == sealer.open(sealer.seal(data, bound), bound)


def test_sealers_without_keys_understand_each_other() -> None:
    """The setting `compress` says how it is written; both forms are read either way, and replicas may differ."""
    assert TEXT == PLAIN.open(ZIPPED.seal(TEXT, b""), b"")
    assert TEXT == ZIPPED.open(PLAIN.seal(TEXT, b""), b"")
    assert TEXT == PLAIN.seal(TEXT, b"")


def test_the_same_key_reads_both_forms() -> None:
    """So it is for what is encrypted."""
    assert TEXT == ENCRYPTED.open(BOTH.seal(TEXT, b"b"), b"b")
    assert TEXT == BOTH.open(ENCRYPTED.seal(TEXT, b"b"), b"b")


@given(st.data())
def test_no_flipped_bit_opens(data: st.DataObject) -> None:
    """Head, key id, nonce, content and tag are all authenticated."""
    sealed = bytearray(BOTH.seal(TEXT, b"b"))
    place = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[place // 8] ^= 1 << place % 8

    with pytest.raises(EntryError):
        BOTH.open(bytes(sealed), b"b")


def test_no_flipped_byte_opens() -> None:
    """Each place of one frame, one after another."""
    sealed = ENCRYPTED.seal(b"short", b"b")
    opened = 0
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 0xFF]) + sealed[place + 1 :]
        with pytest.raises(EntryError):
            ENCRYPTED.open(changed, b"b")
        opened += 1

    assert 4 + 8 + 24 + 1 + len(b"short") + 16 == opened


@given(st.integers(0, 90))
def test_no_piece_opens(length: int) -> None:
    """What was cut, at whatever place, is refused."""
    sealed = ENCRYPTED.seal(b"x" * 40, b"b")

    with pytest.raises(EntryError):
        ENCRYPTED.open(sealed[: min(length, len(sealed) - 1)], b"b")


@pytest.mark.parametrize("sealer", [ENCRYPTED, BOTH])
@given(st.binary(max_size=9), st.binary(max_size=9))
def test_it_opens_in_its_own_place_only(sealer: Sealer, bound: bytes, other: bytes) -> None:
    """A frame that is moved to another key is refused, with the same encryption key."""
    if bound == other:
        assert TEXT == sealer.open(sealer.seal(TEXT, bound), other)
        return
    with pytest.raises(EntryError, match="another place"):
        sealer.open(sealer.seal(TEXT, bound), other)


@given(st.binary(max_size=200))
@example(PLAIN.seal(TEXT, b""))
@example(ZIPPED.seal(TEXT, b""))
@example(b"COE\x01" + bytes(8) + bytes(24) + bytes(17))
def test_with_a_key_nothing_else_is_accepted(sealed: bytes) -> None:
    """Whoever can write to the store cannot make up a response, not even in a form that we read without a key."""
    with pytest.raises(EntryError):
        BOTH.open(sealed, b"")


def test_without_the_key_it_does_not_open() -> None:
    """Another key, and none, are told apart from a frame that was changed."""
    sealed = ENCRYPTED.seal(TEXT, b"b")

    with pytest.raises(EntryError, match="not encrypted with a key that is configured"):
        Sealer([FOREIGN]).open(sealed, b"b")
    with pytest.raises(EntryError, match="encrypted, or of another version"):
        PLAIN.open(sealed, b"b")


def test_how_it_begins_tells_whether_it_may_open() -> None:
    """The doctor sees which responses nobody can read without reading them."""
    heads = {sealer: sealer.seal(TEXT, b"b")[:12] for sealer in SEALERS}

    assert [PLAIN, ZIPPED] == [sealer for sealer, head in heads.items() if PLAIN.is_known(head)]
    assert [ENCRYPTED, BOTH] == [sealer for sealer, head in heads.items() if Sealer([OLD, NEW]).is_known(head)]
    assert [] == [sealer for sealer, head in heads.items() if Sealer([FOREIGN]).is_known(head)]


def test_a_key_can_be_replaced() -> None:
    """The first key seals, all of them open; once the old one is taken away, what it sealed is unreadable."""
    before, during, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    sealed = before.seal(TEXT, b"b")

    assert TEXT == during.open(sealed, b"b")
    assert TEXT == after.open(during.seal(TEXT, b"b"), b"b")
    with pytest.raises(EntryError):
        before.open(during.seal(TEXT, b"b"), b"b")
    with pytest.raises(EntryError):
        after.open(sealed, b"b")


def test_names_follow_the_keys() -> None:
    """The first key names, the others' names are known as well, and without a key the name is the key itself."""
    during = Sealer([NEW, OLD])

    assert (Sealer([NEW]).name("1ab"), Sealer([OLD]).name("1ab")) == during.names("1ab")
    assert during.names("1ab")[0] == during.name("1ab")
    assert ("1ab",) == PLAIN.names("1ab")
    assert "1ab" == PLAIN.name("1ab")


def test_a_name_tells_nothing() -> None:
    """It is as long for any key, another for another key, and no part of the digest is in it."""
    first, second = (ENCRYPTED.name("1" + letter * 64) for letter in "ab")

    assert 65 == len(first) == len(second)
    assert first != second
    assert "aaaa" not in first


def test_equal_contents_lie_differently() -> None:
    """Nonces are fresh, so nobody sees that two answers are the same."""
    assert 100 == len({ENCRYPTED.seal(TEXT, b"b")[12:] for _ in range(100)})


@pytest.mark.parametrize("sealed", [b"COS", b"COS\x02\x00abc", b"COS\x01", b"COS\x01\x02abc", b"COE\x01abc"])
def test_another_version_is_refused(sealed: bytes) -> None:
    """A later version's frame, and an unknown form, are not taken for content."""
    with pytest.raises(EntryError):
        PLAIN.open(sealed, b"")


def test_it_compresses_what_becomes_shorter() -> None:
    """A long text does; a short one and one that looks like noise lie as they are."""
    noise = hashlib.shake_128(b"noise").digest(2000)

    assert len(ZIPPED.seal(TEXT, b"")) < len(TEXT) // 5
    assert len(BOTH.seal(TEXT, b"")) < len(TEXT) // 5
    assert noise == ZIPPED.seal(noise, b"")
    assert b"a" * 200 == ZIPPED.seal(b"a" * 200, b"")


@pytest.mark.parametrize("sealer", [ZIPPED, PLAIN])
def test_a_bomb_is_refused(sealer: Sealer) -> None:
    """A few bytes that would become more than the bound are refused, however many members they are."""
    assert COMPRESS is not None
    bomb = COMPRESS(bytes(64_000_000))
    assert 10_000 > len(bomb)

    for packed in (bomb, COMPRESS(bytes(600_000)) * 2):
        with pytest.raises(EntryError, match="too-large"):
            sealer.open(b"COS\x01\x01" + packed, b"")


def test_what_does_not_decompress_is_refused() -> None:
    """A member that is cut, and bytes that are none."""
    for packed in (ZIPPED.seal(TEXT, b"")[:-1], b"COS\x01\x01abc"):
        with pytest.raises(EntryError, match="content-encoding"):
            ZIPPED.open(packed, b"")


def test_a_content_over_the_bound_lies_as_it_is() -> None:
    """Else it could not be read again."""
    sealer = Sealer(compress=True, most_bytes=1000)

    assert b"a" * 1001 == sealer.seal(b"a" * 1001, b"")
    assert b"a" * 1000 == sealer.open(sealer.seal(b"a" * 1000, b""), b"")


@given(st.binary(min_size=32, max_size=32).filter(lambda key: len(set(key)) >= 16))
@example(b"\xff\xfe" + bytes(range(30)))
def test_a_key_is_read_in_every_form(key: bytes) -> None:
    """Hexadecimal of either case, base64 and base64url, with and without padding, and an end of line behind it."""
    forms = [
        key.hex(),
        key.hex().upper(),
        *(form(key).decode() for form in (base64.b64encode, base64.urlsafe_b64encode)),
    ]

    assert {key} == {read_key(text) for form in forms for text in (form, form.rstrip("="), form + "\n")}


@given(st.text(max_size=70))
@example("correct horse battery staple")
@example("a" * 64)
@example("é" * 43)
@example(base64.b64encode(bytes(range(31))).decode())
@example(base64.b64encode(bytes(range(33))).decode())
def test_what_is_no_key_is_refused(text: str) -> None:
    """A passphrase is none, and the error does not repeat it."""
    with pytest.raises(ValueError, match="must be 32 random bytes") as caught:
        read_key(text)
    assert caught.value.__context__ is None


def test_no_representation_shows_a_key() -> None:
    """A Sealer may be logged."""
    shown = repr(ENCRYPTED) + repr(ENCRYPTED._keys)

    assert NEW.hex() not in shown
    assert repr(NEW) not in shown


@pytest.fixture
def bare() -> Iterator[None]:
    """Neither zstd nor cryptography can be imported."""
    names = ("compression.zstd", "backports.zstd", "cryptography.hazmat.primitives.cmac")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setitem(sys.modules, name, None)
        coding._find_zstd.cache_clear()
        yield
    coding._find_zstd.cache_clear()


@pytest.mark.usefixtures("bare")
def test_what_is_missing_is_named() -> None:
    """A setting that cannot be kept is refused at the start, and a compressed response is a bad entry."""
    sealed = b"COS\x01\x01abc"

    with pytest.raises(ImportError) as caught:
        Sealer(compress=True)
    assert "zstd" == caught.value.name
    with pytest.raises(ImportError) as caught:
        Sealer([NEW])
    assert str(caught.value.name).startswith("cryptography")
    with pytest.raises(EntryError):
        Sealer().open(sealed, b"")
