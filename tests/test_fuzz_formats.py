"""Whatever comes instead of a request or an answer, no format raises, and where chunks end changes nothing."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from coo_middleware.core.document import Document, DocumentError, Json, canonical_json, parse_document, read_json
from coo_middleware.core.format import Format
from coo_middleware.core.framing import Decoder, Event
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats import FORMATS, recognise
from tests.mangling import (
    BODIES,
    DECODERS,
    EDITS,
    NAMES,
    PLACES,
    REQUESTS,
    STREAMS,
    VALUES,
    Edit,
    invent,
    mangle,
    mangle_events,
    write,
)
from tests.proof import PROOF, choose, report

T = TypeVar("T")

# Hypothesis remembers all that it has tried, so that a run in rounds needs no more memory than one round.
ROUND: Final = 5_000
FRAGMENTS: Final = (
    *(b"", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r", b" ", b"\0", b"\xff", b"\xe2\x80", "\u2028".encode()),
    *(b"data:", b"data: [DONE]\n\n", b"event: error\n", b":\n", b'{"error":"x"}', b'"', b"{", b"}", b"[" * 2000),
)
PATCHES: Final = st.lists(
    st.tuples(
        st.integers(0, 1 << 10),
        st.integers(0, 40) | st.just(600),
        st.sampled_from(FRAGMENTS) | st.binary(max_size=40),
    ),
    max_size=3,
)
BY_NAME: Final = {fmt.name: fmt for fmt in FORMATS}
ANY_FORMAT: Final = st.sampled_from(list(BY_NAME))
PRESETS: Final = ("strict", "text", "loose")
FIELDS: Final = (b"x-prompt-tokens", b"x-generated-tokens", b"x-amzn-bedrock-input-token-count", b"content-type")


def fuzz(check: Callable[[T], int], drawn: st.SearchStrategy[T], few: int, many: int, what: str) -> None:
    """Checks `few` draws, or `many` in a full proof; as many draws are always the same. A check tells its inputs."""
    inputs = 0

    def count(each: T) -> None:
        nonlocal inputs
        inputs += check(each)

    checks = list(HealthCheck)
    for first in range(0, total := choose(few, many), ROUND):
        run = settings(
            max_examples=min(ROUND, total - first), deadline=None, database=None, suppress_health_check=checks
        )
        seed(first)(run(given(drawn)(count)))()
    report(f"{what}: {inputs:,}")


def decode(decoder: Decoder, chunks: Iterable[bytes]) -> tuple[list[Event], bytes]:
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.close()
    return events, decoder.take_rest()


def is_sane(outcome: Outcome) -> bool:
    counts = astuple(outcome.usage) if outcome.usage else ()
    flags = {type(flag) for flag in (outcome.whole, outcome.error, outcome.sound, outcome.closed)}
    texts = {type(text) for text in (outcome.model, *outcome.finish_reasons)}
    return flags == {bool} and texts == {str} and all(count is None or count >= 0 for count in counts)


def read_events(fmt: Format, events: Sequence[Event]) -> Outcome:
    """The outcome, which may be asked for at any time."""
    reader = fmt.read_stream()
    for event in events:
        assert is_sane(reader.outcome())
        reader.feed(event)
        assert fmt.strip is None or len(fmt.strip(event)) <= len(event.raw)
    assert is_sane(reader.outcome())
    return reader.outcome()


def read_answer(fmt: Format, answer: Json) -> None:
    if isinstance(answer, dict):
        assert is_sane(fmt.read_body(answer))
        for usage in (True, False) if fmt.rendering else ():
            assert isinstance(fmt.rendering and fmt.rendering.stream(answer, usage), bytes | None)
    documents = [item for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []
    if documents and fmt.read_list:
        assert is_sane(fmt.read_list(documents))


def parse(raw: bytes) -> Document | None:
    try:
        return parse_document(raw)
    except DocumentError:
        return None


def read_request(fmt: Format, raw: bytes, document: Document) -> None:
    before = canonical_json(document, ordered=True)
    assert isinstance(fmt.bypass(document), str)
    for preset in PRESETS:
        normalized = fmt.normalize(document, preset)
        assert canonical_json(normalized, ordered=True) == canonical_json(
            fmt.normalize(normalized, preset), ordered=True
        )
    asking = fmt.ask(raw, document) if fmt.ask else None
    assert asking is None or parse_document(asking)
    assert before == canonical_json(document, ordered=True)


def check_framing(drawn: tuple[str, int, list[tuple[int, int, bytes]], int, int, str]) -> int:
    name, first, patches, cut, limit, other = drawn
    stream = STREAMS[name]
    first %= len(stream.events)
    raw = b"".join(event.raw for event in stream.events[first : first + 4])[:600]
    for place, size, fragment in patches:
        start = place % (len(raw) + 1)
        raw = raw[:start] + fragment + raw[start + size :]
    cut %= len(raw) + 1
    for begin in (stream.open, DECODERS[other]):
        ways = [[raw], [raw[place : place + 1] for place in range(len(raw))], [raw[:cut], raw[cut:]]]
        decoders = [begin(limit) for _ in ways]
        ends = [decode(decoder, way) for decoder, way in zip(decoders, ways, strict=True)]
        told = [[(event.name, event.data) for event in events if event.name or event.data] for events, _ in ends]
        assert [raw] * 3 == [b"".join(event.raw for event in events) + rest for events, rest in ends]
        assert [told[0]] * 3 == told
        assert 1 == len({decoder.broken for decoder in decoders})
        assert read_events(stream.format, ends[0][0]) == read_events(stream.format, ends[1][0])
    return 1


def check_events(drawn: tuple[str, int, list[tuple[int, list[Edit]]], str]) -> int:
    name, first, edits, other = drawn
    stream = STREAMS[name]
    first %= len(stream.events)
    events = [*stream.events[first : first + 4], *mangle_events(stream.events, edits), *stream.events[-2:]]
    for fmt in (stream.format, BY_NAME[other]):
        read_events(fmt, events)
        assert isinstance(fmt.rendering and fmt.rendering.body(events), bytes | None)
    return 1


def check_answers(drawn: tuple[list[str], list[Edit], str, bytes]) -> int:
    names, edits, other, value = drawn
    for recorded in map(BODIES.__getitem__, names):
        answer = mangle(read_json(recorded.text), edits)
        for fmt in (recorded.format, BY_NAME[other]):
            read_answer(fmt, answer)
            usage = fmt.read_fields([(field, value) for field in FIELDS]) if fmt.read_fields else None
            assert usage is None or usage.tokens >= 0
    return len(names)


def check_requests(drawn: tuple[list[str], list[Edit], str]) -> int:
    names, edits, other = drawn
    for recorded in map(REQUESTS.__getitem__, names):
        raw = json.dumps(mangle(read_json(recorded.text), edits)).encode()
        document = parse(raw)
        if document is not None:
            read_request(recorded.format, raw, document)
            read_request(BY_NAME[other], raw, document)
    return len(names)


def check_invented(drawn: tuple[str, list[Document]]) -> int:
    name, documents = drawn
    fmt = BY_NAME[name]
    texts = [write(document) for document in documents]
    read_events(fmt, [Event(f"data: {text}\n\n".encode(), kind, text) for text in texts for kind in ("", "error")])
    read_answer(fmt, list(documents))
    for text in texts:
        read_answer(fmt, read_json(text))
        document = parse(text.encode())
        if document is not None:
            read_request(fmt, text.encode(), document)
    return len(documents)


def some(names: Iterable[str]) -> st.SearchStrategy[list[str]]:
    """Four of the names: one draw of edits serves several documents, for the drawing takes longest."""
    return st.lists(st.sampled_from(list(names)), min_size=4, max_size=4)


MANY_EDITS: Final = st.lists(st.tuples(PLACES, EDITS), max_size=5)


@pytest.mark.proof
@pytest.mark.timeout(60 + 600 * PROOF)
def test_chunks_do_not_matter() -> None:
    """A stream gives the same events whole, byte by byte and in two pieces, and every byte leaves exactly once."""
    drawn = st.tuples(
        st.sampled_from(list(STREAMS)),
        PLACES,
        PATCHES,
        PLACES,
        st.sampled_from((1 << 20, 1000, 100)),
        st.sampled_from([*DECODERS]),
    )
    fuzz(check_framing, drawn, 200, 100_000, "mangled streams, each in three ways through two decoders")


@pytest.mark.proof
@pytest.mark.timeout(60 + 600 * PROOF)
def test_events_never_raise() -> None:
    """Mangled events are read, stripped and put together to a body, or are not, by their format and by any other."""
    drawn = st.tuples(st.sampled_from(list(STREAMS)), PLACES, MANY_EDITS, ANY_FORMAT)
    fuzz(check_events, drawn, 200, 150_000, "sequences of mangled events, each read by two formats")


@pytest.mark.proof
@pytest.mark.timeout(60 + 600 * PROOF)
def test_answers_never_raise() -> None:
    """A mangled body is judged and turned into a stream, or is not, by its format and by any other."""
    drawn = st.tuples(some(BODIES), EDITS, ANY_FORMAT, st.binary(max_size=4))
    fuzz(check_answers, drawn, 100, 75_000, "mangled bodies, each read by two formats")


@pytest.mark.proof
@pytest.mark.timeout(60 + 600 * PROOF)
def test_requests_never_raise() -> None:
    """A mangled request is judged, normalized once and for all, left as it is, and asked for usage in JSON."""
    drawn = st.tuples(some(REQUESTS), EDITS, ANY_FORMAT)
    fuzz(check_requests, drawn, 100, 75_000, "mangled requests, each planned by two formats")


@pytest.mark.proof
@pytest.mark.timeout(60 + 600 * PROOF)
def test_invented_documents_never_raise() -> None:
    """Documents of a format's own words in any arrangement are read as a body, a list, a stream and a request."""
    differing = {(fmt.read_body, fmt.read_stream, fmt.bypass, fmt.normalize): fmt for fmt in FORMATS}
    invented = {fmt.name: st.lists(invent(fmt), min_size=1, max_size=4) for fmt in differing.values()}
    drawn = st.sampled_from(list(invented)).flatmap(lambda name: st.tuples(st.just(name), invented[name]))
    fuzz(check_invented, drawn, 500, 100_000, "invented documents, each read by one format")


