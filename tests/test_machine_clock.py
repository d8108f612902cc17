"""stores/machine_clock.py: one time for all processes of a machine, whatever its wall clock does."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from sqlite3 import Connection
from time import monotonic, time

import pytest

from coo_middleware.stores.machine_clock import CLOCK_SCHEMA, MachineClock, identify_boot
from coo_middleware.testing import Clock

NOW = 1_700_000_000.0


@pytest.fixture
def db() -> Iterator[Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(CLOCK_SCHEMA)
        yield connection


class Machine:
    """A machine that can be started anew, with a wall clock that may be wrong."""

    def __init__(self) -> None:
        self.ticks, self.wall, self.boot = Clock(50.0), Clock(NOW), "first"
        self.clock = MachineClock(self.ticks, self.wall, lambda: self.boot)

    def run(self, seconds: float) -> None:
        self.ticks.advance(seconds)
        self.wall.advance(seconds)

    def restart(self, boot: str, seconds_off: float) -> None:
        self.ticks.now, self.boot = 3.0, boot
        self.wall.advance(seconds_off)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_it_begins_with_the_wall_clock(db: Connection, machine: Machine) -> None:
    """The first moment is the wall clock's, and time passes from there."""
    first = machine.clock.read(db)
    machine.run(12.5)

    assert (NOW, NOW + 12.5) == (first, machine.clock.read(db))


@pytest.mark.parametrize("step", [-86_400.0, -30.0, 30.0, 86_400.0])
def test_steps_of_the_wall_clock_do_not_matter(db: Connection, machine: Machine, step: float) -> None:
    """Neither those before a moment nor those between two."""
    machine.clock.read(db)
    machine.wall.advance(step)
    machine.run(1)

    assert NOW + 1 == machine.clock.read(db)


@pytest.mark.parametrize("skew", [-30.0, 30.0])
def test_processes_with_skewed_clocks_agree(db: Connection, machine: Machine, skew: float) -> None:
    """The first to ask says what time it is; from then on all have it."""
    other = MachineClock(machine.ticks, lambda: machine.wall() + skew, lambda: machine.boot)
    moments = []
    for clock in (machine.clock, other) * 3:
        moments.append(clock.read(db))
        machine.run(1)

    assert [NOW + second for second in range(6)] == moments


@pytest.mark.parametrize("boot", ["second", "first"])
def test_a_start_of_the_machine_takes_the_wall_clock_again(db: Connection, machine: Machine, boot: str) -> None:
    """What was off has passed, whether the start has a name of its own or shows by a clock that begins anew."""
    machine.clock.read(db)
    machine.restart(boot, seconds_off=600)
    first = machine.clock.read(db)
    machine.run(1)

    assert (NOW + 600, NOW + 601) == (first, machine.clock.read(db))


def test_time_never_goes_back(db: Connection, machine: Machine) -> None:
    """A wall clock that is behind after a start of the machine lets time go on from where it was."""
    machine.run(1000)
    machine.clock.read(db)
    machine.restart("second", seconds_off=-5000)
    first = machine.clock.read(db)
    machine.run(1)

    assert (NOW + 1000, NOW + 1001) == (first, machine.clock.read(db))


def test_a_machine_tells_its_time(db: Connection) -> None:
    """By default it is this machine's: near the wall clock, and as fast as the clock that does not step."""
    clock, before, ticks = MachineClock(), time(), monotonic()
    first, second = clock.read(db), clock.read(db)

    assert before <= first <= second <= before + (monotonic() - ticks) + 0.1
    assert (identify_boot(),) == db.execute("SELECT boot FROM machine_clock").fetchone()
