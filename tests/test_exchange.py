"""core/exchange.py: one answer that goes by."""

from __future__ import annotations

import gzip
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.coding import CodingError
from coo_middleware.core.exchange import Answer, Exchange
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats.chat import CHAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.framing import Event
    from coo_middleware.core.request import Headers

LIMIT = 1_024
GZIP = (b"content-encoding", b"gzip")
JSON_HEAD = ((b"Content-Type", b"application/json; charset=utf-8"),)
STREAM_HEAD = ((b"content-type", b"Text/Event-Stream; charset=windows-1252"),)
WHOLE = Outcome(whole=True, usage=Usage(6, 7), finish_reasons=("stop",), error=False, sound=True, model="m")

BODY = (
    b'{"model":"m","choices":[{"index":0,"message":{"content":"H\xc3\xa9"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":6,"completion_tokens":7}}'
)
STREAM = (
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"H\xc3\xa9"}}],"usage":null}\n\n'
    b": a comment\n\n"
    b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":6,"completion_tokens":7}}\n\n'
    b"data: [DONE]\n\n"
)
STRIPPED = (
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"H\xc3\xa9"}}]}\n\n'
    b": a comment\n\n"
    b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


class Tally:
    """A reader that counts what it was fed."""

    def __init__(self) -> None:
        self.fed = 0

    def feed(self, event: Event) -> None:
        self.fed += event.data is not None

    def outcome(self) -> Outcome:
        return replace(WHOLE, usage=Usage(self.fed, 0))


def watch(chunks: Sequence[bytes], headers: Headers, *, status: int = 200, limit: int = LIMIT) -> Answer:
    """The answer of an app that sends `chunks`, the last of which ends it."""
    exchange = Exchange(CHAT, limit)
    exchange.start(status, headers)
    for place, chunk in enumerate(chunks, 1):
        exchange.add(chunk, more=place < len(chunks))
    return exchange.answer()


def rewrite(chunks: Sequence[bytes], limit: int = LIMIT) -> tuple[bytes, Answer]:
    """What the client got of a stream that is stripped, and the answer."""
    exchange = Exchange(CHAT, limit, strip=CHAT.strip)
    exchange.start(200, STREAM_HEAD)
    assert exchange.rewriter is not None
    sent = []
    for place, chunk in enumerate(chunks, 1):
        sent.append(exchange.rewriter.rewrite(chunk, more=place < len(chunks)))
        exchange.add(chunk, more=place < len(chunks))
    return b"".join(sent), exchange.answer()


def cut(content: bytes, places: Sequence[int]) -> list[bytes]:
    """`content` in chunks that begin at `places`."""
    return [content[start:end] for start, end in pairwise([0, *sorted(places), len(content)])]


def events_of(content: bytes) -> list[tuple[str, str]]:
    return [(event.name, event.data) for event in SSEDecoder(LIMIT).feed(content) if event.data is not None]


def test_json_answer_is_read() -> None:
    """A JSON answer gives its content, its form and its outcome."""
    answer = watch([BODY[:9], b"", BODY[9:], b""], JSON_HEAD)

    assert Answer(200, JSON_HEAD, "body", BODY, ended=True, strange=False, outcome=WHOLE) == answer


def test_stream_is_read_however_it_is_chunked() -> None:
    """A stream gives the same answer when it is cut at any byte, at every byte, or not at all."""
    whole = Answer(200, STREAM_HEAD, "stream", STREAM, ended=True, strange=False, outcome=WHOLE)

    assert whole == watch([STREAM], STREAM_HEAD) == watch([*cut(STREAM, range(1, len(STREAM))), b""], STREAM_HEAD)
    assert [] == [place for place in range(len(STREAM)) if whole != watch(cut(STREAM, [place]), STREAM_HEAD)]


def test_stripped_stream_is_the_same_however_it_is_chunked() -> None:
    """Cut at any byte or at every byte, a stream loses the same bytes, and its usage is read all the same."""
    sent, answer = rewrite([STREAM])

    assert (STRIPPED, STREAM) == (sent, answer.content)
    assert WHOLE == answer.outcome
    assert (sent, answer) == rewrite(cut(STREAM, range(1, len(STREAM))))
    assert [] == [place for place in range(len(STREAM)) if (sent, answer) != rewrite(cut(STREAM, [place]))]


