"""stores/limit_rows.py: limits in a SQLite store, which are the ledger's, for several processes and after a kill."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from sqlite3 import Connection
from time import monotonic
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coo_middleware.core.limits import Settlement, Take
from coo_middleware.stores import limit_rows, tables
from coo_middleware.stores.sqlite import SqliteStore
from coo_middleware.testing import Clock
from tests.ledger_steps import STEPS, Comparison, Step
from tests.proof import PROOF

NOW = 1_700_000_000.0
SLOT = Take("calls", 2, 0, 1)
MINUTE = Take("tokens", 100, 60, 60)


@pytest.fixture
def db() -> Iterator[Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        tables.upgrade(connection, 0)
        yield connection


def rows(db: Connection) -> tuple[int, int]:
    """How many limits and how many reservations there are."""
    limits, holds = (db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("limits", "holds"))  # noqa: S608
    return limits, holds


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("limits")
    return (folder / f"{number}.db" for number in count())


@settings(deadline=None, max_examples=60 * PROOF)
@given(steps=STEPS, sweeps=st.booleans())
def test_rows_agree_with_the_ledger(paths: Iterator[Path], steps: list[Step], sweeps: bool) -> None:
    """After any reservations, settlements, renewals and pauses, whatever was swept between them and whichever of two
    stores is asked, each answer is the one of the ledger.
    """

    async def compare() -> None:
        clock, path = Clock(), next(paths)
        async with SqliteStore(path=path, clock=clock) as store, SqliteStore(path=path, clock=clock) as other:
            comparison = Comparison(store, clock)
            for begin in range(0, len(steps), 3):
                comparison.store = (store, other)[begin % 2]
                await comparison.run(steps[begin : begin + 3], begin)
                if sweeps:
                    await store._write(store._sweep)

    asyncio.run(compare())


def test_what_counts_no_more_leaves_in_steps(db: Connection) -> None:
    """A limit leaves when its last grain has left its window, with the reservations that were never settled; a step
    takes 200 at most.
    """
    for number in range(450):
        limit_rows.reserve(db, "t", [(Take(f"n-{number}", 1, 60, 1), Take(f"c-{number}", 1, 0, 1))], 10, NOW)
    limit_rows.reserve(db, "t", [(Take("day", 1, 86_400, 1),)], 10, NOW)

    assert [True, True, False] == [limit_rows.expire(db, NOW + 10) for _ in range(3)]
    assert (451, 451) == rows(db)
    assert [True, True, False] == [limit_rows.expire(db, NOW + 60.5) for _ in range(3)]
    assert (1, 1) == rows(db)
    assert not limit_rows.expire(db, NOW + 86_400 * 1.01)
    assert (0, 0) == rows(db)


def test_what_is_settled_leaves_no_reservation(db: Connection) -> None:
    """Of a thousand calls only the window's one row is left, and of what was limited at the same time nothing."""
    takes = (Take("calls", 1e6, 0, 1), Take("tokens", 1e6, 60, 5))
    for number in range(1000):
        limit_rows.reserve(db, f"{number}", [takes], 10, NOW + number / 100)
        limit_rows.settle(db, [Settlement(f"{number}", takes)], NOW + number / 100)

    assert (1, 0) == rows(db)


def test_a_window_s_reservations_are_not_all_read(db: Connection) -> None:
    """What a reservation and a settlement read does not grow with those that are under way."""
    takes = (Take("tokens", 1e6, 60, 5),)
    steps = []
    for number in range(1001):
        told: list[int] = []
        db.set_progress_handler(lambda told=told: told.append(1), 10)  # type: ignore[misc]
        limit_rows.reserve(db, f"{number}", [takes], 100, NOW)
        if number % 10 == 0:
            limit_rows.settle(db, [Settlement(f"{number}", takes)], NOW)
            steps.append(len(told))

    assert steps[-1] <= 2 * steps[0]


