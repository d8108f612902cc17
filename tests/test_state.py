"""stores/state.py: the document, there and back."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.labels import Purges
from coo_middleware.core.window import LEVELS
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.stores.state import State, VersionError, decode, encode
from coo_middleware.stores.sums import Sums
from coo_middleware.testing import Clock

if TYPE_CHECKING:
    from coo_middleware.stores import Counter

DOCUMENT = """\
{
  "counters": {
    "openai": {
      "key1": {
        "latency": {
          "amounts": {"expires": 1700000060.25, "hours": {"1699999200": 250.0}, "minutes": {"1699999980": 250.0}, \
"seconds": {"1700000000": 250.0}, "total": 250.0, "value": 250.0},
          "samples": {"expires": 1700000060.25, "hours": {"1699999200": 1.0}, "minutes": {"1699999980": 1.0}, \
"seconds": {"1700000000": 1.0}, "total": 1.0, "value": 1.0}
        },
        "req": {
          "expires": 1700000060.25,
          "hours": {"1699999200": 3.0},
          "minutes": {"1699999920": 1.0, "1699999980": 2.0},
          "seconds": {"1699999970": 1.0, "1700000000": 2.0},
          "total": 3.0,
          "value": 3.0
        }
      }
    }
  },
  "purges": {
    "floor": 1048576,
    "generation": 1048578,
    "labels": {
      "tag:docs": 1048578
    }
  },
  "responses": {
    "bytes": {
      "base64": "/w==",
      "expires": 1700000070.0
    },
    "text": {
      "expires": 1700000070.0,
      "text": "ключ \\"a\\""
    }
  },
  "version": 1,
  "writers": {
    "writer": {
      "sequence": 7,
      "used": 1700000000.0
    }
  }
}
"""

names = st.text(st.characters(codec="utf-8"), max_size=5)
numbers = st.floats(-1e12, 1e12)


@st.composite
def sums(draw: st.DrawFn) -> Sums:
    rings = {
        level.size: (
            draw(st.integers(1_000_000, 2_000_000)),
            array("d", draw(st.lists(numbers, min_size=1, max_size=8))),
        )
        for level in LEVELS
    }
    return Sums(draw(numbers), draw(numbers), draw(numbers), rings)


@st.composite
def counters(draw: st.DrawFn) -> dict[Counter, tuple[Sums, ...]]:
    found: dict[Counter, tuple[Sums, ...]] = {}
    for provider, key_id, mean in draw(st.lists(st.tuples(names, names, st.booleans()), max_size=3)):
        metric = "latency" if mean else "req"
        found[provider, key_id, metric] = tuple(draw(sums()) for _ in range(1 + mean))
    return found


def buckets(sums: Sums) -> dict[int, dict[int, float]]:
    """For each size of bucket that has any, the buckets that hold anything."""
    found = {
        size: {newest - back: amount for back, amount in enumerate(reversed(amounts)) if amount}
        for size, (newest, amounts) in sums.windows.items()
    }
    return {size: each for size, each in found.items() if each}


def plain(state: State) -> dict[Counter, list[object]]:
    """The counters, as values that compare equal when they mean the same."""
    return {
        name: [(each.value, each.expires, each.total, buckets(each)) for each in quantities]
        for name, quantities in state.counters.items()
    }


async def test_document_can_be_read_by_people() -> None:
    """Indented, sorted by name, text as text; a window's buckets are named by the time of their begin."""
    clock = Clock(1_699_999_970.25)
    memory = MemoryStore(clock=clock)
    await memory.increment_usage("openai", "key1", "req", 1)
    clock.advance(30)
    await memory.increment_usage("openai", "key1", "req", 2)
    await memory.increment_usage("openai", "key1", "latency", 250)
    found = {
        name: tuple(Sums(each.value, 1_700_000_060.25, each.total, each.windows) for each in quantities)
        for name, quantities in memory.snapshot()[0].items()
    }
    responses = {"text": (1_700_000_070.0, 'ключ "a"'.encode()), "bytes": (1_700_000_070.0, b"\xff")}

    purges = Purges(1_048_578, 1_048_576, {"tag:docs": 1_048_578})
    state = State(found, responses, {"writer": (7, 1_700_000_000.0)}, purges)

    assert DOCUMENT == encode(state).decode()


@given(
    st.builds(
        State,
        counters(),
        st.dictionaries(names, st.tuples(numbers, st.binary(max_size=20) | names.map(str.encode)), max_size=3),
        st.dictionaries(names, st.tuples(st.integers(0, 2**63 - 1), numbers), max_size=3),
    )
)
def test_document_holds_the_state(state: State) -> None:
    """What is read is what was written, and any JSON parser can read it."""
    read = decode(encode(state))

    assert plain(state) == plain(read)
    assert (state.responses, state.writers, state.purges) == (read.responses, read.writers, read.purges)
    json.loads(encode(state))


def test_document_from_before_there_were_purges_begins_them() -> None:
    """It is read, and nothing that was stored under it counts as stored after a purge."""
    document = json.loads(DOCUMENT)
    del document["purges"]
    purges = decode(json.dumps(document).encode()).purges

    assert 0 < purges.floor == purges.generation


def test_window_of_a_strange_document_stays_small() -> None:
    """Buckets far apart, as only another hand can write them, take no more than the longest window needs."""
    document = json.loads(DOCUMENT)
    document["counters"]["openai"]["key1"]["req"]["seconds"] = {"0": 5, "1700000000": 2}
    _, ring = decode(json.dumps(document).encode()).counters["openai", "key1", "req"][0].windows[1]

    assert 121 == len(ring)
    assert 2 == sum(ring)


def broken() -> dict[str, bytes]:
    """Documents that are none, by what is wrong with them."""
    texts = {
        "empty": "",
        "cut": DOCUMENT[:-20],
        "list": "[1]",
        "number": "1",
        "no version": "{}",
        "deep": "[" * 100_000,
    }
    for place in ("counters", "responses", "writers"):
        document = json.loads(DOCUMENT)
        texts[f"no {place}"] = json.dumps({name: each for name, each in document.items() if name != place})
        texts[f"{place} a list"] = json.dumps(document | {place: ["secret"]})
        texts[f"{place} of text"] = json.dumps(document | {place: {"name": "secret"}})
    texts["purges a list"] = json.dumps(json.loads(DOCUMENT) | {"purges": ["secret"]})
    texts["value a text"] = DOCUMENT.replace('"value": 3.0', '"value": "secret"')
    texts["bucket a text"] = DOCUMENT.replace('"1699999970": 1.0,', '"secret": 1.0,')
    texts["bucket infinite"] = DOCUMENT.replace('"sequence": 7', '"sequence": Infinity')
    texts["not base64"] = DOCUMENT.replace("/w==", "secret")
    return {name: text.encode() for name, text in texts.items()} | {"not UTF-8": b'"\xff\xfe'}


@pytest.mark.parametrize("content", broken().values(), ids=broken())
def test_what_is_no_document_is_refused(content: bytes) -> None:
    """The error tells the kind of fault and nothing of what the file holds."""
    with pytest.raises(ValueError, match=r"^not a store's document, ") as caught:
        decode(content)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("version", [0, 2, "x" * 1000])
def test_document_of_another_version_is_no_broken_one(version: object) -> None:
    """It is told apart, so that nobody sets it aside."""
    with pytest.raises(VersionError, match="where this program writes 1") as caught:
        decode(json.dumps({"version": version}).encode())

    assert len(str(caught.value)) < 100