@given(st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_stripped_stream_keeps_its_events(end: bytes, places: list[int]) -> None:
    """Whatever the line ends and the chunks, the client gets every event but ours, and the entry what came."""
    content = STREAM.replace(b"\n", end)
    sent, answer = rewrite(cut(content, places))

    assert content == answer.content
    assert events_of(STRIPPED) == events_of(sent)
    assert (WHOLE, True, False) == (answer.outcome, answer.ended, answer.strange)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\n\n", b"data:", b'{"usage":null}', STREAM]), max_size=8))
def test_bytes_without_usage_pass_unchanged(chunks: list[bytes]) -> None:
    """What is no event that asks to be stripped reaches the client byte for byte, an unfinished end too."""
    content = b"".join(chunks)
    sent, _ = rewrite([*chunks, b""])

    assert sent == content or b'"usage"' in content


def test_unfinished_event_waits() -> None:
    """The beginning of an event is held until its end, and goes out as it is when no more comes."""
    exchange = Exchange(CHAT, LIMIT, strip=CHAT.strip)
    exchange.start(200, STREAM_HEAD)
    rewriter = exchange.rewriter

    assert rewriter is not None
    assert rewriter.held == b""
    assert rewriter.rewrite(b"data: 1", more=True) == b""
    assert b"data: 1" == rewriter.held
    assert b"data: 1\n\n" == rewriter.rewrite(b"\n\ndata: 2", more=True)
    assert b"data: 2" == rewriter.rewrite(b"", more=False)
    assert rewriter.held == b""


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, JSON_HEAD),
        (200, ()),
        (429, STREAM_HEAD),
        (200, (*STREAM_HEAD, *STREAM_HEAD)),
        (200, (*STREAM_HEAD, (b"content-encoding", b"compress"))),
        (200, ((b"content-type", b"application/x-ndjson"),)),
    ],
)
def test_only_a_readable_stream_is_rewritten(status: int, headers: Headers) -> None:
    """Where there are no events to be told apart, chunks pass as they are."""
    exchange = Exchange(CHAT, LIMIT, strip=CHAT.strip)
    exchange.start(status, headers)

    assert exchange.rewriter is None


def test_nothing_is_rewritten_unasked() -> None:
    """Without anything to take out, a stream passes as it is."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.start(200, STREAM_HEAD)

    assert exchange.rewriter is None


def test_nothing_at_all_is_an_answer() -> None:
    """An app that sends nothing gives an answer that neither began nor ended."""
    answer = Exchange(CHAT, LIMIT).answer()

    assert Answer(0, (), "", b"", ended=False, strange=False, outcome=UNREADABLE) == answer


def test_start_alone_has_not_ended() -> None:
    """A header section alone is no answer."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.start(200, STREAM_HEAD)
    answer = exchange.answer()

    assert (200, False, False, False) == (answer.status, answer.ended, answer.strange, answer.outcome.whole)


@pytest.mark.parametrize("length", range(0, len(STREAM), 7))
def test_stream_without_last_message_has_not_ended(length: int) -> None:
    """A stream of which the last message did not come has not ended, whatever it said."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.start(200, STREAM_HEAD)
    exchange.add(STREAM[:length], more=True)

    assert not exchange.answer().ended


def test_body_before_start_is_strange() -> None:
    """Content ahead of its header section is strange, also when that follows."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.add(BODY, more=True)
    exchange.start(200, JSON_HEAD)
    exchange.add(BODY, more=False)

    assert exchange.answer().strange


def test_second_start_is_strange() -> None:
    """A second header section is strange, and the first one stays."""
    exchange = Exchange(CHAT, LIMIT, strip=CHAT.strip)
    exchange.start(200, JSON_HEAD)
    exchange.start(500, STREAM_HEAD)

    assert exchange.rewriter is None

    exchange.add(BODY, more=False)
    answer = exchange.answer()
    assert (200, JSON_HEAD, True) == (answer.status, answer.headers, answer.strange)


