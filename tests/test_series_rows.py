"""stores/series_rows.py: the list of counters and their buckets, as the tables have them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from sqlite3 import Connection

import pytest

from coo_middleware.core.window import span_of
from coo_middleware.stores import LATENCY, Counter, Increment, Total, TotalsPage, series_rows, tables

REQ = ("p", "k", "req")
LATENCIES = ("p", "k", LATENCY)
NOW = 1_700_000_000.25


@pytest.fixture
def db() -> Iterator[Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        tables.upgrade(connection, 0)
        yield connection


def add(db: Connection, counter: Counter, delta: float, now: float = NOW, samples: int = 1) -> None:
    tables.add(db, Increment(*counter, delta, samples), now, 60)


def test_totals_are_listed_in_the_order_of_their_making(db: Connection) -> None:
    """So that a new counter is on a later page, whatever its name; of latency the mean."""
    add(db, REQ, 1.5)
    add(db, LATENCIES, 900, samples=3)
    add(db, ("a", "a", "a"), 2)
    add(db, REQ, 1)
    tables.set_usage(db, ("s", "k", LATENCY), 45, NOW + 60)

    totals = (Total(*REQ, 2.5), Total(*LATENCIES, 300), Total("a", "a", "a", 2), Total("s", "k", LATENCY, 0))
    assert TotalsPage(totals) == series_rows.list_totals(db, 0)
    assert TotalsPage(totals[2:]) == series_rows.list_totals(db, 2)


def test_page_has_a_thousand_counters(db: Connection) -> None:
    """The cursor is the last one's number, and the last page has none."""
    for number in range(1_001):
        add(db, ("p", "k", f"m{number}"), 1)
    page = series_rows.list_totals(db, 0)

    assert (1_000, "1000") == (len(page.totals), page.cursor)
    assert TotalsPage((Total("p", "k", "m1000", 1),)) == series_rows.list_totals(db, 1_000)


def test_buckets_ahead_of_the_clock_count(db: Connection) -> None:
    """What another clock put ahead counts in the last bucket, as it does in the window."""
    for seconds in (0, 30, 75):
        add(db, REQ, 1, NOW + seconds)
        add(db, LATENCIES, 10 + seconds, NOW + seconds)
    span = span_of(60, NOW + 15)
    sums, means = series_rows.read_points(db, [REQ, LATENCIES], span)

    assert [0] * 45 + [1] + [0] * 14 + [2] == sums
    assert [0] * 45 + [10] + [0] * 14 + [62.5] == means
    assert tables.read_window(db, REQ, 60, NOW + 15) == sum(sums)


def test_question_that_fails_leaves_no_transaction(db: Connection) -> None:
    """The connection is as good as before."""
    db.execute("DROP TABLE windows")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        series_rows.read_points(db, [REQ], span_of(60, NOW))

    assert not db.in_transaction
