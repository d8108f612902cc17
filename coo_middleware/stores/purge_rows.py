"""The purges in a SQLite store: a row for each label, and one each for the generation and the floor (core/labels.py).
`connection` is within a transaction where something is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.labels import ALL, MOST_LABELS, START_BITS, Purges

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

# No label is like one of the two: each has a colon.
PURGES_SCHEMA: Final = f"""
CREATE TABLE purges (label TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX purges_by_generation ON purges (generation);
INSERT INTO purges SELECT 'floor', ((random() & {2**START_BITS - 1}) + 1) * {2**20};
INSERT INTO purges SELECT 'generation', generation FROM purges;
"""  # noqa: S608

_LABELS: Final = "label NOT IN ('generation', 'floor')"
_KEEP: Final = "INSERT INTO purges VALUES (?, ?) ON CONFLICT DO UPDATE SET generation = excluded.generation"
_COUNT: Final = f"SELECT count(*) FROM purges WHERE {_LABELS}"  # noqa: S608
_OLDEST: Final = f"SELECT generation FROM purges WHERE {_LABELS} ORDER BY generation LIMIT 1 OFFSET ?"  # noqa: S608
_FORGET: Final = f"DELETE FROM purges WHERE {_LABELS} AND generation <= ?"  # noqa: S608
_NEWS: Final = f"SELECT label, generation FROM purges WHERE {_LABELS} AND generation > ?"  # noqa: S608


def add_purge(connection: Connection, labels: Sequence[str]) -> int:
    """Purges `labels` and returns the generation in which it did."""
    generation = _read(connection, "generation") + 1
    kept = () if ALL in labels else dict.fromkeys(labels)
    connection.executemany(_KEEP, [(label, generation) for label in ("generation", *kept)])
    floor = generation if ALL in labels else _find_floor(connection)
    if floor:
        connection.execute(_KEEP, ("floor", floor))
        connection.execute(_FORGET, (floor,))
    return generation


def read_news(connection: Connection, since: int) -> Purges:
    """What was purged, as far as whoever knows all up to `since` lacks it."""
    generation, floor = _read(connection, "generation"), _read(connection, "floor")
    if since == generation:
        return Purges(generation, floor)
    rows = connection.execute(_NEWS, (since if floor <= since < generation else 0,))
    return Purges(generation, floor, dict(rows.fetchall()))


def _find_floor(connection: Connection) -> int:
    """The floor to which too many labels fold, 0 while they are not too many."""
    surplus = connection.execute(_COUNT).fetchone()[0] - MOST_LABELS
    return connection.execute(_OLDEST, (surplus - 1,)).fetchone()[0] if surplus > 0 else 0


def _read(connection: Connection, name: str) -> int:
    number: int = connection.execute("SELECT generation FROM purges WHERE label = ?", (name,)).fetchone()[0]
    return number
