"""The doctor at the file and the sqlite store, with real files, rights, locks and damages."""

# ruff: noqa: ASYNC240 -- a test may wait for its file

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coo_middleware.doctor import disk
from coo_middleware.stores import StoreSettings, StoreType, open_store
from tests.visits import OPERATIONS, bad, the, visit

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = pytest.mark.parametrize("kind", ["file", "sqlite"])
NOBODY = 65534


@contextmanager
def ordinary_user() -> Iterator[None]:
    """As a user whom rights bind: root, as which containers run tests, may do anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach, which those of pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {each.name for each in folder.iterdir()}


def write(path: Path, text: str, mode: int = 0o600) -> str:
    """A file of its own making, and what to name in the settings."""
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program's write to a database, which does not end."""
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
        holder.communicate()


async def fill(kind: StoreType, path: Path) -> None:
    """Makes the store's file."""
    async with open_store(StoreSettings(type=kind, path=str(path))) as store:
        await store.increment_usage("openai", "key1", "req", 1)
        await store.set_cache("key", b"value" * 20_000, 60)


@BOTH
async def test_a_new_store_is_well_and_is_not_made(kind: str, tmp_path: Path) -> None:
    """Before the first start all is well, and the visit leaves no file and no folder."""
    findings = await visit(type=kind, path=str(tmp_path / "made" / "later" / "data"))

    assert [] == bad(findings)
    assert "when it is first used" in the("data", findings).text
    assert set() == names(tmp_path)


@BOTH
async def test_a_sound_store_is_well_and_stays_as_it_is(kind: StoreType, tmp_path: Path) -> None:
    """A visit tells that the data is sound and how large it is, tries every operation, and changes nothing."""
    path = tmp_path / "data"
    await fill(kind, path)
    before = path.read_bytes()

    findings = await visit(type=kind, path=str(path))

    assert [] == bad(findings)
    assert "is sound and has" in the("data", findings).text
    assert OPERATIONS == [each.check for each in findings if each.milliseconds is not None]
    assert before == path.read_bytes()
    assert {"data", "data.lock"} >= names(tmp_path)


@BOTH
async def test_an_unwritable_folder_is_a_fault(kind: str, open_folder: Path) -> None:
    """Ensure proper permissions: a folder in which nothing can be written is named, and no operation is tried."""
    open_folder.chmod(0o555)

    with ordinary_user():
        findings = await visit(type=kind, path=str(open_folder / "data"))

    assert [("fault", "permissions")] == bad(findings)
    assert str(open_folder) in findings[-1].text
    assert findings[-1].text.endswith("Permission denied")


@BOTH
async def test_an_unreadable_file_is_a_fault(kind: str, open_folder: Path) -> None:
    """A file that belongs to another user is named."""
    open_folder.chmod(0o1777)
    path = write(open_folder / "data", "{}", 0)

    with ordinary_user():
        findings = await visit(type=kind, path=path)

    assert [("fault", "permissions")] == bad(findings)
    assert f"{path}: Permission denied" == findings[-1].text


@BOTH
async def test_a_folder_that_everybody_writes_to_is_a_fault(kind: str, tmp_path: Path) -> None:
    """What the store refuses, the doctor refuses in its words."""
    tmp_path.chmod(0o777)

    findings = await visit(type=kind, path=str(tmp_path / "data"))

    assert [("fault", "path")] == bad(findings)
    assert "chmod o-w" in findings[-1].remedy


@BOTH
async def test_a_file_that_others_may_read_is_a_warning(kind: StoreType, tmp_path: Path) -> None:
    """Responses are not for other users of the machine."""
    await fill(kind, tmp_path / "data")
    (tmp_path / "data").chmod(0o644)

    findings = await visit(type=kind, path=str(tmp_path / "data"))

    assert [("warning", "privacy")] == bad(findings)


@BOTH
async def test_a_disk_with_too_little_room_is_a_warning(kind: str, tmp_path: Path) -> None:
    """High memory usage: room for what `max_bytes` allows must be there."""
    findings = await visit(type=kind, path=str(tmp_path / "data"), max_bytes=1 << 60)

    assert [("warning", "space")] == bad(findings)