def test_body_after_its_end_is_strange() -> None:
    """Content behind the last message is strange and is not counted to the answer."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.start(200, JSON_HEAD)
    exchange.add(BODY, more=False)
    exchange.add(b"more", more=False)
    answer = exchange.answer()

    assert (BODY, True, True) == (answer.content, answer.ended, answer.strange)


@pytest.mark.parametrize("early", [True, False])
def test_unknown_message_is_strange(early: bool) -> None:
    """A message that we do not know makes the answer strange, whenever it comes; its usage is known all the same."""
    exchange = Exchange(CHAT, LIMIT)
    if early:
        exchange.notice_unknown()
    exchange.start(200, STREAM_HEAD)
    if not early:
        exchange.notice_unknown()
    exchange.add(STREAM, more=False)
    answer = exchange.answer()

    assert (True, Usage(6, 7)) == (answer.strange, answer.outcome.usage)


@pytest.mark.parametrize(
    ("fields", "strange"),
    [
        ((), False),
        (((b"content-encoding", b""),), False),
        (((b"Content-Encoding", b" Identity"),), False),
        (((b"content-encoding", b"identity"), (b"content-encoding", b"identity")), False),
        (((b"content-encoding", b"compress"),), True),
        (((b"content-encoding", b"identity, aes128gcm"),), True),
        (((b"content-encoding", b"gzip"),), True),
    ],
)
@pytest.mark.parametrize(("head", "content"), [(JSON_HEAD, BODY), (STREAM_HEAD, STREAM)])
def test_coded_answer_is_strange(head: Headers, content: bytes, fields: Headers, strange: bool) -> None:
    """An answer in a coding that we do not know, or that is not in the coding that it claims, is not read."""
    assert strange == watch([content], [*head, *fields]).strange


@pytest.mark.parametrize(("head", "content"), [(JSON_HEAD, BODY), (STREAM_HEAD, STREAM)])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_coded_answer_is_read_decoded(head: Headers, content: bytes, size: int) -> None:
    """A coded answer is read, and kept, as what it stands for."""
    coded = gzip.compress(content)
    chunks = [coded[place : place + size] for place in range(0, len(coded), size)]
    answer = watch([*chunks, b""], [*head, GZIP])

    assert (content, WHOLE, False) == (answer.content, answer.outcome, answer.strange)


@pytest.mark.parametrize("lost", [1, 8, 20])
def test_cut_coding_is_not_whole(lost: int) -> None:
    """A coded stream that lacks its own end may lack more."""
    assert not watch([gzip.compress(STREAM)[:-lost]], [*STREAM_HEAD, GZIP]).outcome.whole


def test_coded_stream_is_rewritten_decoded() -> None:
    """A stream that loses something leaves decoded, and the exchange reads what came."""
    exchange = Exchange(CHAT, LIMIT, strip=CHAT.strip)
    exchange.start(200, (*STREAM_HEAD, GZIP))
    coded = gzip.compress(STREAM)
    assert exchange.rewriter is not None
    sent = exchange.rewriter.rewrite(coded[:50], more=True) + exchange.rewriter.rewrite(coded[50:], more=False)
    exchange.add(coded, more=False)
    answer = exchange.answer()

    assert (STRIPPED, STREAM, WHOLE) == (sent, answer.content, answer.outcome)


def test_what_is_in_no_coding_cannot_be_rewritten() -> None:
    """Bytes that are not in the coding that they claim end the rewriting with an error."""
    exchange = Exchange(CHAT, LIMIT, strip=CHAT.strip)
    exchange.start(200, (*STREAM_HEAD, GZIP))
    assert exchange.rewriter is not None

    with pytest.raises(CodingError):
        exchange.rewriter.rewrite(STREAM, more=True)


def test_two_content_types_are_strange() -> None:
    """An answer under two media types has none."""
    answer = watch([STREAM], [*STREAM_HEAD, *STREAM_HEAD])

    assert (True, "", UNREADABLE) == (answer.strange, answer.form, answer.outcome)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"<html>", BODY[:-1], b"\xff", b'{"a":1,"a":2}'])
def test_what_is_no_json_object_is_unreadable(content: bytes) -> None:
    """An answer that is none in the format gives no outcome, and its bytes stay."""
    answer = watch([content], JSON_HEAD)

    assert (content, UNREADABLE) == (answer.content, answer.outcome)


@pytest.mark.parametrize("status", [201, 400, 500])
def test_other_statuses_are_not_read(status: int) -> None:
    """The content of an answer that is no 200 is neither kept nor read, whatever it says."""
    answer = watch([BODY], JSON_HEAD, status=status)

    assert (status, b"", UNREADABLE) == (answer.status, answer.content, answer.outcome)


@pytest.mark.parametrize(("surplus", "kept"), [(0, True), (1, False)])
def test_limit_is_exact(surplus: int, kept: bool) -> None:
    """An answer of `limit` bytes is kept, and one of a byte more is not."""
    for content, head in ((BODY, JSON_HEAD), (STREAM, STREAM_HEAD)):
        answer = watch([content[:5], content[5:]], head, limit=len(content) - surplus)
        assert (content if kept else None) == answer.content
        assert WHOLE == answer.outcome


def test_long_json_is_read_for_its_usage() -> None:
    """A JSON answer that is too long for an entry is read all the same, for its usage stands at its end."""
    answer = watch([b" " * 5 * LIMIT, BODY], JSON_HEAD)

    assert (None, WHOLE) == (answer.content, answer.outcome)


def test_longest_json_is_not_kept() -> None:
    """Beyond 32 MiB a JSON answer is not gathered, and its usage is unknown."""
    answer = watch([b" " * 33_554_432, BODY], JSON_HEAD)

    assert (None, UNREADABLE) == (answer.content, answer.outcome)


def test_other_content_is_not_gathered_beyond_the_limit() -> None:
    """Content that is neither JSON nor events takes no more memory than an entry may."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.start(200, ((b"content-type", b"audio/mpeg"),))
    for _ in range(8):
        exchange.add(b"\xff" * 500, more=True)
        assert sum(map(len, exchange._kept)) <= LIMIT

    assert [] == exchange._kept
    assert exchange.answer().content is None


