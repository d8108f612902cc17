"""core/entry.py: a stored response and its frame."""

from __future__ import annotations

import hashlib
import math
import pickle
import struct
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coo_middleware.core.entry import Entry, EntryError, pack_entry, peek_entry, reused_fields, unpack_entry
from coo_middleware.core.outcome import Usage
from coo_middleware.core.shape import Shape

DIGEST = bytes(range(32))
ENTRY = Entry(
    digest=DIGEST,
    created=1_700_000_000.5,
    ttl=10.0,
    provider="openai",
    key_id="clé-1",
    model="gpt",
    format="chat",
    shape=Shape(stream=False),
    usage=Usage(6, 7),
    headers=((b"content-type", b"application/json"),),
    content=b'{"a":1}',
)

times = st.floats(0, 1e12)
counts = st.integers(0, 2**63 - 1)
entries = st.builds(
    Entry,
    digest=st.binary(min_size=32, max_size=32),
    created=times,
    ttl=times,
    provider=st.text(),
    key_id=st.text(),
    model=st.text(),
    format=st.text(),
    shape=st.builds(Shape, st.booleans(), st.booleans()),
    usage=st.none() | st.builds(Usage, *[st.none() | counts] * 7, estimated=st.booleans()),
    headers=st.lists(
        st.tuples(st.sampled_from([b"Content-Type", b"content-language", b"x-other"]), st.binary(max_size=20))
    ).map(reused_fields),
    content=st.binary(),
    stale_while_revalidate=times,
    stale_if_error=times,
    generation=st.integers(0, 2**64 - 1),
    namespace=st.text(),
    caller=st.text(),
    tags=st.lists(st.text("abc:-", min_size=1), max_size=3).map(tuple),
)


def sealed(body: bytes) -> bytes:
    """A frame whose checksum is right, whatever its inside is."""
    return body + hashlib.blake2b(body, digest_size=16).digest()


