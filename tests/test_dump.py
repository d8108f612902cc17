"""Requests and answers as somebody wrote them down."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.dump import AnswerDump, AskedDump, DumpError, read_answer, read_asked

JSON_FIELD = (b"content-type", b"application/json")
BODY = {"model": "m", "messages": []}


def test_a_file_of_content_is_a_request() -> None:
    """What is no dump is the content of a POST of JSON to the path that was given."""
    assert AskedDump("POST", b"/x", b"a=b", (JSON_FIELD,), b'{"model": "m"}') == read_asked(b'{"model": "m"}', "/x?a=b")


@given(st.binary())
def test_any_bytes_are_content(raw: bytes) -> None:
    """Bytes that are no text come back as they are."""
    assert raw == read_asked(raw, "/x").content


@pytest.mark.parametrize(
    "dump",
    [
        {"method": "post", "path": "/v1/x?q=1", "headers": {"X-A": ["1", "2"]}, "body": BODY},
        {"url": "https://host/v1/x?q=1", "headers": [{"name": "x-a", "value": v} for v in "12"], "body": BODY},
        {
            "url": "https://host/v1/x?q=1",
            "headers": [{"name": ":path", "value": "/"}, {"name": "x-a", "value": ["1", "2"]}],
            "postData": {"mimeType": "application/json", "text": json.dumps(BODY)},
        },
    ],
)
def test_a_dump_says_what_was_around_the_content(dump: dict[str, object]) -> None:
    """Our own form, a line of a batch and a HAR request are read alike; a media type that is missing stays missing."""
    fields = ((b"x-a", b"1"), (b"x-a", b"2"))

    assert AskedDump("POST", b"/v1/x", b"q=1", fields, json.dumps(BODY).encode()) == read_asked(
        json.dumps(dump).encode()
    )


def test_given_headers_count_before_the_dumps_own() -> None:
    """A field that is given takes the place of the dump's of that name."""
    dump = json.dumps({"headers": {"X-A": "1", "X-B": "2"}, "body": "{}"}).encode()

    assert ((b"x-b", b"2"), (b"x-a", b"9")) == read_asked(dump, "/x", [(b"x-a", b"9")]).headers


def test_a_coding_is_not_that_of_the_dump() -> None:
    """The content is there without its coding, so the field that names it is left out."""
    dump = json.dumps({"headers": {"Content-Encoding": "gzip"}, "body": "{}"}).encode()

    assert () == read_asked(dump).headers


@pytest.mark.parametrize(
    ("dump", "name"),
    [
        ({"method": 1, "body": "s3cret"}, "method"),
        ({"path": ["s3cret"], "body": ""}, "path"),
        ({"url": "http://[s3cret", "body": ""}, "path"),
        ({"headers": "s3cret", "body": ""}, "headers"),
        ({"headers": [["x", "s3cret"]], "body": ""}, "headers"),
        ({"headers": {"x": 1}, "body": "s3cret"}, "headers"),
        ({"path": "/x", "body": "\ud800 s3cret"}, "body"),
    ],
)
def test_what_cannot_be_read_is_named_and_not_shown(dump: dict[str, object], name: str) -> None:
    """A fault names the member and no value."""
    with pytest.raises(DumpError, match=name) as caught:
        read_asked(json.dumps(dump).encode())

    assert "s3cret" not in str(caught.value)


def test_a_file_of_content_is_an_answer() -> None:
    """What is no dump is the content of a 200, JSON or events by its first character unless its type is given."""
    assert AnswerDump(200, (JSON_FIELD,), b'{"id": 1}') == read_answer(b'{"id": 1}')
    assert ((b"content-type", b"text/event-stream"),) == read_answer(b"data: {}\n\n").headers
    assert ((b"content-type", b"text/plain"),) == read_answer(b"{}", "text/plain").headers


def test_a_dump_of_an_answer_has_a_status() -> None:
    """Status, headers and body are read; without headers the type is guessed."""
    assert AnswerDump(429, ((b"retry-after", b"1"),), b"{}") == read_answer(
        b'{"status": 429, "headers": {"Retry-After": "1"}, "body": {}}'
    )
    assert (JSON_FIELD,) == read_answer(b'{"status": 429, "body": {}}').headers
    with pytest.raises(DumpError, match="status"):
        read_answer(b'{"status": true, "body": {}}')
