"""The time by which a SQLite store's limits go: one time for all processes of a machine, whatever its wall clock does.

A wall clock steps, and a process may be given one of its own; a limit that went by it would count too much or let too
much through. CLOCK_MONOTONIC neither steps nor goes back and is the same for all processes of a machine, on Linux and
macOS alike, but it begins anew with every start of the machine. So the database keeps how far its time is ahead of that
clock: by the wall clock of the moment when it was first asked for, and anew after each start of the machine, so that a
window of a day outlives a restart. The time never goes back, and stands still while the machine sleeps: then a window
lasts longer than it should, and no limit is overshot.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

CLOCK_SCHEMA: Final = """
CREATE TABLE machine_clock (boot TEXT NOT NULL, ahead REAL NOT NULL, latest REAL NOT NULL);
INSERT INTO machine_clock VALUES ('never', 0, 0);
"""

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
# A clock that begins anew differs by more, one that was rounded by less.
_ROUNDING: Final = 0.001


@cache
def identify_boot() -> str:
    """What names this start of the machine, "" where the system has no name for it."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


class MachineClock:
    """`ticks` is the clock that does not go back while `boot` returns the same, `wall` the one to begin with."""

    def __init__(
        self,
        ticks: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
        boot: Callable[[], str] = identify_boot,
    ) -> None:
        self._ticks: Final = ticks
        self._wall: Final = wall
        self._boot: Final = boot

    def read(self, connection: Connection) -> float:
        """The moment in seconds, about those since the epoch; `connection` is within a transaction that writes."""
        known, ahead, latest = connection.execute("SELECT boot, ahead, latest FROM machine_clock").fetchone()
        boot, ticks = self._boot(), self._ticks()
        # Where a start of the machine has no name, it shows by the clock that begins anew.
        if known != boot or ticks + ahead < latest - _ROUNDING:
            ahead = max(self._wall(), latest) - ticks
        now: float = max(latest, ticks + ahead)
        connection.execute("UPDATE machine_clock SET boot = ?, ahead = ?, latest = ?", (boot, ahead, now))
        return now
