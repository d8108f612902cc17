"""The limits in a SQLite store: a row for each tally (core/ledger.py), and one for each reservation under way.
`connection` is within a transaction that writes; `now` is of the time that limits go by (machine_clock.py).

Of a window's reservations only those are read that lapse or are asked for, so that a change costs the same however many
are under way; where what is limited is concurrency, all are.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from coo_middleware.core.ledger import GRAINS, Hold, Ledger, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

    from coo_middleware.core.limits import Admission, Settlement, Takes

LIMITS_SCHEMA: Final = """
CREATE TABLE limits (name TEXT PRIMARY KEY, expires REAL NOT NULL, tally TEXT NOT NULL);
CREATE INDEX limits_by_expiry ON limits (expires);
CREATE TABLE holds (
    name TEXT NOT NULL, ticket TEXT NOT NULL, grain INTEGER NOT NULL, amount REAL NOT NULL, expires REAL NOT NULL,
    PRIMARY KEY (name, ticket)
) WITHOUT ROWID;
CREATE INDEX holds_by_expiry ON holds (name, expires);
"""

_LIMITS_PER_STEP: Final = 200
_READ: Final = "SELECT expires, tally FROM limits WHERE name = ?"
_KEEP: Final = """
INSERT INTO limits VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET expires = excluded.expires, tally = excluded.tally
"""
_FORGET: Final = "DELETE FROM limits WHERE name = ?"
_LAPSED: Final = "SELECT ticket, grain, amount, expires FROM holds WHERE name = ? AND expires <= ? ORDER BY expires"
_HELD: Final = "SELECT grain, amount, expires FROM holds WHERE name = ? AND ticket = ?"
_HOLD: Final = "INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?, ?)"
_END: Final = "DELETE FROM holds WHERE name = ? AND ticket = ?"
_END_ALL: Final = "DELETE FROM holds WHERE name = ?"
_EXPIRED: Final = "SELECT name FROM limits WHERE expires <= ? ORDER BY expires LIMIT ?"


def reserve(
    connection: Connection, ticket: str, choices: Sequence[Takes], lease_seconds: float, now: float
) -> Admission:
    """As Ledger.reserve."""
    book = _Book(connection, (take.name for takes in choices for take in takes), now)
    admission = book.ledger.reserve(ticket, choices, lease_seconds, now)
    book.keep()
    return admission


def settle(connection: Connection, settlements: Sequence[Settlement], now: float) -> None:
    """As Ledger.settle."""
    book = _open_for(connection, settlements, now)
    book.ledger.settle(settlements, now)
    book.keep()


def renew(connection: Connection, settlements: Sequence[Settlement], lease_seconds: float, now: float) -> None:
    """As Ledger.renew."""
    book = _open_for(connection, settlements, now)
    book.ledger.renew(settlements, lease_seconds, now)
    book.keep()


def expire(connection: Connection, now: float) -> bool:
    """Deletes some of the limits of which nothing counts any more, True when there may be more."""
    names = connection.execute(_EXPIRED, (now, _LIMITS_PER_STEP)).fetchall()
    connection.executemany(_END_ALL, names)
    connection.executemany(_FORGET, names)
    return len(names) == _LIMITS_PER_STEP


def _open_for(connection: Connection, settlements: Sequence[Settlement], now: float) -> _Book:
    book = _Book(connection, (take.name for each in settlements for take in each.takes), now)
    for settlement in settlements:
        for take in settlement.takes:
            book.look_up(take.name, settlement.ticket)
    return book


class _Book:
    """The limits of some names as a ledger, and as the tables have them."""

    def __init__(self, connection: Connection, names: Iterable[str], now: float) -> None:
        self._connection: Final = connection
        self.ledger: Final = Ledger()
        self._rows: Final[dict[str, tuple[float, str]]] = {}
        self._tallies: Final[dict[str, Tally]] = {}
        self._holds: Final[dict[str, dict[str, Hold]]] = {}
        for name in dict.fromkeys(names):
            self._load(name, now)

    def look_up(self, name: str, ticket: str) -> None:
        """Adds a reservation to what is known of a limit."""
        tally = self._tallies.get(name)
        if tally is None or ticket in tally.holds:
            return
        row = self._connection.execute(_HELD, (name, ticket)).fetchone()
        if row is not None:
            tally.holds[ticket] = self._holds[name][ticket] = Hold(*row)

    def keep(self) -> None:
        """Writes what changed. What the ledger put in the place of another begins without any reservation."""
        for name, tally in self._tallies.items():
            if self.ledger.tallies.get(name) is not tally:
                self._forget(name)
        for name, tally in self.ledger.tallies.items():
            if tally.amounts:
                self._write(name, tally)
            elif name in self._rows:
                self._forget(name)

    def _load(self, name: str, now: float) -> None:
        row = self._connection.execute(_READ, (name,)).fetchone()
        if row is None:
            return
        tally = Tally.load(row[1])
        held = self._connection.execute(_LAPSED, (name, now if tally.window else inf))
        tally.holds = {ticket: Hold(*hold) for ticket, *hold in held}
        self._rows[name], self._tallies[name], self._holds[name] = row, tally, dict(tally.holds)
        self.ledger.tallies[name] = tally

    def _forget(self, name: str) -> None:
        self._connection.execute(_END_ALL, (name,))
        self._connection.execute(_FORGET, (name,))
        del self._rows[name], self._holds[name]

    def _write(self, name: str, tally: Tally) -> None:
        expires, before, after = _find_expiry(tally), self._holds.get(name, {}), tally.holds
        # They have rows of their own.
        tally.holds = {}
        row = expires, tally.dump()
        if row != self._rows.get(name):
            self._connection.execute(_KEEP, (name, *row))
        self._connection.executemany(_END, [(name, ticket) for ticket in before if ticket not in after])
        changed = [(name, ticket, *hold) for ticket, hold in after.items() if hold != before.get(ticket)]
        self._connection.executemany(_HOLD, changed)


def _find_expiry(tally: Tally) -> float:
    """When nothing of it counts any more, whatever is settled until then."""
    if tally.window:
        return (next(reversed(tally.amounts)) + GRAINS + 1) * tally.window / GRAINS
    return max(hold.expires for hold in tally.holds.values())
