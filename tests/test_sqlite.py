"""stores/sqlite.py: what the contract cannot see. The contract itself runs in test_stores.py."""

# ruff: noqa: ASYNC240 -- a test may wait for its file
import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from time import monotonic, perf_counter

import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test

from coo_middleware.core.limits import Take
from coo_middleware.stores import Increment, RuntimeStore, StoreSettings, open_store, sqlite
from coo_middleware.stores.sqlite import SqliteStore
from coo_middleware.testing import Clock
from tests.processes import COUNTER, Killing, run_children
from tests.proof import PROOF, report
from tests.store_machine import TTL, StoreMachine

KIB = bytes(1024)
TABLES = ("responses", "windows", "writers", "counters")
FORK = """
import asyncio, os, sys
from coo_middleware.stores.sqlite import SqliteStore

store = SqliteStore(path=sys.argv[1])
COUNTER = ("p", "k", "req")

async def add(times):
    await asyncio.gather(*(store.increment_usage(*COUNTER, 1) for _ in range(times)))
    return await store.get_total(*COUNTER)

assert 100 == asyncio.run(add(100))
child = os.fork()
asyncio.run(add(100))
if child:
    assert 0 == os.waitpid(child, 0)[1]
    print(asyncio.run(add(0)))
asyncio.run(store.close())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.db"


async def keys_left(store: RuntimeStore, keys: str) -> str:
    """Which of `keys` still have a response."""
    return "".join([key for key in keys if await store.get_cache(key) is not None])


@pytest.mark.timeout(60 + 30 * PROOF)
def test_sqlite_agrees_with_a_model(tmp_path: Path) -> None:
    """After any calls in any order, with time passing and the file opened anew between them, the store reads what a
    plain log would.
    """
    paths = (tmp_path / f"{number}.db" for number in range(10**6))

    class SqliteMachine(StoreMachine):
        """The model against a database."""

        async def make(self, clock: Clock) -> RuntimeStore:
            return SqliteStore(path=next(paths), usage_ttl_seconds=TTL, clock=clock)

        @rule()
        def reopen(self) -> None:
            self.wait(self.store.close())

    run_state_machine_as_test(SqliteMachine, settings=settings(max_examples=20 * PROOF, stateful_step_count=30))


async def test_settings_reach_the_store(path: Path) -> None:
    """The store's limits are those of `storage.runtime`."""
    store = open_store(
        StoreSettings(type="sqlite", path=str(path), usage_ttl_seconds=5, max_bytes=70_000, max_entries=2)
    )

    assert isinstance(store, SqliteStore)
    assert (path, 5, 70_000, 2) == (store._path, store._usage_ttl, store._max_bytes, store._max_entries)


def test_path_is_needed() -> None:
    """Without it the error names the setting."""
    with pytest.raises(ValueError, match="path: the store needs it"):
        open_store({"type": "sqlite"})


async def test_what_expires_first_leaves_beyond_the_limits(path: Path) -> None:
    """The new response always stays; the others leave in the order of their expiry."""
    async with SqliteStore(path=path, max_entries=3, max_bytes=5000) as store:
        for key, ttl in (("b", 200), ("a", 100), ("c", 300)):
            await store.set_cache(key, KIB, ttl)
        await store.set_cache("d", b"", 1)
        assert "bcd" == await keys_left(store, "abcd")
        await store.set_cache("e", bytes(3000), 1)
        assert "ce" == await keys_left(store, "abcde")


