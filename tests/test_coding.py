"""Content codings are undone to the byte, within bounds, and never more than the content says."""

import gzip
import importlib
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core import coding
from coo_middleware.core.coding import MAX_CODINGS, Coding, CodingError, decode_content, open_coding

# Without the time, which would be part of the tests' names.
GZIP = partial(gzip.compress, mtime=0)


def find_zstd() -> ModuleType:
    try:
        return importlib.import_module("compression.zstd")
    except ImportError:
        return importlib.import_module("backports.zstd")


ZSTD = find_zstd()
BROTLI = importlib.import_module("brotli")
SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"  # RFC 8878, section 3.1.2
NO_LIMIT = 1 << 40


def deflate(content: bytes, wbits: int = -zlib.MAX_WBITS) -> bytes:
    compressor = zlib.compressobj(wbits=wbits)
    return compressor.compress(content) + compressor.flush()


CODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": GZIP,
    b"deflate": zlib.compress,
    b"zstd": ZSTD.compress,
    b"br": BROTLI.compress,
}


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What was found to be installed is looked up anew, within the test and after it."""
    coding._find_zstd.cache_clear()
    coding._has_brotli.cache_clear()
    yield
    coding._find_zstd.cache_clear()
    coding._has_brotli.cache_clear()


def opened(value: bytes) -> Coding:
    decoder = open_coding(value)
    assert decoder is not None
    return decoder


def decode(chunks: list[bytes], value: bytes) -> bytes:
    decoder = opened(value)
    content = b"".join(decoder.decode(chunk, NO_LIMIT) for chunk in chunks)
    assert decoder.is_complete()
    return content


def reason_of(content: bytes, value: bytes, limit: int = NO_LIMIT) -> str:
    with pytest.raises(CodingError) as caught:
        decode_content(content, value, limit)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(
    ("value", "coded"),
    [
        (b"", b"content"),
        (b"identity", b"content"),
        (b" , identity ,", b"content"),
        (b"gzip", GZIP(b"content")),
        (b"X-GZip", GZIP(b"content")),
        (b"\tgzip ", GZIP(b"content")),
        (b"deflate", zlib.compress(b"content")),
        (b"deflate", deflate(b"content")),
        (b"deflate", deflate(b"content", wbits=9)),
        (b"zstd", ZSTD.compress(b"content")),
        (b"br", BROTLI.compress(b"content")),
        (b"gzip, zstd", ZSTD.compress(GZIP(b"content"))),
        (b"br,identity,,deflate , x-gzip", GZIP(deflate(BROTLI.compress(b"content")))),
    ],
)
def test_codings_are_undone(value: bytes, coded: bytes) -> None:
    """Each coding gives the content, also in another case, behind identity and in a list, the last applied first."""
    assert b"content" == decode_content(coded, value, 7)
    assert b"content" == decode([coded[place : place + 1] for place in range(len(coded))], value)


@pytest.mark.parametrize(
    "value", [b"compress", b"gzip2", b"gzip;q=1", b"gzip zstd", b"dcz", b"\xff", b"gzip, aes128gcm", b"br" + b",br" * 3]
)
def test_what_cannot_be_read_is_told_before_it_is_tried(value: bytes) -> None:
    """An unknown coding anywhere, and a list that is too long, is no coding."""
    assert open_coding(value) is None
    assert "content-encoding" == reason_of(b"", value)


def test_as_many_codings_as_allowed_are_read() -> None:
    """The longest list is read; what says nothing does not count."""
    coded = b"content"
    for _ in range(MAX_CODINGS):
        coded = GZIP(coded)

    assert b"content" == decode_content(coded, b"identity" + b",gzip" * MAX_CODINGS, NO_LIMIT)


@given(st.binary(max_size=300), st.lists(st.sampled_from(sorted(CODERS)), max_size=3), st.integers(1, 7))
def test_a_content_survives_any_codings_and_chunks(content: bytes, names: list[bytes], size: int) -> None:
    """Whatever is coded, in any order, is decoded from any chunks, and is complete with the last of them only."""
    coded = content
    for name in names:
        coded = CODERS[name](coded)
    decoder = opened(b",".join(names))
    decoded = b""
    for place in range(0, len(coded), size):
        assert not names or not decoder.is_complete()
        decoded += decoder.decode(coded[place : place + size], NO_LIMIT)

    assert content == decoded
    assert decoder.is_complete()
    assert b"" == decoder.decode(b"", 0)


@given(st.sampled_from(sorted(CODERS)), st.binary(max_size=60), st.integers(0, 64), st.integers(0, 255))
def test_broken_data_is_an_error_of_ours(name: bytes, content: bytes, place: int, octet: int) -> None:
    """A byte that was changed gives a CodingError or a content within the limit, never another exception."""
    coded = bytearray(CODERS[name](content))
    coded[place % len(coded)] = octet
    with suppress(CodingError):
        assert len(decode_content(bytes(coded), name, 100)) <= 100


@pytest.mark.parametrize("name", sorted(CODERS))
def test_a_cut_content_is_not_complete(name: bytes) -> None:
    """A content that ends anywhere before its end, even with all of its text, is incomplete and as a whole an error."""
    coded = CODERS[name](b"content")
    for place in range(len(coded)):
        decoder = opened(name)
        decoder.decode(coded[:place], NO_LIMIT)
        assert not decoder.is_complete()
        assert "content-encoding" == reason_of(coded[:place], name)


@pytest.mark.parametrize(
    ("value", "coded"),
    [
        (b"gzip", GZIP(b"one") + GZIP(b"") + GZIP(b"two")),
        (b"zstd", ZSTD.compress(b"one") + SKIPPABLE + ZSTD.compress(b"two")),
        (b"zstd", SKIPPABLE + ZSTD.compress(b"onetwo") + SKIPPABLE),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_members_follow_one_another(value: bytes, coded: bytes, size: int) -> None:
    """Members and frames add up to one content, wherever they are cut (RFC 1952, 2.2; RFC 8878, 3)."""
    assert b"onetwo" == decode([coded[place : place + size] for place in range(0, len(coded), size)], value)


@pytest.mark.parametrize("name", sorted(CODERS))
@pytest.mark.parametrize("garbage", [b"\x00", b"garbage", b"\x1f\x8b", b"\x28\xb5"])
def test_garbage_behind_the_end_is_an_error(name: bytes, garbage: bytes) -> None:
    """What follows the end and is no further member is no part of a content, in the same chunk or in the next."""
    coded = CODERS[name](b"content")
    decoder = opened(name)
    decoder.decode(coded, NO_LIMIT)

    assert "content-encoding" == reason_of(coded + garbage, name)
    with suppress(CodingError):
        decoder.decode(garbage, NO_LIMIT)
        assert not decoder.is_complete()


@pytest.mark.parametrize("name", sorted(CODERS))
def test_the_limit_is_exact(name: bytes) -> None:
    """A coded content of the limit's length is decoded; one byte more is too large."""
    coded = CODERS[name](b"a" * 100_000)

    assert b"a" * 100_000 == decode_content(coded, name, 100_000)
    assert "too-large" == reason_of(coded, name, 99_999)
    assert "too-large" == reason_of(coded, name, 0)


