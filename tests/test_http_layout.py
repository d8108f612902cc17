"""stores/http_layout.py: what travels comes out as it went in, whatever lies on the way."""

import posixpath
from collections.abc import Callable
from urllib.parse import quote, unquote

import httpx
import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coo_middleware.stores import Increment
from coo_middleware.stores.http_layout import (
    LayoutError,
    Parts,
    cache_path,
    claim_path,
    counter_path,
    decode_json,
    decode_name,
    encode_json,
    encode_name,
    read_count,
    read_increments,
    read_number,
    read_value,
    read_writer,
    write_increments,
    write_value,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("./%~\\;?# \x00+a", max_size=6)

HOSTILE = ["", ".", "..", "...", "~", "~Li4", "a/b", "/", "../../etc", "a%2Fb", "%", "%2e", "a;b", "a?b", "a#b", "a\\b"]


def keep(path: str) -> str:
    """A way that changes nothing."""
    return path


def tidy(path: str) -> str:
    """A proxy that decodes a path, merges slashes, resolves dots and encodes it again."""
    return quote(posixpath.normpath(unquote(path)), safe="/~:")


def drop_parameters(path: str) -> str:
    """A server of the kind that takes a semicolon for the end of a segment."""
    return "/".join(segment.partition(";")[0] for segment in path.split("/"))


WAYS: dict[str, Callable[[str], str]] = {
    "as it is": keep,
    "httpx": lambda path: httpx.URL(f"http://host{path}").raw_path.decode(),
    "httpx2": lambda path: httpx2.URL(f"http://host{path}").raw_path.decode(),
    "proxy": tidy,
    "two proxies": lambda path: tidy(tidy(path)),
    "parameters": drop_parameters,
    "ASGI": lambda path: quote(unquote(path)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@given(NAMES, NAMES, NAMES)
@example("", "", "")
@example("..", ".", "a/../b")
@example("~", "%2E%2E", "%")
def test_names_survive_the_way(way: Callable[[str], str], provider: str, key_id: str, metric: str) -> None:
    """Any three names are read as they were written, whatever URL library or proxy lies between."""
    segments = way(counter_path(provider, key_id, metric) + "/total").split("/")

    assert ["", "usage", provider, key_id, metric, "total"] == [
        *segments[:2],
        *map(decode_name, segments[2:5]),
        *segments[5:],
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_way_that_would_change_a_bare_name_is_a_real_danger(name: str) -> None:
    """Percent-encoding alone would not do: each of these is sent in the other form."""
    assert "~" == encode_name(name)[:1]


def test_ordinary_names_are_readable() -> None:
    """What an operator types into curl is what the layout says."""
    assert "/usage/openai/key1/input_tokens" == counter_path("openai", "key1", "input_tokens")
    assert "/usage/gpt-5.1/team:a/%D0%BA%20b" == counter_path("gpt-5.1", "team:a", "к b")
    assert "/cache/coo:1:ab" == cache_path("coo:1:ab")
    assert "/cache/~" == cache_path("")
    assert "/claim/coo:1:ab/~YS8x" == claim_path("coo:1:ab", "a/1")


@pytest.mark.parametrize("segment", ["~YQ", "~YQ==", "a", "%61"])
def test_either_form_is_read(segment: str) -> None:
    """A reader takes the percent-encoded and the base64url form of any name."""
    assert "a" == decode_name(segment)


@pytest.mark.parametrize("segment", ["~a", "~a+/=", "~é", "~_w", "~Y Q", "%ff", "a%C3"])
def test_segments_that_are_no_name(segment: str) -> None:
    """What is not base64url, or not UTF-8, is refused without being repeated."""
    with pytest.raises(LayoutError) as caught:
        decode_name(segment)

    assert caught.value.__context__ is None
    assert segment not in str(caught.value)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "ignore")))
@example(b"\xef\xbb\xbf{}")
@example("\u2028\x00".encode())
def test_a_value_is_byte_for_byte(value: bytes) -> None:
    """A stored response comes back unchanged through JSON, as text where it is text."""
    document = decode_json(encode_json(write_value(value)))

    assert value == read_value(document)
    assert ("utf-8" if _is_text(value) else "base64") == document["encoding"]


def _is_text(value: bytes) -> bool:
    return value.decode("utf-8", "ignore").encode() == value


@given(st.lists(st.builds(Increment, NAMES, NAMES, NAMES, st.floats(allow_nan=False, allow_infinity=False))))
@example([Increment("p", "k", "m", 1.5, 3, 0.25)])
def test_increments_come_out_as_they_went_in(increments: list[Increment]) -> None:
    """A batch's increments survive JSON to the last bit."""
    assert increments == read_increments(decode_json(encode_json({"increments": write_increments(increments)})))


def test_an_increment_may_leave_out_samples_and_age() -> None:
    """They are 1 and 0 where nothing is said."""
    parts: Parts = {"provider": "p", "key_id": "k", "metric": "m", "delta": 2}

    assert [Increment("p", "k", "m", 2.0, 1, 0.0)] == read_increments({"increments": [parts]})


REFUSED: dict[str, tuple[Callable[[Parts], object], Parts, str]] = {
    "no value": (read_value, {}, "value: "),
    "null value": (read_value, {"value": None}, "value: "),
    "lone surrogate": (read_value, {"value": "\ud800canary"}, "value: "),
    "bad base64": (read_value, {"value": "canary!", "encoding": "base64"}, "value: "),
    "base64 beyond ASCII": (read_value, {"value": "canaryé", "encoding": "base64"}, "value: "),
    "unknown encoding": (read_value, {"value": "canary", "encoding": "hex"}, "encoding: "),
    "encoding of a kind": (read_value, {"value": "canary", "encoding": ["utf-8"]}, "encoding: "),
    "number as text": (lambda parts: read_number(parts, "value"), {"value": "canary"}, "value: "),
    "boolean number": (lambda parts: read_number(parts, "value"), {"value": True}, "value: "),
    "infinite number": (lambda parts: read_number(parts, "value"), {"value": float("inf")}, "value: "),
    "no number": (lambda parts: read_number(parts, "value"), {}, "value: "),
    "fraction as count": (lambda parts: read_count(parts, "sequence"), {"sequence": 1.5}, "sequence: "),
    "boolean count": (lambda parts: read_count(parts, "sequence"), {"sequence": True}, "sequence: "),
    "count 0": (lambda parts: read_count(parts, "sequence"), {"sequence": 0}, "sequence: "),
    "count too large": (lambda parts: read_count(parts, "sequence"), {"sequence": 2**53 + 1}, "sequence: "),
    "writer alone": (read_writer, {"writer": "canary"}, "sequence: "),
    "sequence alone": (read_writer, {"sequence": 1}, "writer: "),
    "empty writer": (read_writer, {"writer": "", "sequence": 1}, "writer: "),
    "long writer": (read_writer, {"writer": "canary" * 100, "sequence": 1}, "writer: "),
    "writer with a surrogate": (read_writer, {"writer": "canary\ud800", "sequence": 1}, "writer: "),
    "no increments": (read_increments, {}, "increments: "),
    "increments as object": (read_increments, {"increments": {}}, "increments: "),
    "increment as text": (read_increments, {"increments": ["canary"]}, "increments: "),
    "increment without a name": (read_increments, {"increments": [{"provider": "canary"}]}, "key_id: "),
}


@pytest.mark.parametrize(("read", "parts", "field"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_of_the_layout_is_refused(read: Callable[[Parts], object], parts: Parts, field: str) -> None:
    """The error names the member and repeats no value."""
    with pytest.raises(LayoutError) as caught:
        read(parts)

    assert field == str(caught.value)[: len(field)]
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"1",
        b"{",
        b'{"a":1}{}',
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"\xef\xbb\xbf{}",
        b"\xff",
        b"[" * 9999,
    ],
)
def test_content_that_is_no_object_is_refused(content: bytes) -> None:
    """Cut, doubled, deep, not UTF-8, or another value: LayoutError and nothing else."""
    with pytest.raises(LayoutError, match=r"^body: "):
        decode_json(content)