@BOTH
async def test_a_file_of_something_else_is_a_fault_and_stays(kind: str, tmp_path: Path) -> None:
    """A malformed file is found and left where it is."""
    path = write(tmp_path / "data", "neither JSON nor SQLite, " * 100)

    findings = await visit(type=kind, path=path)

    assert [("fault", "data")] == bad(findings)
    assert "set it aside" in findings[-1].remedy
    assert {"data"} == names(tmp_path)


async def test_the_holder_of_a_file_is_named(tmp_path: Path) -> None:
    """A file store that is in use is a warning with the holder's process, and operations are tried all the same."""
    path = tmp_path / "data"
    async with open_store(StoreSettings(type="file", path=str(path))) as store:
        await store.increment_usage("openai", "key1", "req", 1)
        findings = await visit(type="file", path=str(path))

    assert [("warning", "lock")] == bad(findings)
    assert f"process {os.getpid()} on " in the("lock", findings).text
    assert 10 == sum(each.milliseconds is not None for each in findings)


async def test_a_document_of_another_version_is_a_fault(tmp_path: Path) -> None:
    """A document that a later program wrote is not called damaged."""
    path = write(tmp_path / "data", json.dumps({"version": 99}))

    findings = await visit(type="file", path=path)

    assert [("fault", "data")] == bad(findings)
    assert "version 99" in findings[-1].text


async def test_a_large_document_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change writes the whole document, so that its size is what a change costs."""
    await fill("file", tmp_path / "data")
    monkeypatch.setattr(disk, "_SLOW_BYTES", 100_000)

    findings = await visit(type="file", path=str(tmp_path / "data"))

    assert [("warning", "data")] == bad(findings)
    assert "sqlite" in the("data", findings).remedy


async def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    """quick_check finds a page that was overwritten in the middle of a database."""
    await fill("sqlite", tmp_path / "data")
    with (tmp_path / "data").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)

    findings = await visit(type="sqlite", path=str(tmp_path / "data"))

    assert [("fault", "data")] == bad(findings)
    assert "is damaged" in findings[-1].text


async def test_another_programs_database_is_a_fault(tmp_path: Path) -> None:
    """A database that is not ours is left alone."""
    with closing(sqlite3.connect(tmp_path / "data")) as db:
        db.execute("CREATE TABLE theirs (id)")
    (tmp_path / "data").chmod(0o600)

    findings = await visit(type="sqlite", path=str(tmp_path / "data"))

    assert [("fault", "data")] == bad(findings)
    assert "another program" in findings[-1].text


async def test_a_journal_other_than_wal_is_a_warning(tmp_path: Path) -> None:
    """Without WAL a reader waits for a writer."""
    await fill("sqlite", tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data")) as db:
        db.execute("PRAGMA journal_mode = DELETE")

    findings = await visit(type="sqlite", path=str(tmp_path / "data"))

    assert [("warning", "WAL")] == bad(findings)


async def test_a_locked_database_is_a_fault(tmp_path: Path) -> None:
    """A program that holds the database for longer than a write waits is what keeps metrics from updating."""
    await fill("sqlite", tmp_path / "data")
    with locked(tmp_path / "data"):
        findings = await visit(type="sqlite", path=str(tmp_path / "data"))

    assert [("fault", "lock")] == bad(findings)
    assert "fuser" in findings[-1].remedy


async def test_a_journal_is_looked_at(open_folder: Path) -> None:
    """What waits in the journal for the store is told, and a folder in which nothing can be kept is a fault."""
    write(open_folder / "a.journal", "x" * 2048)
    well = await visit(type="memory", journal=str(open_folder))
    open_folder.chmod(0o555)
    with ordinary_user():
        denied = await visit(type="memory", journal=str(open_folder / "below"))

    assert "2 KiB wait there" in the("journal", well).text
    assert ("fault", "permissions") == bad(denied)[0]


async def test_a_path_that_can_name_no_file_is_a_fault() -> None:
    """A path with a zero byte is told as a fault, not as a traceback."""
    assert [("fault", "store")] == bad(await visit(type="sqlite", path="a\0b"))
