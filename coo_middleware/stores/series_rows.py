"""The lists of counters and their buckets in a SQLite store: questions to the tables of tables.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.window import Span, divide
from coo_middleware.stores import LATENCY, Total, TotalsPage
from coo_middleware.stores.checks import MOST_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from coo_middleware.stores import Counter

_PAGE: Final = f"""
SELECT id, provider, key_id, metric, CASE metric WHEN '{LATENCY}' THEN total / nullif(total_samples, 0) ELSE total END
FROM counters WHERE id > ? ORDER BY id LIMIT {MOST_COUNTERS}
"""  # noqa: S608
_BUCKETS: Final = """
SELECT bucket, amount, samples FROM windows
WHERE counter = (SELECT id FROM counters WHERE provider = ? AND key_id = ? AND metric = ?)
    AND size = ? AND bucket >= ?
"""


def list_totals(connection: Connection, after: int) -> TotalsPage:
    """The counters that were made after the one with the number `after`, which no counter loses again."""
    rows = connection.execute(_PAGE, (after,)).fetchall()
    totals = tuple(Total(provider, key_id, metric, value or 0.0) for _, provider, key_id, metric, value in rows)
    return TotalsPage(totals, str(rows[-1][0]) if len(rows) == MOST_COUNTERS else "")


def read_points(connection: Connection, counters: Sequence[Counter], span: Span) -> list[list[float]]:
    """The buckets of all counters at one moment."""
    connection.execute("BEGIN")
    with connection:
        return [_read_buckets(connection, each, span) for each in counters]


def _read_buckets(connection: Connection, counter: Counter, span: Span) -> list[float]:
    rows = connection.execute(_BUCKETS, (*counter, span.size, span.oldest)).fetchall()
    amounts = span.spread((bucket, amount or 0.0) for bucket, amount, _ in rows)
    if counter[2] != LATENCY:
        return amounts
    return divide(amounts, span.spread((bucket, samples or 0.0) for bucket, _, samples in rows))