@given(ANY_FORMAT, VALUES, st.sampled_from(NAMES))
def test_any_value_may_stand_anywhere(spoken: str, value: Json, name: str) -> None:
    """A document that has one value under every name, or under one, is read like any other."""
    fmt = BY_NAME[spoken]
    documents: list[Document] = [dict.fromkeys(NAMES, value), {name: value}]
    for document in documents:
        read_answer(fmt, document)
        read_answer(fmt, [document, document])
        read_events(fmt, [Event(b"", "", None), Event(b"", name, json.dumps(document))])


@pytest.mark.parametrize("depth", [64, 300, 900, 940, 960, 970, 980, 990, 995, 1_000, 100_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"content":', "}")], ids=["lists", "objects"])
def test_no_depth_raises(depth: int, brackets: tuple[str, str]) -> None:
    """Values are read as deep as Python's own parser can, and nothing of ours needs a deeper stack than it."""
    deep = brackets[0] * depth + "1" + brackets[1] * depth
    for fmt in FORMATS:
        for name in ("choices", "content", "message", "usage", "delta", "output", "candidates", "error", "model"):
            text = f'{{"{name}":{deep}}}'
            read_answer(fmt, read_json(text))
            read_events(fmt, [Event(text.encode(), "", text)])


@given(st.text(max_size=20) | st.lists(st.sampled_from(NAMES), max_size=4).map("/".join))
def test_any_path_may_be_asked_for(path: str) -> None:
    """A path is recognised or not, whatever it is."""
    route = recognise(path)

    assert route is None or route.format in FORMATS
