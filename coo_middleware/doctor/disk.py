"""What can be seen of a store that is one file, file or sqlite: rights, space, lock and data."""

from __future__ import annotations

import glob
import os
import shutil
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from coo_middleware.doctor.finding import Finding, fault, in_bytes, ok, refused, warning
from coo_middleware.doctor.sealed import judge_heads
from coo_middleware.stores import StoreError, open_store
from coo_middleware.stores.database import is_busy
from coo_middleware.stores.disk import locate, locked, prepare
from coo_middleware.stores.state import VersionError, decode
from coo_middleware.stores.tables import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from coo_middleware.stores import RuntimeStore, StoreSettings

# What the guard gives a write: a database that is locked for longer costs an increment its deadline.
_LOCK_SECONDS: Final = 0.25
_SLOW_BYTES: Final = 8_388_608
_HEADS: Final = "SELECT substr(value, 1, 16) FROM responses LIMIT 1000"

_RESTORE: Final = "look at the disk; put a copy in its place, or let the next start set it aside and begin anew"


async def inspect_file(settings: StoreSettings, _clock: Callable[[], float]) -> AsyncIterator[Finding]:
    """The JSON document and its lock; nothing is changed."""
    path = locate(settings.path)
    for finding in _inspect(path, settings, _read_document):
        yield finding


async def inspect_sqlite(settings: StoreSettings, _clock: Callable[[], float]) -> AsyncIterator[Finding]:
    """The database and its lock; nothing is changed."""
    path = locate(settings.path)
    for finding in _inspect(path, settings, _read_database):
        yield finding


def inspect_journal(folder: str) -> Iterator[Finding]:
    """Whether increments can be kept in `folder`, and how much waits there; nothing when there is no journal."""
    if not folder:
        return
    try:
        with _scratch(locate(folder) / "journal"):
            waiting = sum(each.stat().st_size for each in Path(folder).glob("*.journal"))
    except OSError as error:
        yield _denied(error)
    else:
        yield ok("journal", f"{folder} can be written, or made; {in_bytes(waiting)} wait there for the store")


@asynccontextmanager
async def stage(settings: StoreSettings) -> AsyncIterator[tuple[RuntimeStore, str]]:
    """A store of the same type on the same disk, which is gone afterwards: the service may hold the lock of its own."""
    with _scratch(locate(settings.path)) as folder:
        async with open_store(replace(settings, path=str(Path(folder, "data")))) as store:
            yield store, "doctor"


def _scratch(path: Path) -> TemporaryDirectory[str]:
    folder = next(each for each in path.parents if each.exists())
    return TemporaryDirectory(dir=folder, prefix=".coo-doctor-")


def _inspect(
    path: Path, settings: StoreSettings, read: Callable[[Path, StoreSettings], Iterator[Finding]]
) -> Iterator[Finding]:
    try:
        yield from _inspect_folder(path, settings.max_bytes)
        if path.exists():
            yield from _judge_rights(path)
            yield from read(path, settings)
        else:
            yield ok("data", f"{path} is made when it is first used")
    except StoreError as error:
        yield refused("path", error)
    except OSError as error:
        yield _denied(error)


def _denied(error: OSError) -> Finding:
    remedy = "give the user of the service the right (chown, chmod), and run the doctor as that user"
    return fault("permissions", f"{error.filename}: {error.strerror}", remedy)


def _inspect_folder(path: Path, max_bytes: int) -> Iterator[Finding]:
    if path.parent.exists():
        prepare(path)
    with _scratch(path) as folder:
        free = shutil.disk_usage(folder).free
    yield ok("permissions", f"{path.parent} can be written, or made")
    if free < max_bytes:
        remedy = "make room, or lower storage.runtime.max_bytes"
        yield warning("space", f"{in_bytes(free)} are left, and responses may take {in_bytes(max_bytes)}", remedy)
    else:
        yield ok("space", f"{in_bytes(free)} are left")


def _judge_rights(path: Path) -> Iterator[Finding]:
    with path.open("r+b") as file:
        mode = os.fstat(file.fileno()).st_mode
    if mode & 0o077:
        yield warning("privacy", f"{path} is open to other users", "take the right away: chmod go= on the file")


def _read_document(path: Path, settings: StoreSettings) -> Iterator[Finding]:
    content = path.read_bytes()
    try:
        # Only where there is one already: a lock of another user's would keep the service out.
        if Path(f"{path}.lock").exists():
            with locked(path):
                pass
    except StoreError as error:
        holder = str(error).partition(";")[0]
        yield warning("lock", holder, "this is well if it is your service; for several processes write type: sqlite")
    try:
        state = decode(content)
    except VersionError as error:
        yield fault("data", f"{path}: {error}", "run the program that wrote it, or name another file")
    except ValueError:
        yield fault("data", f"{path} is no document of ours", _RESTORE)
    else:
        yield _judge_size(path, len(content))
        yield from judge_heads([value for _, value in state.responses.values()], settings)


def _judge_size(path: Path, size: int) -> Finding:
    if size < _SLOW_BYTES:
        return ok("data", f"{path} is sound and has {in_bytes(size)}")
    remedy = "write type: sqlite, or lower policy.cache.ttl_seconds or storage.runtime.max_bytes"
    return warning("data", f"{path} has {in_bytes(size)}, and every change writes all of it", remedy)


def _read_database(path: Path, settings: StoreSettings) -> Iterator[Finding]:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", _LOCK_SECONDS, isolation_level=None, uri=True)) as db:
            yield from _look_into(path, db, settings)
    except sqlite3.Error as error:
        yield _explain(path, error)


def _look_into(path: Path, db: sqlite3.Connection, settings: StoreSettings) -> Iterator[Finding]:
    check = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if check != "ok":
        yield fault("data", f"{path} is damaged: {check}", _RESTORE)
        return
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version > VERSION or (not version and tables):
        yield fault("data", f"{path} is another program's or version's", "name another file, or move this one away")
        return
    size = sum(each.stat().st_size for each in path.parent.glob(f"{glob.escape(path.name)}*"))
    yield ok("data", f"{path} is sound and has {in_bytes(size)}")
    if (mode := db.execute("PRAGMA journal_mode").fetchone()[0]) != "wal" and tables:
        yield warning("WAL", f"it is off ({mode})", "end other programs on it; the next start switches it on")
    if tables:
        yield from judge_heads([head for (head,) in db.execute(_HEADS)], settings)
    db.execute("BEGIN IMMEDIATE")
    db.execute("ROLLBACK")
    yield ok("lock", "a write is let in at once")


def _explain(path: Path, error: sqlite3.Error) -> Finding:
    if is_busy(error):
        text = f"{path} has been locked by another program for {_LOCK_SECONDS:g} s, longer than a write waits"
        return fault("lock", text, "see which one it is (fuser, lsof) and end it")
    return fault("data", f"{path}: {error}", _RESTORE)
