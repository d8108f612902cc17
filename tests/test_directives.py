"""core/directives.py: Cache-Control, read strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.directives import Directives, read_directives, read_seconds, split_directives

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
        (b"min-fresh=3, max-stale=5, x-ours, y=z", Directives(min_fresh=3, max_stale=5)),
        (b"max-stale", Directives(max_stale=float("inf"))),
        (b"Max-Stale=0", Directives(max_stale=0)),
        (b"stale-if-error=60", Directives(stale_if_error=60)),
        (b"no-transform", Directives()),
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
    assert None is split_directives(value)


@pytest.mark.parametrize("time", [b"", b"=abc", b"=-1", b"=1.5", b"=+1", b'=""', b'=" 1"', b"=1e3"])
def test_time_that_is_none_is_the_strictest(time: bytes) -> None:
    """What is no number of seconds, or none at all, wants a fresh answer, or agrees to no stale one."""
    assert Directives(no_cache=True) == read_directives(b"max-age" + time)
    assert Directives(no_cache=True) == read_directives(b"min-fresh" + time)
    assert Directives(stale_if_error=0) == read_directives(b"stale-if-error" + time)
    assert Directives(max_stale=None if time else float("inf")) == read_directives(b"max-stale" + time)


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
        (b"min-fresh=5, min-fresh=60", Directives(min_fresh=60)),
        (b"min-fresh=5, min-fresh=x", Directives(no_cache=True)),
        (b"max-stale, max-stale=60, max-stale=5", Directives(max_stale=5)),
        (b"max-stale=60, max-stale=x", Directives()),
        (b"stale-if-error=9, stale-if-error=3", Directives(stale_if_error=3)),
        (b"stale-if-error=9, stale-if-error", Directives(stale_if_error=0)),
    ],
)
def test_directive_said_twice_counts_at_its_strictest(value: bytes, wishes: Directives) -> None:
    """Of two times the stricter one counts, and one that does not parse is stricter than all."""
    assert wishes == read_directives(value)


@given(st.lists(st.tuples(spaces, tokens, spaces), max_size=8), st.integers(0, 2**31))
def test_neighbours_change_no_wish(neighbours: list[tuple[str, str, str]], age: int) -> None:
    """A directive is found among any others that parse."""
    others = [f"{before}x{name}{after}" for before, name, after in neighbours]

    assert Directives(max_age=age) == read_directives(",".join([*others, f"max-age={age}", *others]).encode())


@given(st.binary(max_size=60) | st.text('no-storemax-age=19,"\\ \t', max_size=60).map(str.encode))
def test_any_bytes_are_read(value: bytes) -> None:
    """No bytes raise, and no time is negative, nor over 2^31 but for `max-stale` without one."""
    wishes = read_directives(value)
    times = [wishes.max_age, wishes.min_fresh, wishes.stale_if_error, wishes.max_stale]

    assert [] == [time for time in times if time is not None and not 0 <= time <= 2**31 and time != float("inf")]
    assert STRICTEST == wishes or split_directives(value) is not None


@pytest.mark.parametrize(
    ("value", "honoured", "wishes"),
    [
        (b"no-store, no-cache, only-if-cached", ["no-cache"], Directives(no_cache=True)),
        (b"max-age=5, min-fresh=6", ["min-fresh"], Directives(min_fresh=6)),
        (b"max-age=x", ["no-cache"], Directives()),
        (b"max-age=x", ["max-age"], Directives(no_cache=True)),
        (b"max-stale, stale-if-error=5", [], Directives()),
        (b"?", ["no-store"], Directives(no_store=True)),
        (b"?", ["max-age"], Directives()),
    ],
)
def test_only_what_is_honoured_is_read(value: bytes, honoured: list[str], wishes: Directives) -> None:
    """A directive that is not honoured counts for nothing, also where it or the whole field does not parse."""
    assert wishes == read_directives(value, honoured)


@given(st.integers(0, 2**31))
def test_seconds_are_read(seconds: int) -> None:
    """Every whole number of seconds is one."""
    assert seconds == read_seconds(str(seconds)) == read_seconds(f"000{seconds}")


def test_directives_are_split() -> None:
    """Names come in lower case with each argument, and None where there was none."""
    expected = {"private": [None], "max-age": ["1", "2"], "x": [""]}

    assert expected == split_directives(b'Private, max-age=1, MAX-AGE="2",, x=""')
