"""What is recorded in tests/corpus, in pieces, and what chance makes of it."""

import copy
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Literal, get_args

from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.event_stream import EventStreamDecoder
from coo_middleware.core.format import Format
from coo_middleware.core.framing import Decoder, Event
from coo_middleware.core.ndjson import NDJSONDecoder
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats import recognise

CORPUS: Final = Path(__file__).parent / "corpus"
DECODERS: Final[dict[str, Callable[[int], Decoder]]] = {
    "sse": SSEDecoder,
    "ndjson": NDJSONDecoder,
    "aws": EventStreamDecoder,
}
# Longer recordings say nothing that shorter ones do not, and take their time.
_LONGEST: Final = 8_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request or an answer as JSON text, and the format that it is of."""

    format: Format
    text: str


@dataclass(frozen=True, slots=True)
class Stream:
    """The events of a streamed answer, its format and its framing."""

    format: Format
    open: Callable[[int], Decoder]
    events: tuple[Event, ...]


def _read_stream(framing: str, name: str) -> tuple[Event, ...]:
    decoder = DECODERS[framing](1 << 24)
    return (*decoder.feed((CORPUS / name).read_bytes()), *decoder.close())


def _read_texts(files: Iterable[tuple[str, Format]]) -> dict[str, Recorded]:
    texts = {name: Recorded(fmt, (CORPUS / name).read_text()) for name, fmt in files}
    return {name: recorded for name, recorded in texts.items() if len(recorded.text) <= _LONGEST}


_ROWS: Final = [json.loads(line) for line in (CORPUS / "index.jsonl").read_text().splitlines()]
_SPOKEN: Final = [(row, route.format) for row in _ROWS if (route := recognise(row["path"].partition("?")[0]))]
# By the names of their files.
STREAMS: Final = {
    row["file"]: Stream(fmt, DECODERS[row["framing"]], events)
    for row, fmt in _SPOKEN
    if row["framing"] in DECODERS and (events := _read_stream(row["framing"], row["file"]))
}
BODIES: Final = _read_texts((row["file"], fmt) for row, fmt in _SPOKEN if row["framing"] == "json")
REQUESTS: Final = _read_texts((row["request"], fmt) for row, fmt in _SPOKEN if "request" in row)


def _nodes(value: Json) -> Iterator[Json]:
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(child)


_DATA: Final = [event.data for stream in STREAMS.values() for event in stream.events[:40] if event.data]
_TEXTS: Final = [*_DATA, *(recorded.text for recorded in (*BODIES.values(), *REQUESTS.values()))]
_NODES: Final = [node for text in _TEXTS for node in _nodes(read_json(text))]
NAMES: Final = sorted({name for node in _NODES if isinstance(node, dict) for name in node})
WORDS: Final = sorted({node for node in _NODES if isinstance(node, str) and len(node) <= 40})
PARTS: Final = sorted({text for node in _NODES if node and len(text := json.dumps(node)) <= 200})

Kind = Literal["replace", "remove", "repeat", "wrap", "nest", "rename", "deepen"]
PLACES: Final = st.integers(0, 1 << 16)
_ATOMS: Final = st.sampled_from(
    (
        None,
        True,
        False,
        0,
        1,
        -1,
        6.0,
        0.5,
        10**16,
        10**39,
        float("inf"),
        "",
        "6",
        "٣",
        "x",
        "\0",
        "\ud800",
        "[DONE]",
        "{}",
    )
)
_LEAVES: Final[st.SearchStrategy[Json]] = _ATOMS | st.sampled_from(WORDS) | st.text(max_size=3)
VALUES: Final[st.SearchStrategy[Json]] = st.one_of(
    _LEAVES,
    st.sampled_from(PARTS).map(json.loads),
    st.lists(_LEAVES, max_size=3),
    st.dictionaries(st.sampled_from(NAMES), _LEAVES, max_size=4),
    st.recursive(
        _LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
        max_leaves=8,
    ),
)


def invent(fmt: Format) -> st.SearchStrategy[Document]:
    """Objects made of the words that the format's readers look for, and of odd values."""
    readers = (fmt.read_body, fmt.read_stream, fmt.bypass, fmt.normalize)
    sources = {inspect.getsource(sys.modules[reader.__module__]) for reader in readers}
    words = sorted({word for source in sources for word in re.findall(r'"([\w.:-]+)"', source)})
    leaves = _ATOMS | st.sampled_from(words)
    nested = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(words), inner, max_size=4),
        max_leaves=8,
    )
    # Left to itself, a recursive strategy hardly ever gives a leaf.
    return st.dictionaries(st.sampled_from(words), leaves | nested, min_size=1, max_size=8)


@dataclass(frozen=True, slots=True)
class Edit:
    """One thing that is done at one place of a document."""

    kind: Kind
    place: int
    name: str
    value: Json


EDITS: Final = st.lists(
    st.builds(Edit, st.sampled_from(get_args(Kind)), PLACES, st.sampled_from(NAMES), VALUES), max_size=4
)


def mangle(value: Json, edits: Sequence[Edit]) -> Json:
    """`value`, which is changed, after all the edits."""
    root: list[Json] = [value]
    for edit in edits:
        spots = list(_spots(root))
        if spots:
            _change(*spots[edit.place % len(spots)], edit)
    return root[0] if root else None


def _spots(container: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a list or an object: the container and the index or the name."""
    for key in range(len(container)) if isinstance(container, list) else list(container):
        yield container, key
        if isinstance(container[key], list | dict):
            yield from _spots(container[key])


def _change(container: Any, key: Any, edit: Edit) -> None:
    value = copy.deepcopy(edit.value)
    if edit.kind == "remove":
        del container[key]
    elif edit.kind == "repeat" and isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    elif edit.kind == "rename" and isinstance(container, dict):
        container[edit.name] = container.pop(key)
    elif edit.kind in ("wrap", "nest"):
        container[key] = [container[key]] if edit.kind == "wrap" else {edit.name: container[key]}
    elif edit.kind == "deepen":
        container[key] = list(accumulate(range(80), lambda inner, _: [inner], initial=container[key]))[-1]
    else:
        container[key] = value


def write(value: Json) -> str:
    """`value` as a provider could have sent it."""
    return json.dumps(value).replace("Infinity", "1e999")


def mangle_events(events: Sequence[Event], edits: Sequence[tuple[int, Sequence[Edit]]]) -> list[Event]:
    """Some of the events in some order, each with its JSON edited; their raw bytes are those of SSE."""
    changed = []
    for place, each in edits:
        event = events[place % len(events)]
        data = write(mangle(read_json(event.data or ""), each)) if each else event.data
        changed.append(Event(f"data: {data}\n\n".encode(), event.name, data))
    return changed
