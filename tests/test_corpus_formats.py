"""Every recorded answer is read as its provider meant it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import pytest

from coo_middleware.core.document import parse_document, read_json
from coo_middleware.core.format import Format
from coo_middleware.core.outcome import UNREADABLE, Outcome
from coo_middleware.core.sse import Event, SSEDecoder
from coo_middleware.formats import recognise

CORPUS = Path(__file__).parent / "corpus"


class Row(TypedDict, total=False):
    """One line of the index; not every line has every field."""

    file: str
    path: str
    framing: str
    status: int
    expected: dict[str, int] | None
    accept: list[dict[str, int]]
    complete: str
    error_in_body: bool
    finish: list[str] | str | None
    features: list[str]
    request: str


def read_rows() -> list[Row]:
    rows: list[Row] = [json.loads(line) for line in (CORPUS / "index.jsonl").read_text().splitlines()]
    return rows


ROWS = read_rows()
STREAMS = [row for row in ROWS if row["framing"] == "sse"]
ANSWERS = [row for row in ROWS if row["status"] == 200]


def name_of(row: Row) -> str:
    return row["file"]


def format_of(row: Row) -> Format:
    spoken = recognise(row["path"].partition("?")[0])
    assert spoken is not None
    return spoken


def content_of(row: Row) -> bytes:
    content = (CORPUS / row["file"]).read_bytes()
    # The SDK's fixtures lost the blank line that ends their last event; the wire has it.
    return content.rstrip(b"\n") + b"\n\n" if "sdk-fixture" in row["features"] else content


def events_of(chunks: Iterable[bytes]) -> list[Event]:
    decoder = SSEDecoder(1 << 24)
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def fold(row: Row, events: Iterable[Event]) -> Outcome:
    reader = format_of(row).read_stream()
    for event in events:
        reader.feed(event)
    return reader.outcome()


def read_outcome(row: Row) -> Outcome:
    content = content_of(row)
    if row["framing"] == "sse":
        return fold(row, events_of([content]))
    document = read_json(content)
    return format_of(row).read_body(document) if isinstance(document, dict) else UNREADABLE


def last_needed(row: Row, events: list[Event]) -> int:
    """The number of events up to the one that makes the answer whole, told by its text and not by a reader."""
    if format_of(row).name not in ("chat", "completions"):
        return len(events)
    finishes = [place for place, event in enumerate(events) if '"finish_reason":"' in (event.data or "")]
    return finishes[-1] + 1


@pytest.mark.parametrize("row", ANSWERS, ids=name_of)
def test_tokens_are_exact(row: Row) -> None:
    """The tokens are those that the provider told, in the inclusive sense, and none where it told none."""
    usage = read_outcome(row).usage
    got = usage and {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "tokens": usage.input_tokens + usage.output_tokens,
    }

    if "accept" in row:
        assert got in row["accept"]
    else:
        assert row["expected"] == got


@pytest.mark.parametrize("row", ANSWERS, ids=name_of)
def test_whole_answers_are_whole(row: Row) -> None:
    """An answer is whole exactly when its provider ended it; a response of status incomplete has ended too.

    The index calls such a response not complete. It is whole to us, for nothing of it was lost on the way; that it may
    not be stored is told by its finish reason.
    """
    outcome = read_outcome(row)
    ended = row["complete"] == "yes" or row["finish"] == "incomplete"

    assert ended == outcome.whole
    assert (row["finish"] == "incomplete") == (outcome.finish_reasons == ("incomplete",))


@pytest.mark.parametrize("row", [row for row in ANSWERS if row["complete"] == "yes"], ids=name_of)
def test_finish_reasons_are_the_providers(row: Row) -> None:
    """Every choice's finish reason is told, in the order of the choices."""
    finish = row["finish"]
    expected = tuple(finish) if isinstance(finish, list) else (finish,) if finish else ()

    assert expected == read_outcome(row).finish_reasons


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_errors_are_seen(row: Row) -> None:
    """An error that is told inside an answer is seen under any status, and no other answer looks like one."""
    assert row["error_in_body"] == read_outcome(row).error


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_only_usable_answers_are_sound(row: Row) -> None:
    """A whole answer gives something back, but for the empty refusal and the tool call whose arguments are broken."""
    empty = {"anthropic/messages/refusal-response.sse", "anthropic/messages/tool-use-invalid-json-response.sse"}
    outcome = read_outcome(row)

    if outcome.whole:
        assert (row["file"] not in empty) == outcome.sound


@pytest.mark.parametrize("row", [row for row in ANSWERS if row["complete"] == "yes"], ids=name_of)
def test_the_model_is_told(row: Row) -> None:
    """A whole answer names its model."""
    assert read_outcome(row).model != ""


@pytest.mark.parametrize("row", STREAMS, ids=name_of)
def test_a_stream_byte_by_byte_is_the_same(row: Row) -> None:
    """Where the chunks of a stream end does not change what is read from it."""
    content = content_of(row)

    assert read_outcome(row) == fold(row, events_of(content[place : place + 1] for place in range(len(content))))


@pytest.mark.parametrize("row", [row for row in STREAMS if row["complete"] == "yes"], ids=name_of)
def test_a_cut_stream_is_not_whole(row: Row) -> None:
    """A stream cut between two events is not whole before the event that ends it, and is from there on."""
    events = events_of([content_of(row)])
    needed = last_needed(row, events)

    assert [False] * needed == [fold(row, events[:cut]).whole for cut in range(needed)]
    assert fold(row, events[:needed]).whole


@pytest.mark.parametrize("row", [row for row in STREAMS if "sdk-fixture" in row["features"]], ids=name_of)
def test_an_event_without_its_blank_line_is_none(row: Row) -> None:
    """A stream that ends within its last event is not whole (WHATWG HTML, section 9.2.6 discards that event)."""
    assert not fold(row, events_of([content_of(row).rstrip(b"\n")])).whole


@pytest.mark.parametrize("row", [row for row in ROWS if "request" in row], ids=name_of)
def test_recorded_requests_are_understood(row: Row) -> None:
    """Every recorded request is a document, and those that ask for the provider's own tools bypass the cache."""
    document = parse_document((CORPUS / row["request"]).read_bytes())
    served = {"builtin:web_search", "builtin:tool_search_tool_regex", "builtin:file_search", "builtin:code_interpreter"}
    reasons = {"server-tool"} if served & {*row["features"]} else {""}
    if "builtin:mcp" in row["features"]:
        reasons = {"stateful"}
    if "web_search_options" in row["features"]:
        reasons = {"server-tool"}

    assert reasons == {format_of(row).bypass(document)}


@pytest.mark.parametrize("row", [row for row in ROWS if "request" in row], ids=name_of)
def test_recorded_requests_normalize_once(row: Row) -> None:
    """Normalizing a recorded request twice is normalizing it once, and strict gives the very same document."""
    document = parse_document((CORPUS / row["request"]).read_bytes())
    normalize = format_of(row).normalize

    assert document is normalize(document, "strict")
    for preset in ("text", "loose"):
        once = normalize(document, preset)
        assert once == normalize(once, preset)