async def test_limits_expire_in_the_background(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their own time: a limit that nobody asks for any more leaves with its reservations."""
    monkeypatch.setattr(sqlite, "SWEEP_SECONDS", 0.01)
    clock = Clock()
    async with SqliteStore(path=path, clock=clock) as store:
        for number in range(300):
            await store.reserve("ticket", [(Take(f"name-{number}", 1, 60, 1),)], 10)
        clock.advance(61)
        with closing(sqlite3.connect(path)) as other:
            until = monotonic() + 60
            while (left := count_rows(other, "limits", "holds")) != [0, 0] and monotonic() < until:
                await store.ping()

    assert [0, 0] == left


async def test_response_larger_than_max_bytes_is_not_stored(path: Path) -> None:
    """It replaces its own predecessor, which would be out of date, and pushes nobody else out."""
    async with SqliteStore(path=path, max_bytes=5000) as store:
        await store.set_cache("a", b"old", 10)
        await store.set_cache("b", b"value", 10)
        await store.set_cache("a", bytes(5000), 10)

        assert "b" == await keys_left(store, "ab")


async def test_disk_takes_no_more_than_twice_max_bytes(path: Path) -> None:
    """Ten times as much as fits passes through, of all sizes, and the file stays bounded."""
    limit = 2_000_000
    async with SqliteStore(path=path, max_bytes=limit) as store:
        for number in range(10):
            await asyncio.gather(
                *(store.set_cache(f"{number}-{size:064}", bytes(size), 600) for size in range(0, 6000, 9))
            )
    assert path.stat().st_size <= 2 * limit + 100_000


async def test_expired_rows_leave_in_the_background(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks for them, and they are gone, in steps, while the store answers."""
    monkeypatch.setattr(sqlite, "SWEEP_SECONDS", 0.01)
    clock = Clock()
    async with SqliteStore(path=path, clock=clock) as store:
        await asyncio.gather(*(store.set_cache(f"{number}", b"", 10) for number in range(500)))
        await asyncio.gather(*(store.increment_usage("p", f"{number}", "req", 1) for number in range(50)))
        await store.apply("writer", 1, [])
        clock.advance(36 * 86_400)
        with closing(sqlite3.connect(path)) as other:
            until = monotonic() + 60
            while (left := count_rows(other, *TABLES)) != [0, 0, 0, 50] and monotonic() < until:
                assert 1 == await store.get_total("p", "1", "req")

    assert [0, 0, 0, 50] == left


def count_rows(connection: sqlite3.Connection, *tables: str) -> list[int]:
    """How many rows the tables hold."""
    counts = [connection.execute(f"SELECT count(*) FROM {name}") for name in tables]  # noqa: S608
    return [count.fetchone()[0] for count in counts]


async def test_reading_does_not_wait_for_writing(path: Path) -> None:
    """While a write is held up, look-ups are answered."""
    async with SqliteStore(path=path) as store:
        await store.set_cache("key", b"value", 600)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(store.increment_usage(*COUNTER, 1))
            for _ in range(10):
                assert b"value" == await store.get_cache("key")
            assert not writing.done()
            other.execute("COMMIT")
        await writing


def test_store_serves_several_event_loops(path: Path) -> None:
    """Loops in turn, in any thread, with and without closing in between."""
    store = SqliteStore(path=path)
    asyncio.run(store.increment_usage(*COUNTER, 1))
    thread = threading.Thread(target=lambda: asyncio.run(store.increment_usage(*COUNTER, 1)))
    thread.start()
    thread.join()
    asyncio.run(store.close())
    assert 2 == asyncio.run(store.get_total(*COUNTER))
    asyncio.run(store.close())


def test_store_lives_on_after_a_fork(path: Path) -> None:
    """Parent and child go on with the same object, each with connections of its own, and lose nothing."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(path)], check=True, timeout=60, capture_output=True, text=True
    )

    assert "300.0\n" == done.stdout


async def test_cancelled_operations_break_nothing(path: Path) -> None:
    """What is cancelled is done or not done; everything after it is answered rightly."""
    counted = 0
    async with SqliteStore(path=path) as store:
        await store.set_cache("key", b"value", 600)
        for number in range(100 * PROOF):
            tasks = [
                asyncio.create_task(call)
                for call in (store.increment_usage(*COUNTER, 1), store.get_cache("key"), store.get_cache("none"))
            ]
            for _ in range(number % 4):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            counted += done[0] is None
            assert b"value" == await store.get_cache("key")
            assert await store.get_cache("none") is None

        assert counted <= await store.get_total(*COUNTER) <= 100 * PROOF


@pytest.mark.proof
@pytest.mark.timeout(60 + 30 * PROOF)
def test_processes_lose_no_increment_of_one_another(path: Path) -> None:
    """Eight processes that add at the same time: the sum is exact, and each sees the others' responses."""
    times = min(10_000, 350 * PROOF)

    async def prepare() -> None:
        async with SqliteStore(path=path) as store:
            await store.set_cache("parent", b"shared", 600)

    async def read() -> tuple[float, list[bytes | None]]:
        async with SqliteStore(path=path) as store:
            return await store.get_total(*COUNTER), [await store.get_cache(f"child-{number}") for number in range(8)]

    asyncio.run(prepare())
    assert [b"shared"] * 8 == run_children(path, 8, times)

    total, responses = asyncio.run(read())
    report(f"sqlite: 8 processes x {times:,} increments: total {total:,.0f}")
    assert (8 * times, [b"%d" % number for number in range(8)]) == (total, responses)


@pytest.mark.proof
@pytest.mark.timeout(60 + 30 * PROOF)
def test_kill_loses_and_doubles_nothing_that_was_acknowledged(path: Path) -> None:
    """Whenever the writer is killed, the file is whole, and every batch counts once."""
    killing = Killing("sqlite", path)
    killing.run(10 * PROOF)
    report(killing.told(10 * PROOF))

    assert (0, 0, 0) == (killing.torn, killing.lost, killing.doubled)
    assert killing.acknowledged + 1 == asyncio.run(killing.finish())
    assert killing.acknowledged >= 5 * PROOF


async def add_seconds(store: SqliteStore, clock: Clock, times: int) -> None:
    """One increment a second; the batches are large, for speed."""

    def add(db: sqlite3.Connection) -> None:
        for _ in range(1000):
            clock.advance(1)
            store._add([Increment(*COUNTER, 1)], db)

    for _ in range(0, times, 1000):
        await store._write(add)
        await store._write(store._sweep)
    assert times == await store.get_total(*COUNTER)


async def costs(*stores: SqliteStore) -> list[float]:
    """The least time that a window took of each store, in microseconds. In turn, so that a busy machine is fair."""
    taken: list[list[float]] = [[] for _ in stores]
    for _ in range(30):
        for store, times in zip(stores, taken, strict=True):
            begun = perf_counter()
            for _ in range(200):
                await store.get_usage_in_window(*COUNTER, 60)
            times.append((perf_counter() - begun) * 5000)
    return [min(times) for times in taken]


@pytest.mark.proof
@pytest.mark.timeout(60 + 30 * PROOF)
async def test_window_costs_the_same_after_many_increments(tmp_path: Path) -> None:
    """The rows that a window can touch are bounded, so that a million increments cost it no more than a thousand."""
    times = 1_000_000 if PROOF > 1 else 10_000
    one, other = Clock(), Clock()
    async with (
        SqliteStore(path=tmp_path / "a", clock=one) as few,
        SqliteStore(path=tmp_path / "b", clock=other) as many,
    ):
        await add_seconds(few, one, 1000)
        await add_seconds(many, other, times)
        first, later = await costs(few, many)

        assert 61 == await many.get_usage_in_window(*COUNTER, 60)
        buckets = await many._read(lambda db: db.execute("SELECT count(*) FROM windows").fetchone()[0])
        assert buckets <= 121 + 121 + 841 + 1000 + 17 + 1
    if PROOF > 1:
        report(f"sqlite: a window after 1,000 increments {first:.1f} us, after {times:,} {later:.1f} us")
        assert later <= 1.2 * first
