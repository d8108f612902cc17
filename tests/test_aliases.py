"""core/aliases.py: other gateways' header fields in our words."""

from __future__ import annotations

import pytest

from coo_middleware.core.aliases import ALIASES, MODE, NAMESPACE, TTL, steering_fields, translate_field

MODES = {b"on", b"off", b"read", b"write", b"refresh"}


@pytest.mark.parametrize(
    ("name", "value", "translated"),
    [
        (b"cf-aig-skip-cache", b" True ", (MODE, b"off")),
        (b"cf-aig-skip-cache", b"false", (MODE, b"on")),
        (b"cf-aig-cache-ttl", b"3600", (TTL, b"3600")),
        (b"cf-aig-cache-key", b"TRUE", (NAMESPACE, b"TRUE")),
        (b"helicone-cache-enabled", b"false", (MODE, b"off")),
        (b"helicone-cache-save", b"true", (MODE, b"write")),
        (b"helicone-cache-read", b"true", (MODE, b"read")),
        (b"x-portkey-cache-force-refresh", b"True", (MODE, b"refresh")),
        (b"x-bt-use-cache", b"never", (MODE, b"off")),
        (b"x-openrouter-cache-clear", b"true", (MODE, b"refresh")),
        (b"x-openrouter-cache", b"maybe", (MODE, b"maybe")),
        (b"x-coo-cache", b"true", (MODE, b"true")),
        (b"cache-control", b"no-store", ("cache-control", b"no-store")),
    ],
)
def test_fields_are_translated(name: bytes, value: bytes, translated: tuple[str, bytes]) -> None:
    """A field says in our words what it says in its gateway's; our own, and values that nobody knows, stay."""
    assert translated == translate_field(name, value)


def test_the_table_is_in_our_words() -> None:
    """Every row is a lower-case name, of values that mean one of our modes, or that go over as they are."""
    for name, (control, words) in ALIASES.items():
        assert name == name.lower()
        assert MODES >= set(words.values())
        assert (control == MODE) == bool(words)
        assert {word.lower() for word in words} == set(words)


def test_aliases_steer_only_where_they_are_wanted() -> None:
    """Without `compat` only Cache-Control, Pragma and our own fields steer."""
    own = {b"cache-control", b"pragma", b"x-coo-cache", b"x-coo-ttl", b"x-coo-namespace", b"x-coo-tags"}

    assert own == steering_fields(compat=False)
    assert own | set(ALIASES) == steering_fields(compat=True)