def test_long_stream_is_read_as_it_goes() -> None:
    """A stream of any length is read to its end in pieces of about 64 KiB."""
    tally = Tally()
    exchange = Exchange(replace(CHAT, read_stream=lambda: tally), LIMIT)
    exchange.start(200, STREAM_HEAD)
    chunk = b"data: %s\n\n" % (b"x" * 1_016)
    fed = []
    for _ in range(200):
        exchange.add(chunk, more=True)
        fed.append(tally.fed)
    exchange.add(b"", more=False)

    assert [0, 65, 130, 195] == sorted(set(fed))

    answer = exchange.answer()
    assert (None, Usage(200, 0)) == (answer.content, answer.outcome.usage)


@pytest.mark.parametrize("strip", [True, False])
def test_event_over_the_limit_ends_the_reading(strip: bool) -> None:
    """A stream with an event that is longer than an entry passes on unchanged and is not whole."""
    content = STREAM + b"data: " + b"x" * 2 * LIMIT
    sent, answer = rewrite([content, b"\n\n", b"", STREAM]) if strip else (b"", watch([content, STREAM], STREAM_HEAD))

    assert (None, False) == (answer.content, answer.outcome.whole)
    assert Usage(6, 7) == answer.outcome.usage
    if strip:
        assert STRIPPED + content[len(STREAM) :] + b"\n\n" + STREAM == sent


def test_headers_may_be_odd() -> None:
    """Header names in any case, bytes over 0x7F and 200 cookies are kept as they came."""
    headers = [(b"CONTENT-TYPE", b"APPLICATION/JSON"), *[(b"Set-Cookie", b"\xff%d" % each) for each in range(200)]]
    answer = watch([BODY], headers)

    assert (headers, "body", WHOLE) == (answer.headers, answer.form, answer.outcome)


@pytest.mark.parametrize(("sent", "delivered"), [(BODY[:-1], False), (BODY, True)])
def test_a_body_is_delivered_when_its_length_is_reached(sent: bytes, *, delivered: bool) -> None:
    """A client with `Content-Length` bytes needs no final message to know that it has all."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.start(200, (*JSON_HEAD, (b"content-length", b"%d" % len(BODY))))
    exchange.add(sent, more=True)

    assert delivered == exchange.is_delivered()


@pytest.mark.parametrize(("sent", "delivered"), [(STREAM[:100], False), (STREAM, True)])
def test_a_stream_is_delivered_when_its_format_has_ended(sent: bytes, *, delivered: bool) -> None:
    """A client that was told the end of the answer needs no end of the body."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.start(200, STREAM_HEAD)
    exchange.add(sent, more=True)

    assert delivered == exchange.is_delivered()


def test_a_body_of_unknown_length_is_delivered_by_its_end_alone() -> None:
    """Without `Content-Length` only the final message tells."""
    exchange = Exchange(CHAT, LIMIT)
    exchange.start(200, JSON_HEAD)
    exchange.add(BODY, more=True)

    assert not exchange.is_delivered()