async def test_stores_of_one_file_share_a_limit(tmp_path: Path) -> None:
    """Asked at the same time, two stores admit what one would, and each may settle what the other took."""
    async with SqliteStore(path=tmp_path / "a") as one, SqliteStore(path=tmp_path / "a") as other:
        asked = [(one, other)[number % 2].reserve(f"{number}", [(SLOT, MINUTE)], 30) for number in range(10)]
        choices = [(await each).choice for each in asked]
        assert [0, *[-1] * 9] == choices
        await other.settle([Settlement("0", (SLOT, Take("tokens", 100, 60, 10)))])
        admission = await one.reserve("again", [(SLOT, MINUTE)], 30)

    assert (0, [1, 70]) == (admission.choice, [level.used for level in admission.levels[0]])


SKEWED = """
import asyncio, json, sys, time

right, skew, uses_wall = time.time, float(sys.argv[2]), sys.argv[3] == "wall"
time.time = lambda: right() + skew
from coo_middleware.core.limits import Take
from coo_middleware.stores.sqlite import SqliteStore

async def run():
    async with SqliteStore(path=sys.argv[1], clock=time.time if uses_wall else None) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        ends, number = time.monotonic() + 2, 0
        while time.monotonic() < ends:
            asked, number = time.monotonic(), number + 1
            admission = await store.reserve(f"{skew}-{number}", [(Take("n", 20, 0.5, 1),)], 60)
            if admission.choice == 0:
                print(json.dumps([asked, time.monotonic()]), flush=True)
            await asyncio.sleep(0.003)

asyncio.run(run())
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", *map(str, arguments)], stdin=pipe, stdout=pipe, text=True)


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def fullest_window(path: Path, clock: str) -> int:
    """The most that two processes, a minute apart by their wall clocks, were granted in half a second for certain."""
    children = [start(SKEWED, path, skew, clock) for skew in (-30, 30)]
    assert ["ready\n"] * 2 == [stream(child.stdout).readline() for child in children]
    for child in children:
        print(file=stream(child.stdin), flush=True)
    lines = [line for child in children for line in child.communicate()[0].splitlines()]
    told: list[tuple[float, float]] = [json.loads(line) for line in lines]
    assert len(told) >= 20
    return max(sum(begin <= asked and end <= begin + 0.5 for asked, end in told) for begin, _ in told)


def test_processes_with_skewed_clocks_are_never_over(tmp_path: Path) -> None:
    """Limits go by a time that all of them share; by their wall clocks, which is the control, they would be over."""
    assert 1 <= fullest_window(tmp_path / "a", "machine") <= 20
    assert fullest_window(tmp_path / "b", "wall") > 20


KILLED = """
import asyncio, sys
from coo_middleware.core.limits import Take
from coo_middleware.stores.sqlite import SqliteStore

async def run():
    async with SqliteStore(path=sys.argv[1]) as store:
        for number in range(20):
            takes = (Take("calls", 20, 0, 1), Take("tokens", 20, 3600, 1))
            assert 0 == (await store.reserve(f"{number}", [takes], 1.0)).choice
        print("full", flush=True)
        await asyncio.sleep(60)

asyncio.run(run())
"""


async def test_what_a_killed_process_held_is_free_within_its_lease(tmp_path: Path) -> None:
    """kill -9 with twenty reservations out: refused while their leases run, for as long as was told, and then there is
    room for twenty again, with nothing below 0.
    """
    takes = (Take("calls", 20, 0, 20), Take("tokens", 20, 3600, 20))
    child = start(KILLED, tmp_path / "a")
    assert "full\n" == stream(child.stdout).readline()
    child.kill()
    child.communicate()
    async with SqliteStore(path=tmp_path / "a") as store:
        began = monotonic()
        while (admission := await store.reserve(f"{monotonic()}", [takes], 10)).choice < 0:
            assert monotonic() < began + 10
            assert [20 >= level.used >= 0 for level in admission.levels[0]] == [True, True]
            await asyncio.sleep(0.05)

    assert [20, 20] == [level.used for level in admission.levels[0]]
