"""stores/tables.py: what leaves, when, and how much at a time."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from sqlite3 import Connection

import pytest

from coo_middleware.core.window import LEVELS
from coo_middleware.stores import Increment, tables

COUNTER = ("p", "k", "req")
DAY = 86_400
NOW = 1_700_000_000.25


@pytest.fixture
def db() -> Iterator[Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        tables.upgrade(connection, 0)
        yield connection


def keys(db: Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT key FROM responses ORDER BY key")]


def stored(db: Connection) -> tuple[int, int]:
    """What the running totals say; they must agree with the responses."""
    entries, size = db.execute("SELECT entries, bytes FROM stored").fetchone()
    assert (entries, size) == db.execute("SELECT count(*), coalesce(sum(size), 0) FROM responses").fetchone()
    return entries, size


def test_totals_follow_the_responses(db: Connection) -> None:
    """Storing, storing again and deleting keep count of entries and bytes."""
    tables.store_response(db, "a", bytes(100), NOW)
    tables.store_response(db, "é", bytes(10), NOW)
    tables.store_response(db, "a", bytes(1), NOW)
    assert (2, 2 * tables.ENTRY_BYTES + 1 + 2 + 11) == stored(db)

    tables.delete_response(db, "a")
    tables.delete_response(db, "nothing")
    assert (1, tables.ENTRY_BYTES + 2 + 10) == stored(db)


def test_what_expires_first_leaves_first(db: Connection) -> None:
    """Beyond the limits, and but for the response that was stored last."""
    for key, expires in (("c", 3), ("a", 1), ("d", 4), ("b", 2)):
        tables.store_response(db, key, bytes(100), NOW + expires)

    assert not tables.evict(db, 10**6, 3, "a")
    assert ["a", "c", "d"] == keys(db)
    assert not tables.evict(db, tables.size_of("a", bytes(100)), 3, "a")
    assert ["a"] == keys(db)


def test_eviction_goes_in_steps_when_asked(db: Connection) -> None:
    """A limit that was lowered is reached a little at a time."""
    for number in range(10):
        tables.store_response(db, f"{number}", b"", NOW + number)

    assert tables.evict(db, 10**6, 5, most=4)
    assert 6 == stored(db)[0]
    assert not tables.evict(db, 10**6, 5, most=4)
    assert ["5", "6", "7", "8", "9"] == keys(db)


def test_expired_responses_leave_in_steps(db: Connection) -> None:
    """A step takes 200 at most and says whether there may be more; what is fresh stays."""
    for number in range(450):
        tables.store_response(db, f"{number}", b"", NOW + (number >= 440))

    assert [True, True, False] == [tables.expire(db, NOW) for _ in range(3)]
    assert 10 == stored(db)[0]


def test_writer_is_remembered_for_35_days(db: Connection) -> None:
    """From the last time it wrote, a repeat included."""
    assert tables.mark(db, "writer", 5, NOW)
    assert not tables.mark(db, "writer", 4, NOW + DAY)
    tables.expire(db, NOW + 36 * DAY)
    assert not tables.mark(db, "writer", 5, NOW + DAY)
    tables.expire(db, NOW + 36.1 * DAY)

    assert tables.mark(db, "writer", 5, NOW)


def test_buckets_that_no_window_holds_leave_in_steps(db: Connection) -> None:
    """Twenty counters at a time, in turn, each down to what the longest windows need."""
    for number in range(30):
        for age in (0, 119, 300, 7_000, 9_000, 34 * DAY):
            tables.add(db, Increment("p", f"{number}", "req", 1, age=age), NOW, 60)
    before = db.execute("SELECT count(*) FROM windows").fetchone()[0]
    later = NOW + 40 * DAY

    first = tables.trim_windows(db, 0, later)
    assert first > 0
    assert 10 * before / 30 == db.execute("SELECT count(*) FROM windows").fetchone()[0]
    assert 0 == tables.trim_windows(db, first, later)
    assert 0 == db.execute("SELECT count(*) FROM windows").fetchone()[0]


def test_old_increment_makes_no_bucket_that_is_never_read(db: Connection) -> None:
    """What is older than a level's longest window does not enter that level."""
    tables.add(db, Increment(*COUNTER, 1, age=10 * DAY), NOW, 60)

    assert [(3_600,)] == db.execute("SELECT size FROM windows").fetchall()


def test_busy_counter_keeps_a_bounded_number_of_rows(db: Connection) -> None:
    """Forty days of an increment a minute, cleared up every hour, never need more rows than the windows have buckets
    and an hour brings.
    """
    most = 0
    for minute in range(0, 40 * 1440, 20):
        tables.add(db, Increment(*COUNTER, 1), NOW + minute * 60, 60)
        if minute % 60 == 0:
            tables.trim_windows(db, 0, NOW + minute * 60)
        most = max(most, db.execute("SELECT count(*) FROM windows").fetchone()[0])

    assert most <= sum(level.kept for level in LEVELS) + 2 * 3


def test_sum_beyond_all_numbers_breaks_nothing(db: Connection) -> None:
    """A counter that overflowed reads as infinite or nothing, and takes increments again in its next period."""
    for delta in (1.7e308, 1.7e308, -1.7e308, -1.7e308):
        tables.add(db, Increment(*COUNTER, delta), NOW, 60)
    tables.read_usage(db, COUNTER, NOW)
    tables.read_total(db, COUNTER)
    tables.add(db, Increment(*COUNTER, 1), NOW + 61, 60)

    assert 1 == tables.read_usage(db, COUNTER, NOW + 61)