def framed(
    tokens: tuple[int, int] = (1, 2),
    *,
    flags: int = 4,
    times: tuple[float, float] = (1.0, 10.0),
    provider: bytes = b"openai",
    fields: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """A frame written by hand, as the module's docstring says that it is."""
    strings = (DIGEST, provider, b"key", b"model", b"chat", b"space", b"caller", b"one\ntwo", fields, b"{}")
    head = struct.pack(">4s4dQ7qB", b"COO\x02", *times, 0.0, 0.0, 7, *tokens, -1, -1, -1, -1, -1, flags)
    return sealed(head + b"".join(struct.pack(">I", len(each)) + each for each in strings) + tail)


@given(entries)
@example(ENTRY)
@example(replace(ENTRY, usage=None, shape=Shape(stream=True, usage=True), headers=(), content=b""))
def test_entry_comes_back_as_it_went(entry: Entry) -> None:
    """A frame gives the entry that it was made from."""
    assert entry == unpack_entry(pack_entry(entry), entry.digest)


def test_frame_is_what_the_docstring_says() -> None:
    """A frame made by hand from the description reads as the entry that it describes."""
    entry = unpack_entry(framed(fields=b"content-type: text/event-stream\n"), DIGEST)

    assert ("openai", "key", "model", "chat") == (entry.provider, entry.key_id, entry.model, entry.format)
    assert ((b"content-type", b"text/event-stream"),) == entry.headers
    assert pack_entry(entry) == framed(fields=b"content-type: text/event-stream\n")


def test_lone_surrogates_are_replaced() -> None:
    """A name that has no UTF-8 is stored with a question mark for what has none."""
    assert "m?" == unpack_entry(pack_entry(replace(ENTRY, model="m\ud800")), DIGEST).model


def test_frame_cut_anywhere_is_refused() -> None:
    """No beginning of a frame reads as an entry, nor does a frame with more behind it."""
    frame = pack_entry(ENTRY)
    for length in range(len(frame)):
        with pytest.raises(EntryError):
            unpack_entry(frame[:length], DIGEST)
    with pytest.raises(EntryError):
        unpack_entry(frame + b"\0", DIGEST)


def test_changed_byte_is_seen_anywhere() -> None:
    """A frame in which any one byte is another is refused."""
    frame = pack_entry(ENTRY)
    for place in range(len(frame)):
        for change in (0x01, 0x80, 0xFF):
            changed = bytearray(frame)
            changed[place] ^= change
            with pytest.raises(EntryError):
                unpack_entry(bytes(changed), DIGEST)


@pytest.mark.parametrize("magic", [b"COO\x01", b"COO\x03", b"coo\x02", b"\0\0\0\0"])
def test_other_versions_are_refused(magic: bytes) -> None:
    """A whole frame of an older or a later version is none of ours."""
    with pytest.raises(EntryError, match="not a whole frame"):
        unpack_entry(sealed(magic + pack_entry(ENTRY)[4:-16]), DIGEST)


@pytest.mark.parametrize("digest", [b"", DIGEST[:31], DIGEST[::-1], DIGEST + b"\0"])
def test_frame_of_another_key_is_refused(digest: bytes) -> None:
    """A frame that was moved to another key, or repeats a part of it only, is refused."""
    with pytest.raises(EntryError, match="another key"):
        unpack_entry(pack_entry(ENTRY), digest)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (framed(provider=b"\xff"), "not UTF-8"),
        (framed(provider=b"\xed\xa0\x80"), "not UTF-8"),
        (framed(times=(math.nan, 10)), "times"),
        (framed(times=(1, math.nan)), "times"),
        (framed(times=(math.inf, 10)), "times"),
        (framed(times=(1, math.inf)), "times"),
        (framed(times=(-1, 10)), "times"),
        (framed(times=(1, -1)), "times"),
        (framed(times=(2.0**40, 10)), "times"),
        (framed(fields=b"content-type: a\rb\n"), "field"),
        (framed(fields=b"content-type: a\0b\n"), "field"),
        (framed(fields=b"Content-Type: a\n"), "field"),
        (framed(fields=b"content-type:a\n"), "field"),
        (framed(fields=b"set-cookie: a=1\n"), "field"),
        (framed(fields=b"content-type: a\nset-cookie: a=1\n"), "field"),
        (framed(fields=b"\xff"), "field"),
        (framed(tail=b"\0"), "lengths"),
        (framed(tail=struct.pack(">I", 0)), "lengths"),
        (sealed(framed()[: -16 - 1]), "lengths"),
        (sealed(framed()[: -16 - 4]), "missing"),
        (sealed(framed()[:101]), "missing"),
        (sealed(framed()[:100]), "not a whole frame"),
        (sealed(framed()[:101] + b"\xff\xff\xff\xff" + framed()[105:-16]), "missing"),
    ],
)
def test_whole_frame_that_makes_no_sense_is_refused(frame: bytes, reason: str) -> None:
    """A right checksum proves that nothing was lost, not that the inside makes sense."""
    with pytest.raises(EntryError, match=reason):
        unpack_entry(frame, DIGEST)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [((-1, -1), Usage(None, None)), ((-1, 5), Usage(None, 5)), ((5, -(2**63)), Usage(5, None)), ((0, 0), Usage(0, 0))],
)
def test_negative_tokens_are_unknown(tokens: tuple[int, int], expected: Usage) -> None:
    """Usage is never negative: a count that is was not known."""
    assert expected == unpack_entry(framed(tokens), DIGEST).usage


def test_flags_tell_the_shape_and_the_usage() -> None:
    """Streamed, asked for usage, known and estimated are one bit each."""
    entries = [unpack_entry(framed(flags=flags), DIGEST) for flags in range(16)]

    assert [Shape(bool(flags & 1), bool(flags & 2)) for flags in range(16)] == [entry.shape for entry in entries]
    known = [Usage(1, 2, estimated=bool(flags & 8)) if flags & 4 else None for flags in range(16)]
    assert known == [entry.usage for entry in entries]


@pytest.mark.parametrize(
    "value", [b"", b"\x80\x04N.", pickle.dumps(ENTRY.content), b'{"a":1}', b"\x1f\x8b\x08\x00", b"COO\x01"]
)
def test_value_of_another_application_is_refused(value: bytes) -> None:
    """What others keep under our keys is never read as ours."""
    with pytest.raises(EntryError):
        unpack_entry(value, DIGEST)