def test_what_is_not_coded_is_not_limited() -> None:
    """Without a coding nothing grows: the content is given back as it is, whatever the limit."""
    assert b"content" == decode_content(b"content", b"identity", 0)


def bombs() -> dict[bytes, bytes]:
    """Some 10 MB each that would be 10 GB or more, made by repeating what one block of zeros comes to."""
    zeros = bytes(1 << 24)
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)
    return {
        b"gzip": GZIP(b"")[:10] + block * 640,
        b"deflate": block * 640,
        b"zstd": ZSTD.compress(zeros) * 15_000,
        b"br": BROTLI.compress(zeros),
        b"gzip, gzip": GZIP(GZIP(zeros)),
    }


def test_a_bomb_is_not_unpacked() -> None:
    """However much a content would unpack to, no more than the limit and some working space is ever held."""
    for value, content in bombs().items():
        tracemalloc.start()
        try:
            assert "too-large" == reason_of(content, value, 100_000)
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("name", [b"gzip", b"zstd"])
def test_members_are_counted(name: bytes) -> None:
    """A content of very many empty members, of which each takes time to begin, is refused."""
    empty = CODERS[name](b"")

    assert b"" == decode_content(empty * 4096, name, 0)
    assert "content-encoding" == reason_of(empty * 4097, name)


def test_a_window_over_the_agreed_one_is_refused() -> None:
    """A frame that asks for more than 8 MiB of window gets no memory (RFC 9659, section 3)."""

    def frame(window_log: int) -> bytes:
        compressor = ZSTD.ZstdCompressor(options={ZSTD.CompressionParameter.window_log: window_log})
        coded: bytes = compressor.compress(b"content") + compressor.flush()
        return coded

    assert b"content" == decode_content(frame(23), b"zstd", 7)
    assert "content-encoding" == reason_of(frame(24), b"zstd")


@pytest.mark.usefixtures("forgetful")
def test_codings_need_their_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a library is missing its coding cannot be read; gzip and deflate always can."""
    for name in ("compression", "compression.zstd", "backports.zstd", "brotli"):
        monkeypatch.setitem(sys.modules, name, None)

    assert [None, None, None] == [open_coding(value) for value in (b"zstd", b"br", b"gzip, zstd")]
    assert None not in [open_coding(value) for value in (b"gzip", b"deflate")]


@pytest.mark.usefixtures("forgetful")
def test_a_library_without_bounds_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of brotli that cannot bound what it puts out counts as missing."""
    old = ModuleType("brotli")
    monkeypatch.setattr(old, "Decompressor", object, raising=False)
    monkeypatch.setitem(sys.modules, "brotli", old)

    assert open_coding(b"br") is None
