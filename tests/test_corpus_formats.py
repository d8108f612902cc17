"""Every recorded answer is read as its provider meant it."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypedDict

import pytest

from coo_middleware.core.document import parse_document
from coo_middleware.core.event_stream import EventStreamDecoder
from coo_middleware.core.exchange import Exchange
from coo_middleware.core.format import Format
from coo_middleware.core.framing import Decoder, Event
from coo_middleware.core.ndjson import NDJSONDecoder
from coo_middleware.core.outcome import Outcome
from coo_middleware.core.request import Headers
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats import recognise

CORPUS = Path(__file__).parent / "corpus"
LIMIT: Final = 1 << 24
TYPES: Final = {
    "json": "application/json",
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "aws": "application/vnd.amazon.eventstream",
}
DECODERS: Final[dict[str, Callable[[int], Decoder]]] = {
    "sse": SSEDecoder,
    "ndjson": NDJSONDecoder,
    "aws": EventStreamDecoder,
}


class Row(TypedDict, total=False):
    """One line of the index; not every line has every field."""

    file: str
    method: str
    path: str
    framing: str
    stream: bool
    status: int
    content_type: str
    response_headers: dict[str, str]
    expected: dict[str, int] | None
    detail: dict[str, int]
    accept: list[dict[str, int]]
    complete: str
    error_in_body: bool
    finish: list[str] | str | None
    features: list[str]
    request: str


def read_rows() -> list[Row]:
    rows: list[Row] = [json.loads(line) for line in (CORPUS / "index.jsonl").read_text().splitlines()]
    return rows


def name_of(row: Row) -> str:
    return row["file"]


def path_of(row: Row) -> str:
    return row["path"].partition("?")[0].replace("%3A", ":")


# All but the answer to a GET, which is not ours.
ROWS: Final = [row for row in read_rows() if row["method"] == "POST"]
STREAMS: Final = [row for row in ROWS if row["framing"] != "json"]
ANSWERS: Final = [row for row in ROWS if row["status"] == 200]


def format_of(row: Row) -> Format:
    route = recognise(path_of(row))
    assert route is not None
    return route.format


def content_of(row: Row) -> bytes:
    content = (CORPUS / row["file"]).read_bytes()
    # The SDK's fixtures lost the blank line that ends their last event; the wire has it.
    return content.rstrip(b"\n") + b"\n\n" if "sdk-fixture" in row["features"] else content


def fields_of(row: Row) -> Headers:
    """The header section, of which the recording may have hidden the media type."""
    told = row["content_type"]
    media = TYPES[row["framing"]] if told == "**REDACTED**" else told
    others = [(name.encode(), value.encode()) for name, value in row.get("response_headers", {}).items()]
    return ((b"content-type", media.encode()), *others)


def read(row: Row, chunks: Iterable[bytes], *, ended: bool = True) -> Outcome:
    """What an exchange makes of a recorded answer that comes in `chunks`."""
    exchange = Exchange(format_of(row), LIMIT, streams=row["stream"])
    exchange.start(row["status"], fields_of(row))
    for chunk in chunks:
        exchange.add(chunk, more=True)
    exchange.add(b"", more=not ended)
    return exchange.answer().outcome


def read_outcome(row: Row) -> Outcome:
    return read(row, [content_of(row)])


def decoder_of(row: Row) -> Decoder:
    return DECODERS[row["framing"]](LIMIT)


def events_of(row: Row) -> list[Event]:
    decoder = decoder_of(row)
    return [*decoder.feed(content_of(row)), *decoder.close()]


def is_refused(row: Row) -> bool:
    """Whether the path alone tells that the answer is never cached."""
    route = recognise(path_of(row))
    return route is not None and route.bypass != ""


def may_be_stored(outcome: Outcome) -> bool:
    return outcome.whole and outcome.closed and outcome.sound and not outcome.error


@pytest.mark.parametrize("row", ANSWERS, ids=name_of)
def test_tokens_are_exact(row: Row) -> None:
    """The tokens are those that the provider told, in the inclusive sense, and none where it told none."""
    usage = read_outcome(row).usage
    got = usage and {
        "input_tokens": usage.input_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
        "tokens": usage.tokens,
    }

    assert got in [row["expected"], *row.get("accept", [])]


@pytest.mark.parametrize("row", [row for row in ANSWERS if row["expected"]], ids=name_of)
def test_parts_of_the_tokens_are_exact(row: Row) -> None:
    """What was read from or written to the provider's cache and what was reasoned is told where it is known."""
    usage, detail = read_outcome(row).usage, row["detail"]
    assert usage is not None
    got = {"cache_read": usage.cache_read_tokens, "cache_write": usage.cache_write_tokens}
    got["reasoning"] = usage.reasoning_tokens

    assert {name: detail[name] for name in got if name in detail} == {name: got[name] for name in got if name in detail}