@given(st.binary(max_size=120), st.integers(0, 120))
def test_any_bytes_are_an_entry_or_refused(noise: bytes, place: int) -> None:
    """No bytes raise anything but EntryError, neither bare nor within a frame whose checksum is right."""
    body = framed()[:-16]
    for frame in (noise, b"COO\x01" + noise, sealed(b"COO\x01" + noise), sealed(body[:place] + noise + body[place:])):
        try:
            entry = unpack_entry(frame, DIGEST)
        except EntryError:
            continue
        assert 0 <= entry.age(2.0**41)
        assert unpack_entry(pack_entry(entry), DIGEST) == entry


REPLAYED = [b"content-type", b"content-language", b"anthropic-version", b"openai-version"]
DROPPED = """
accept-ranges age allow alt-svc anthropic-organization-id anthropic-ratelimit-requests-limit
anthropic-ratelimit-requests-remaining anthropic-ratelimit-tokens-reset apim-request-id authorization cache-control
cache-status cf-cache-status cf-ray connection content-encoding content-length content-location content-range
content-security-policy date etag expires keep-alive last-modified link location nel openai-organization
openai-processing-ms openai-project pragma proxy-authenticate proxy-connection ratelimit ratelimit-limit
ratelimit-policy ratelimit-remaining ratelimit-reset report-to request-id retry-after server server-timing set-cookie
set-cookie2 strict-transport-security te trailer transfer-encoding upgrade vary via warning www-authenticate
x-amzn-requestid x-coo-cache x-envoy-upstream-service-time x-powered-by x-ratelimit-limit-requests
x-ratelimit-remaining-tokens x-ratelimit-reset-requests x-request-id x-robots-tag
"""


@pytest.mark.parametrize("name", DROPPED.split())
def test_field_of_one_exchange_is_not_reused(name: str) -> None:
    """Sessions, limits, ids, times and hop-by-hop fields belong to the exchange that brought them."""
    assert () == reused_fields([(name.encode(), b"v"), (name.title().encode(), b"v")])


@pytest.mark.parametrize("name", REPLAYED)
def test_field_that_stays_true_is_reused(name: bytes) -> None:
    """What describes the content, and the provider's version, are repeated, with names in lower case."""
    assert ((name, b"V x"),) == reused_fields([(b"date", b"now"), (name.upper(), b"V x")])


def test_order_and_repetition_of_reused_fields_stay() -> None:
    """Fields are reused in their order, repeated ones too."""
    fields = ((b"content-language", b"de"), (b"content-type", b"a/b"), (b"content-language", b"en"))

    assert fields == reused_fields(fields)


def test_line_ends_never_make_a_field() -> None:
    """A value with a line end or NUL is reused with spaces in their place (RFC 9110 section 5.5)."""
    headers = reused_fields([(b"content-type", b"a/b;\r\nset-cookie: s=1\0")])
    entry = unpack_entry(pack_entry(replace(ENTRY, headers=headers)), DIGEST)

    assert ((b"content-type", b"a/b;  set-cookie: s=1 "),) == entry.headers


@pytest.mark.parametrize(
    ("now", "age"), [(1_700_000_000.5, 0), (1_700_000_001.4, 0), (1_700_000_001.5, 1), (1_600_000_000, 0)]
)
def test_age_is_whole_seconds(now: float, age: int) -> None:
    """Age counts whole seconds, and a clock that went back makes it 0."""
    assert age == ENTRY.age(now)


@given(entries, st.binary(max_size=5_000))
def test_the_beginning_of_a_frame_tells_the_names(entry: Entry, content: bytes) -> None:
    """All but usage, fields and content is read from as much as holds the names, and from less nothing."""
    frame = pack_entry(replace(entry, content=content, headers=()))
    end = len(frame) - len(content) - 16 - 8
    told = unpack_entry(frame, entry.digest)

    assert replace(told, usage=None, content=b"") == peek_entry(frame) == peek_entry(frame[:end])
    assert [None] * end == [peek_entry(frame[:length]) for length in range(end)]


@given(st.binary())
def test_what_is_no_frame_tells_nothing(head: bytes) -> None:
    """Any other bytes are no fault."""
    assert peek_entry(head) is None
    assert peek_entry(b"COO\x02" + head) is None or len(head) > 100
