"""stores/opened.py: an entry is read from its bytes once, as long as they are the very bytes of the store."""

from __future__ import annotations

from dataclasses import replace

from coo_middleware.core.entry import Entry, pack_entry
from coo_middleware.core.shape import Shape
from coo_middleware.stores.opened import Opened

ENTRY = Entry(b"d" * 32, 1.0, 10.0, "openai", "key1", "m", "openai.chat", Shape(stream=False), None, (), b"{}")


def test_the_same_bytes_give_the_same_entry() -> None:
    """The very object comes back, and nothing for another key."""
    opened, sealed = Opened(100_000), pack_entry(ENTRY)
    opened.put(sealed, ENTRY)

    assert ENTRY is opened.get(ENTRY.digest, sealed)
    assert opened.get(b"e" * 32, sealed) is None


def test_other_bytes_give_nothing() -> None:
    """What was stored anew is read anew, be it equal."""
    opened = Opened(100_000)
    opened.put(pack_entry(ENTRY), ENTRY)

    assert opened.get(ENTRY.digest, pack_entry(ENTRY)) is None


def test_the_last_one_counts() -> None:
    """An entry takes the place of its predecessor, however large that is."""
    old, new = replace(ENTRY, content=bytes(40_000)), replace(ENTRY, created=2.0)
    opened, sealed = Opened(100_000), pack_entry(new)
    opened.put(pack_entry(old), old)
    opened.put(sealed, new)

    assert new is opened.get(ENTRY.digest, sealed)


def test_entries_are_bounded() -> None:
    """There are 1,000 at most, none where there is no room, and what is larger than all the room is not kept."""
    for max_bytes, content, most in (
        (1_000_000, b"", 1_000),
        (10_000, bytes(2_000), 2),
        (0, b"", 0),
        (500, bytes(1_024), 0),
    ):
        opened = Opened(max_bytes)
        for number in range(1_500):
            entry = replace(ENTRY, digest=b"%032d" % number, content=content)
            opened.put(pack_entry(entry), entry)

        assert most - 1 <= len(opened._entries) <= most