@pytest.mark.parametrize("row", ANSWERS, ids=name_of)
def test_whole_answers_are_whole(row: Row) -> None:
    """An answer is whole exactly when its provider ended it; a response of status incomplete has ended too.

    The index calls such a response not complete. It is whole to us, for nothing of it was lost on the way; that it may
    not be stored is told by its finish reason.
    """
    outcome = read_outcome(row)
    ended = row["complete"] == "yes" or row.get("finish") == "incomplete"

    assert ended == outcome.whole
    assert ended <= (outcome.closed or name_of(row) == "derived/chat-no-done-marker.sse")
    assert (row.get("finish") == "incomplete") == (outcome.finish_reasons == ("incomplete",))


@pytest.mark.parametrize("row", [row for row in ANSWERS if row["complete"] == "yes"], ids=name_of)
def test_finish_reasons_are_the_providers(row: Row) -> None:
    """Every choice's finish reason is told, in the order of the choices."""
    finish = row["finish"]
    expected = tuple(finish) if isinstance(finish, list) else (finish,) if finish else ()

    assert expected == read_outcome(row).finish_reasons


@pytest.mark.parametrize("row", ANSWERS, ids=name_of)
def test_errors_are_seen(row: Row) -> None:
    """An error that is told inside an answer is seen, and no other answer looks like one."""
    assert row["error_in_body"] == read_outcome(row).error


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_only_usable_answers_are_sound(row: Row) -> None:
    """A whole answer gives something back, but for the empty refusal and the tool call whose arguments are broken."""
    empty = {"anthropic/messages/refusal-response.sse", "anthropic/messages/tool-use-invalid-json-response.sse"}
    outcome = read_outcome(row)

    if outcome.whole and not is_refused(row):
        assert (row["file"] not in empty) == outcome.sound


@pytest.mark.parametrize("row", STREAMS, ids=name_of)
def test_a_stream_byte_by_byte_is_the_same(row: Row) -> None:
    """Where the chunks of a stream end does not change what is read from it."""
    content = content_of(row)

    assert read_outcome(row) == read(row, (content[place : place + 1] for place in range(len(content))))


@pytest.mark.parametrize("row", [row for row in STREAMS if row["complete"] == "yes"], ids=name_of)
def test_a_stream_cut_between_events_may_not_be_stored(row: Row) -> None:
    """A stream that lacks even its last event is not taken for a whole one."""
    events = events_of(row)
    last = max(place for place, event in enumerate(events) if event.data is not None)
    reader = format_of(row).read_stream()
    before = []
    for event in events:
        before.append(may_be_stored(reader.outcome()))
        reader.feed(event)

    assert [False] * (last + 1) == before[: last + 1]


@pytest.mark.parametrize("row", [row for row in STREAMS if "sdk-fixture" in row["features"]], ids=name_of)
def test_an_event_without_its_blank_line_is_none(row: Row) -> None:
    """A stream that ends within its last event is not whole (WHATWG HTML, section 9.2.6 discards that event)."""
    assert not read(row, [content_of(row).rstrip(b"\n")]).whole


SERVED: Final = {
    "builtin:web_search": "server-tool",
    "builtin:tool_search_tool_regex": "server-tool",
    "builtin:file_search": "server-tool",
    "builtin:code_interpreter": "server-tool",
    "builtin:mcp": "stateful",
    "builtin:codeExecution": "server-tool",
    "builtin:urlContext": "server-tool",
    "builtin:google_search": "stateful",
    "web_search_options": "server-tool",
    "background": "stateful",
}


@pytest.mark.parametrize("row", [row for row in ROWS if "request" in row], ids=name_of)
def test_recorded_requests_are_understood(row: Row) -> None:
    """Every recorded request is a document, and those that ask for the provider's own tools bypass the cache."""
    document = parse_document((CORPUS / row["request"]).read_bytes())
    reasons = {SERVED[feature] for feature in row["features"] if feature in SERVED} or {""}

    assert is_refused(row) or format_of(row).bypass(document) in reasons


@pytest.mark.parametrize("row", [row for row in ROWS if "request" in row], ids=name_of)
def test_recorded_requests_normalize_once(row: Row) -> None:
    """Normalizing a recorded request twice is normalizing it once, and strict gives the very same document."""
    document = parse_document((CORPUS / row["request"]).read_bytes())
    normalize = format_of(row).normalize

    assert document is normalize(document, "strict")
    for preset in ("text", "loose"):
        once = normalize(document, preset)
        assert once == normalize(once, preset)
