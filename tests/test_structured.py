"""core/structured.py: dictionaries of structured fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.structured import Item, parse_dictionary

keys = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
strings = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
items = st.booleans() | st.integers(-(10**15) + 1, 10**15 - 1) | strings


def spell(item: object) -> str:
    if isinstance(item, tuple):
        return f"({' '.join(map(spell, item))})"
    if isinstance(item, bool):
        return f"?{item:d}"
    return str(item) if isinstance(item, int) else '"' + str(item).replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (b"", {}),
        (b"   ", {}),
        (b"max-age=60", {"max-age": 60}),
        (b"  a=1 \t,\t b ", {"a": 1, "b": True}),
        (b"a=?0, b=?1, c", {"a": False, "b": True, "c": True}),
        (b'a="x, \\"y\\" \\\\", b=tok:en/1*', {"a": 'x, "y" \\', "b": "tok:en/1*"}),
        (b"a=-5, b=1.50, c=-0.125", {"a": -5, "b": 1.5, "c": -0.125}),
        (b"a=:aGk=:, b=@1659578233", {"a": None, "b": None}),
        (b'a=(), b=( 1  x ), c=("y";q=1 ?0);p', {"a": (), "b": (1, "x"), "c": ("y", False)}),
        (b'a=1;b;c=2;  d="x", e;f', {"a": 1, "e": True}),
        (b"a=1, a=2", {"a": 2}),
    ],
)
def test_members_are_read(value: bytes, members: dict[str, Item]) -> None:
    """Every kind of item is read, white space and parameters are passed over, the last of equal names counts."""
    assert members == parse_dictionary(value)


@pytest.mark.parametrize(
    "value",
    [
        *(b"A=1", b"a=", b"a =1", b"a= 1", b"a,", b",a", b"a,,b", b"a b", b"a=1234567890123456", b"a=1.", b"a=1.2345"),
        *(
            b'a="x',
            b'a="\\x"',
            b"a=(1",
            b"a=(1,2)",
            b'a=("x""y")',
            b"a=?2",
            b"a=\xff",
            b'a="\xc3\xa4"',
            b"a=1\n",
            b"a;B",
        ),
    ],
)
def test_what_is_no_dictionary_is_none(value: bytes) -> None:
    """One fault and the whole field counts for nothing (RFC 9651 section 4.2)."""
    assert None is parse_dictionary(value)


@given(st.dictionaries(keys, items | st.lists(items, max_size=4).map(tuple), max_size=5))
def test_what_was_spelt_is_read(members: dict[str, Item]) -> None:
    """A dictionary is read as what it was made of."""
    spelt = ", ".join(f"{name}={spell(item)}" for name, item in members.items())

    assert members == parse_dictionary(spelt.encode())


@given(st.binary(max_size=80) | st.text('ab=()"\\?1;,: @.-', max_size=80).map(str.encode))
def test_any_bytes_are_read(value: bytes) -> None:
    """No bytes raise."""
    members = parse_dictionary(value)

    assert members is None or all(isinstance(name, str) for name in members)
