"""core/plan.py: which documents have one cache key."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from coo_middleware.core.policy import CachePolicy
from coo_middleware.formats.chat import CHAT
from tests.plans import DOCUMENT, STRICT, digest, make_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.normalize import Preset

# Names that are left out, that pick a stream or its options, or that may make a request bypass.
ELSEWHERE = {*CHAT.left_out, "model", "messages", "stream", "stream_options", "store", "plugins"}

texts = st.text(max_size=8) | st.sampled_from(["a", " a", "a\r\n", "e\u0301", "\u00e9", "\u212b", "text", "user"])
atoms = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-(2.0**52), 2.0**52) | texts
values: st.SearchStrategy[Json] = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
parts = st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"])}, optional={"text": texts, "x": values})
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | texts},
    optional={"content": texts | st.lists(parts, max_size=2) | values, "name": texts, "tool_calls": values},
)
names = st.sampled_from(["temperature", "tools", "response_format", "seed"]) | texts
documents: st.SearchStrategy[Document] = st.builds(
    lambda model, spoken, rest, stream: {**rest, "model": model, "messages": spoken, "stream": stream},
    st.sampled_from(["m", "gpt-4o"]),
    st.lists(messages, max_size=3),
    st.dictionaries(names.filter(lambda name: name not in ELSEWHERE), values, max_size=3),
    st.booleans(),
)


def leaves(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """Every path in a document that ends in an atom, or in a list or an object without anything in it."""
    children: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        children += value.items()
    elif isinstance(value, list):
        children += enumerate(value)
    if not children:
        yield path, value
    for place, child in children:
        yield from leaves(child, (*path, place))


def put(value: Json, path: tuple[str | int, ...], leaf: Json) -> Json:
    """`value` with `leaf` at `path`."""
    if not path:
        return leaf
    place, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {name: put(child, rest, leaf) if name == place else child for name, child in value.items()}
    assert isinstance(value, list)
    return [put(child, rest, leaf) if each == place else child for each, child in enumerate(value)]


def change(document: Document, path: tuple[str | int, ...], leaf: Json) -> Document:
    changed = put(document, path, leaf)
    assert isinstance(changed, dict)
    return changed


def differ(one: Json, other: Json) -> bool:
    """Whether two leaves are two values in JSON, where 1 is 1.0 and true is not 1."""
    return isinstance(one, bool) != isinstance(other, bool) or one != other


def differ_in_prose(one: Json, other: Json) -> bool:
    """Whether the preset `text` may tell two leaves of a message apart."""
    if not isinstance(one, str) or not isinstance(other, str):
        return differ(one, other)
    first, second = (
        unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n") for text in (one, other)
    )
    return first.strip(" \t\n") != second.strip(" \t\n")


def spell(value: Json, random: Random, *, ordered: bool = False) -> str:
    """`value` as JSON in one of its spellings."""
    if isinstance(value, dict):
        members = list(value.items())
        if not ordered:
            random.shuffle(members)
        spelled = [
            f"{spell(name, random)}{blank(random)}:{spell(each, random, ordered=ordered)}" for name, each in members
        ]
        return "{" + ",".join(spelled) + blank(random) + "}"
    if isinstance(value, list):
        return "[" + ",".join(spell(each, random, ordered=ordered) for each in value) + blank(random) + "]"
    return blank(random) + spell_atom(value, random) + blank(random)


def spell_atom(value: Json, random: Random) -> str:
    if isinstance(value, str):
        escaped = "".join(f"\\u{unit:04x}" for unit in memoryview(value.encode("utf-16-le")).cast("H"))
        return random.choice([json.dumps(value), json.dumps(value, ensure_ascii=False), f'"{escaped}"'])
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return random.choice([f"{value}", f"{value}.0", f"{value}e0", f"{value}.00E+0"])
    if isinstance(value, float):
        return random.choice([repr(value), f"{value:.17e}", f"{value:.17E}"])
    return json.dumps(value)


def blank(random: Random) -> str:
    return random.choice(["", " ", "\n", "\t", "\r\n  "])


@pytest.mark.parametrize("preset", ["strict", "text"])
@given(documents, atoms)
@example({"model": "m", "messages": [{"role": "user", "content": "a"}], "stream": False, "x": []}, "b")
def test_every_leaf_counts(preset: Preset, document: Document, new: Json) -> None:
    """Another value at any path of a document gives another key, but for what the preset calls equal in prose."""
    policy = CachePolicy(normalize=preset)
    before = digest(document, policy)
    assume(before)
    for path, old in leaves(document):
        told = differ_in_prose if preset == "text" and path[0] == "messages" else differ
        for leaf in (new, None, True, 0, 1, "x", [], {}):
            if path != ("stream",) and told(old, leaf):
                assert before != digest(change(document, path, leaf), policy), path


@given(documents)
def test_every_member_counts(document: Document) -> None:
    """A member that is missing gives another key, and so does one more."""
    before = digest(document)
    assume(before)

    assert before != digest({**document, "one-more": None})
    for name in document.keys() - {"stream"}:
        assert before != digest({each: value for each, value in document.items() if each != name})


@given(documents, st.randoms(use_true_random=False))
def test_spelling_says_nothing(document: Document, random: Random) -> None:
    """The order of members, white space, escapes and the spelling of numbers give the same key."""
    before = digest(document, STRICT)
    assume(before)
    members = [
        f"{spell(name, random)}:{spell(each, random, ordered=name in CHAT.ordered)}" for name, each in document.items()
    ]
    random.shuffle(members)
    content = "{" + ",".join(members) + "}"

    assert before == make_plan(content.encode(), policy=STRICT).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"tools": [{"a": 1, "b": 2}]}, {"tools": [{"b": 2, "a": 1}]}),
        ({"response_format": {"a": {"x": 1, "y": 2}}}, {"response_format": {"a": {"y": 2, "x": 1}}}),
        ({"stop": ["a", "b"]}, {"stop": ["b", "a"]}),
        ({"seed": 1}, {"seed": True}),
        ({"seed": 1}, {"seed": "1"}),
        ({"seed": 0}, {"seed": None}),
        ({"é": 1}, {"e\u0301": 1}),
        ({"a": {"b": 1}}, {"a": '{"b":1}'}),
        ({"ab": 1}, {"a": "b1"}),
        ({"a": []}, {"a": {}}),
        ({"__proto__": 1}, {"constructor": 1}),
    ],
)
def test_what_looks_alike_is_told_apart(one: Document, other: Document) -> None:
    """The order in schemas, tools and lists, kinds of values and forms of names all count."""
    assert digest({**DOCUMENT, **one}) != digest({**DOCUMENT, **other})


@pytest.mark.parametrize("text", [" hi", "hi\n", "\t hi \r\n"])
def test_outer_white_space_of_prose_says_nothing_by_text(text: str) -> None:
    """What the preset calls equal is equal, and is not by `strict`."""
    spoken: Document = {"model": "m", "messages": [{"role": "user", "content": text}]}

    assert digest(DOCUMENT) == digest(spoken)
    assert digest(DOCUMENT, STRICT) != digest(spoken, STRICT)


def test_one_text_part_equals_its_text() -> None:
    """A message of one text part is the message of its text, and NFC and line ends are settled."""
    part: Document = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "e\u0301\r\n!"}]}],
    }
    plain: Document = {"model": "m", "messages": [{"role": "user", "content": "\u00e9\n!"}]}

    assert digest(part) == digest(plain)
    assert digest(part, STRICT) != digest(plain, STRICT)


@pytest.mark.parametrize("name", sorted(CHAT.left_out))
def test_bookkeeping_says_nothing(name: str) -> None:
    """Members that never reach the model are no part of a key."""
    assert digest(DOCUMENT) == digest({**DOCUMENT, name: "x"}) == digest({**DOCUMENT, name: "y"})
