"""The database file of a SQLite store: how it is opened, checked and replaced, and the two hands that work on it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from random import random
from sqlite3 import SQLITE_BUSY, SQLITE_CORRUPT, SQLITE_NOTADB, Connection
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from coo_middleware.stores import StoreError
from coo_middleware.stores.disk import locked, prepare, set_aside
from coo_middleware.stores.tables import VERSION, upgrade
from coo_middleware.stores.worker import Hand, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# How long a write waits for other processes' writes, and an opening for other processes' openings.
_BUSY_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.002
_OPENING_SECONDS: Final = 30.0

_WAL_BYTES: Final = 16_777_216
_COMPANIONS: Final = ("-wal", "-shm")


class Database:
    """The file at `path`. Connections may be used by any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._sound: tuple[int, int] | None = None

    def connect(self) -> tuple[Connection, tuple[int, int]]:
        """A connection to the file, made and checked if need be, and the file's identity. One that is malformed is set
        aside. Raises StoreError for a file that is not ours, OSError or sqlite3.Error for one that cannot be used.
        """
        prepare(self._path)
        with locked(self._path, _OPENING_SECONDS):
            try:
                return self._open()
            except sqlite3.DatabaseError as error:
                if not is_malformed(error):
                    raise
                set_aside(self._path, str(error), _COMPANIONS)
            return self._open()

    def identity(self) -> tuple[int, int] | None:
        """Which file lies at the path, None when there is none: another process may have set ours aside."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def doubt(self) -> None:
        """The file showed a fault: it is checked again when it is opened next."""
        self._sound = None

    def _open(self) -> tuple[Connection, tuple[int, int]]:
        # SQLite itself would make the file readable for others. Never opened when it is there: closing it would give
        # up the locks that other connections of this process hold.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        found = self._path.stat()
        identity = found.st_dev, found.st_ino
        connection = sqlite3.connect(self._path, _BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._configure(connection)
            if identity != self._sound:
                _check(connection)
                self._make_tables(connection)
        except BaseException:
            connection.close()
            raise
        self._sound = identity
        return connection, identity

    def _configure(self, connection: Connection) -> None:
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise StoreError(f"{self._path}: this file system cannot share a database; choose a folder on a local disk")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")

    def _make_tables(self, connection: Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return
        strange = not version and connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,)
        if strange or not 0 <= version < VERSION:
            raise StoreError(f"{self._path}: a database of another program or version; name another file, or move it")
        upgrade(connection, version)


class Desk(Hand[Connection]):
    """A connection that is made when it is needed, and anew when it failed or the file was replaced."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None

    def connection(self) -> Connection:
        """Raises like `Database.connect`."""
        if self._connection is not None and self._identity == self._database.identity():
            return self._connection
        self.close()
        self._connection, self._identity = self._database.connect()
        return self._connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def before_fork(self) -> None:
        """SQLite's connections and what it notes about locks must not live in two processes."""
        self.close()

    def after_fork(self) -> None:
        """Nothing is left of the parent's."""

    def judge(self, error: Exception) -> None:
        """A connection that failed is not used again, unless others kept it waiting only."""
        if isinstance(error, sqlite3.Error) and not is_busy(error):
            if is_malformed(error):
                self._database.doubt()
            with suppress(sqlite3.Error):
                self.close()


class Reader(Desk):
    """Answers questions one after the other. In WAL mode none of them waits for a writer."""

    def work(self, jobs: Sequence[Job[Connection]]) -> None:
        for job in jobs:
            try:
                job.future.set_result(job.function(self.connection()))
            except Exception as error:
                self.judge(error)
                job.future.set_exception(error)


class Writer(Desk):
    """Makes changes that came together in one transaction. `sweep` clears up a little and says whether to go on."""

    def __init__(self, database: Database, sweep: Callable[[Connection], bool]) -> None:
        super().__init__(database)
        self._sweep: Final = sweep

    def work(self, jobs: Sequence[Job[Connection]]) -> None:
        try:
            results = self._commit([job.function for job in jobs])
        except Exception as error:
            if len(jobs) == 1 or is_busy(error):
                raise
            # One of them may be at fault, as one that does not fit on the disk: the others need not suffer.
            for job in jobs:
                self._work_alone(job)
        else:
            for job, result in zip(jobs, results, strict=True):
                job.future.set_result(result)

    def rest(self) -> bool:
        return self._connection is not None and bool(self._commit([self._sweep])[0])

    def _work_alone(self, job: Job[Connection]) -> None:
        try:
            job.future.set_result(self._commit([job.function])[0])
        except Exception as error:
            job.future.set_exception(error)

    def _commit(self, functions: Sequence[Callable[[Connection], object]]) -> list[object]:
        try:
            connection = self.connection()
            _begin(connection)
            try:
                results = [function(connection) for function in functions]
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except Exception as error:
            self.judge(error)
            raise
        return results


def _begin(connection: Connection) -> None:
    """Begins to write when nobody else does. SQLite itself asks ever more seldom, up to every 100 ms, so that among
    processes that write all the time one may wait for many seconds; asking steadily each gets its turn.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    deadline = monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if not is_busy(error) or monotonic() > deadline:
                raise
            # Not in step with others.
            sleep(random() * _POLL_SECONDS)  # noqa: S311 -- no secret
        else:
            return


def is_busy(error: Exception) -> bool:
    """Whether another connection held the file for too long."""
    return _code(error) == SQLITE_BUSY


def is_malformed(error: Exception) -> bool:
    """Whether the file is no database, or a damaged one."""
    return _code(error) in {SQLITE_CORRUPT, SQLITE_NOTADB}


def _code(error: Exception) -> int:
    # The low byte is the kind, the rest tells more about it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _check(connection: Connection) -> None:
    fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        error = sqlite3.DatabaseError(fault)
        error.sqlite_errorcode = SQLITE_CORRUPT
        raise error
