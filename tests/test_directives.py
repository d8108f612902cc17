"""core/directives.py: Cache-Control, read strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.directives import Directives, forbids_storing, read_directives

STRICTEST = Directives(no_store=True, no_cache=True)

tokens = st.text("!#$%&'*+.^_`|~-09azAZ", min_size=1, max_size=12)
spaces = st.text(" \t", max_size=3)


@pytest.mark.parametrize(
    ("value", "wishes"),
    [
        (b"", Directives()),
        (b" \t", Directives()),
        (b"no-store", Directives(no_store=True)),
        (b"No-Store", Directives(no_store=True)),
        (b"no-cache", Directives(no_cache=True)),
        (b"only-if-cached", Directives(only_if_cached=True)),
        (b"max-age=60", Directives(max_age=60)),
        (b"MAX-AGE=0", Directives(max_age=0)),
        (b'max-age="10"', Directives(max_age=10)),
        (b"\tno-cache , max-age=5 ", Directives(no_cache=True, max_age=5)),
        (b"no-store, max-age=60", Directives(no_store=True, max_age=60)),
        (b",, no-store,, max-age=7,", Directives(no_store=True, max_age=7)),
        (b"max-stale=5, x-ours, y=z", Directives()),
        (b'ext="no-store, no-cache"', Directives()),
        (b'ext="a\\"b", no-cache', Directives(no_cache=True)),
        (b'no-store="x"', Directives(no_store=True)),
    ],
)
def test_wishes_are_read(value: bytes, wishes: Directives) -> None:
    """Directives are read whatever their case, white space, quoting, empty list elements and unknown neighbours."""
    assert wishes == read_directives(value)


@pytest.mark.parametrize(
    "value",
    [
        b"max-age=",
        b"max-age=1 2",
        b"no-store x",
        b'no-store="x',
        b"no-cache;max-age=5",
        b"max-age =5",
        b"=5",
        b'"no-store"',
        b"no-store\n",
        b"no-store\x00",
        b"no-store\r\nx: y",
        b'x="a\\',
        b'x="a"b',
        b"\xff",
        b"\xd9\xa3=1",
    ],
)
def test_malformed_field_agrees_to_nothing(value: bytes) -> None:
    """A field that does not parse counts as no-store and no-cache, whatever stands in the part that does."""
    assert STRICTEST == read_directives(value)
    assert forbids_storing(value, shared=False)


@pytest.mark.parametrize("age", [b"abc", b"-1", b"1.5", b"+1", b'""', b'" 1"', b"1e3"])
def test_age_that_is_none_means_zero(age: bytes) -> None:
    """An age that is no number of seconds wants a fresh answer."""
    assert Directives(no_cache=True) == read_directives(b"max-age=" + age)


def test_age_without_argument_means_zero() -> None:
    """`max-age` alone wants a fresh answer."""
    assert Directives(no_cache=True) == read_directives(b"max-age")


@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        (b"2147483648", 2**31),
        (b"2147483649", 2**31),
        (b"99999999999999999999", 2**31),
        (b"9" * 5_000, 2**31),
        (b"0000000000000000", 0),
        (b"00000000000000000000000010", 10),
    ],
)
def test_long_ages_are_read(age: bytes, seconds: int) -> None:
    """An age beyond 2^31 counts as 2^31 (RFC 9111 section 1.2.2), and leading zeros count for nothing."""
    assert Directives(max_age=seconds) == read_directives(b"max-age=" + age)


@pytest.mark.parametrize(
    ("value", "wishes"),
    [
        (b"max-age=60, max-age=5", Directives(max_age=5)),
        (b"max-age=5, MAX-AGE=60", Directives(max_age=5)),
        (b"max-age=5, max-age=x", Directives(no_cache=True)),
        (b"max-age, max-age=5", Directives(no_cache=True)),
        (b"no-store, no-store", Directives(no_store=True)),
    ],
)
def test_directive_said_twice_counts_at_its_strictest(value: bytes, wishes: Directives) -> None:
    """Of two ages the smaller one counts, and one that does not parse is smaller than all."""
    assert wishes == read_directives(value)


@given(st.lists(st.tuples(spaces, tokens, spaces), max_size=8), st.integers(0, 2**31))
def test_neighbours_change_no_wish(neighbours: list[tuple[str, str, str]], age: int) -> None:
    """A directive is found among any others that parse."""
    others = [f"{before}x{name}{after}" for before, name, after in neighbours]

    assert Directives(max_age=age) == read_directives(",".join([*others, f"max-age={age}", *others]).encode())


@given(st.binary(max_size=60) | st.text('no-storemax-age=19,"\\ \t', max_size=60).map(str.encode))
def test_any_bytes_are_read(value: bytes) -> None:
    """No bytes raise, and an age is never negative nor over 2^31."""
    age = read_directives(value).max_age

    assert age is None or 0 <= age <= 2**31
    assert forbids_storing(value, shared=True) or not forbids_storing(value, shared=False)


@pytest.mark.parametrize(
    ("value", "private", "shared"),
    [
        (b"", False, False),
        (b"no-cache", False, False),
        (b"public, max-age=60", False, False),
        (b"max-age=abc", False, False),
        (b"no-store", True, True),
        (b"private", False, True),
        (b'private=""', False, True),
        (b'Private="set-cookie"', False, True),
        (b"max-age=1, NO-STORE", True, True),
        (b's-maxage="10', True, True),
    ],
)
def test_storing_is_forbidden(value: bytes, private: bool, shared: bool) -> None:
    """`no-store` speaks to every cache, `private` to a shared one only, a malformed field to every one."""
    assert private == forbids_storing(value, shared=False)
    assert shared == forbids_storing(value, shared=True)
