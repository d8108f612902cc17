"""stores/database.py: opening, checking, replacing, and transactions."""

# ruff: noqa: ASYNC240 -- a test may wait for its file
import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection
from time import time

import pytest

from coo_middleware.core.limits import Take
from coo_middleware.stores import StoreError, database, tables
from coo_middleware.stores.database import Database
from coo_middleware.stores.sqlite import SqliteStore
from tests.processes import COUNTER
from tests.test_disk import mode_of, no_larger_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "data.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(path=path) as store:
        yield store


def set_aside(path: Path) -> list[str]:
    return [each.name for each in path.parent.glob("*.corrupt-*Z")]


async def test_files_are_for_one_user(store: SqliteStore, path: Path) -> None:
    """The folder is mode 0700, and every file in it 0600."""
    await store.increment_usage(*COUNTER, 1)

    assert 0o700 == mode_of(path.parent)
    assert {"data.db", "data.db-shm", "data.db-wal", "data.db.lock"} == {each.name for each in path.parent.iterdir()}
    assert {0o600} == {mode_of(each) for each in path.parent.iterdir()}


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + bytes(5000)])
async def test_malformed_file_is_set_aside(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It gets a dated name, the log says which, once, and the service goes on with a new file."""
    path.parent.mkdir()
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        async with SqliteStore(path=path) as store:
            await store.increment_usage(*COUNTER, 1)
            assert 1 == await store.get_total(*COUNTER)

    (name,) = set_aside(path)
    assert content == (path.parent / name).read_bytes()
    (record,) = caplog.records
    assert name in record.message


async def fill(path: Path) -> None:
    """A database of more than a hundred pages."""
    async with SqliteStore(path=path) as store:
        for number in range(100):
            await store.set_cache(f"key-{number}", bytes(8192), 600)


def spoil(path: Path) -> None:
    """Writes nonsense over all pages but the first ones."""
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * (path.stat().st_size - 2 * 4096))


async def test_damage_is_found_when_the_file_is_opened(path: Path) -> None:
    """A file whose first page looks well is checked whole."""
    await fill(path)
    spoil(path)
    async with SqliteStore(path=path) as store:
        assert await store.get_cache("key-1") is None

    assert 1 == len(set_aside(path))


async def test_damage_is_found_when_it_is_met(path: Path) -> None:
    """A read that meets it fails, in words that say what follows, and the next one finds a new file."""
    await fill(path)
    async with SqliteStore(path=path) as store:
        spoil(path)
        with pytest.raises(StoreError, match=r"could not be read: .* it is set aside when it is opened next"):
            await asyncio.gather(*(store.get_cache(f"key-{number}") for number in range(100)))
        assert await store.get_cache("key-1") is None
        await store.set_cache("key-1", b"new", 600)
        assert b"new" == await store.get_cache("key-1")

    assert 1 == len(set_aside(path))


async def test_file_that_another_process_replaced_is_opened_anew(store: SqliteStore, path: Path) -> None:
    """Whoever has the former file open goes on with the one that lies at the path, or makes one."""
    await store.increment_usage(*COUNTER, 1)
    assert 1 == await store.get_total(*COUNTER)
    for each in path.parent.glob("data.db*"):
        each.rename(path.parent / f"former-{each.name}")
    assert 0 == await store.get_total(*COUNTER)
    await store.increment_usage(*COUNTER, 2)

    async with SqliteStore(path=path) as other:
        assert 2 == await other.get_total(*COUNTER)


@pytest.mark.parametrize("statement", ["PRAGMA user_version = 99", "CREATE TABLE theirs (a)"])
async def test_database_of_another_program_is_left_alone(path: Path, statement: str) -> None:
    """Neither a later version's nor a stranger's tables are touched or set aside."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    with pytest.raises(StoreError, match="a database of another program or version"):
        await SqliteStore(path=path).open()

    with closing(sqlite3.connect(path)) as connection:
        assert statement.endswith("(a)") == bool(connection.execute("SELECT * FROM sqlite_master").fetchall())
    assert [] == set_aside(path)


@pytest.mark.parametrize("version", [1, 2])
async def test_database_of_an_earlier_version_is_brought_up(path: Path, version: int) -> None:
    """What is in it stays, the tables that it lacks are made, and nothing is set aside."""
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("".join(tables.STEPS[:version]) + f"PRAGMA user_version = {version}")
        tables.store_response(connection, "key", b"value", time() + 600)
        tables.set_usage(connection, COUNTER, 7, time() + 600)
    stores = [SqliteStore(path=path) for _ in range(4)]
    found = await asyncio.gather(*(store.get_cache("key") for store in stores))
    async with stores[0] as store:
        assert (0, 7) == (
            (await store.reserve("t", [(Take("n", 1, 60, 1),)], 10)).choice,
            await store.get_usage(*COUNTER),
        )
        await store.purge(["tag:a"])
        assert "a" == await store.claim("key", "a", 10)
    await asyncio.gather(*(store.close() for store in stores))

    assert [b"value"] * 4 == found
    assert [] == set_aside(path)


async def test_file_system_that_cannot_share_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite has no shared memory and no locks, as on some network disks, several processes would lose data."""

    def connect(path: Path, timeout: float, **options: object) -> Connection:
        return sqlite3.dbapi2.connect(f"file:{path}?vfs=unix-none", timeout, uri=True, isolation_level=None)

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(StoreError, match="this file system cannot share a database"):
        await SqliteStore(path=path).open()


async def test_other_holder_of_the_database_is_waited_for(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that outlasts our patience is an error that says so; nothing of the change is done, and nothing broken."""
    await store.close()
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    await store.increment_usage(*COUNTER, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"could not be written: .*another program keeps it locked"):
            await asyncio.gather(*(store.increment_usage(*COUNTER, 1) for _ in range(3)))
        assert 1 == await store.get_total(*COUNTER)  # reading does not wait

    await store.increment_usage(*COUNTER, 1)
    assert 2 == await store.get_total(*COUNTER)


async def test_file_that_is_locked_when_it_is_opened_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that keeps the whole file to itself is told apart from a damaged file."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (a)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"could not be written: .*another program keeps it locked"):
            await SqliteStore(path=path).open()

    assert [] == set_aside(path)


async def test_many_may_open_a_new_file_at_once(path: Path) -> None:
    """The first makes the tables, the others find them."""
    stores = [SqliteStore(path=path) for _ in range(16)]
    await asyncio.gather(*(store.increment_usage(*COUNTER, 1) for store in stores))

    assert {16} == {await store.get_total(*COUNTER) for store in stores}
    await asyncio.gather(*(store.close() for store in stores))


def statements_of(store: SqliteStore) -> list[str]:
    """What the writing connection is told from now on."""
    told: list[str] = []
    connection = store._writes._hand._connection  # type: ignore[attr-defined]
    connection.set_trace_callback(told.append)
    return told


async def test_changes_that_wait_together_share_a_transaction(store: SqliteStore) -> None:
    """Fifty increments at once cost two commits at most: the first one's, and that of those that came meanwhile."""
    told = statements_of(store)
    with store._writes._working:
        tasks = [asyncio.create_task(store.increment_usage(*COUNTER, 1)) for _ in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert 1 <= told.count("COMMIT") <= 2
    assert 50 == await store.get_total(*COUNTER)


async def test_change_that_fails_spares_those_beside_it(store: SqliteStore) -> None:
    """Of changes in one transaction only the one at fault fails, and nothing of it is left."""

    def fail(db: Connection) -> None:
        db.execute("DELETE FROM counters")
        db.execute("nonsense")

    with store._writes._working:
        first = asyncio.create_task(store.increment_usage(*COUNTER, 1))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(store.increment_usage(*COUNTER, 1)) for _ in range(3)]
        wrong = asyncio.create_task(store._write(fail))
        await asyncio.sleep(0)
    await asyncio.gather(first, *others)

    with pytest.raises(StoreError, match="could not be written: near"):
        await wrong
    assert 4 == await store.get_total(*COUNTER)


async def test_full_disk_fails_what_does_not_fit(store: SqliteStore) -> None:
    """A change that the disk refuses raises StoreError and leaves no trace; with space again all goes on."""
    await store.increment_usage(*COUNTER, 1)
    with no_larger_file(100_000):
        with pytest.raises(StoreError, match=r"could not be written: .*the disk's free space"):
            await store.set_cache("large", bytes(1_000_000), 600)
        assert 1 == await store.get_total(*COUNTER)
    await store.increment_usage(*COUNTER, 1)
    await store.set_cache("large", bytes(1_000_000), 600)

    assert 2 == await store.get_total(*COUNTER)
    assert bytes(1_000_000) == await store.get_cache("large")


def test_nothing_is_checked_twice(path: Path) -> None:
    """Reading and writing open the file one after the other; one look at it is enough, until it shows a fault."""
    told: list[str] = []

    def connect(*arguments: object, **options: object) -> Connection:
        connection: Connection = sqlite3.dbapi2.connect(*arguments, **options)  # type: ignore[call-overload]
        connection.set_trace_callback(told.append)
        return connection

    found = Database(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        for doubt in (False, False, True):
            if doubt:
                found.doubt()
            found.connect()[0].close()

    assert 2 == told.count("PRAGMA quick_check(1)")
