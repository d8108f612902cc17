"""Journal: batches of increments on disk, from before they are sent until the store has them.

A folder holds one append-only file for each process; the kernel locks it while its process lives, so that the next one
to start can tell an orphan and take over what a kill -9 left behind. A record is one line: a CRC-32 of the JSON that
follows. A file is rewritten beside itself and renamed, locked before it has its name.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from time import time
from typing import TYPE_CHECKING, Final, TypeAlias
from zlib import crc32

from coo_middleware.core.backlog import Amount, Batch
from coo_middleware.stores import Increment, StoreError
from coo_middleware.stores.checks import check_amount, check_increments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

logger = logging.getLogger("coo_middleware")

_SUFFIX: Final = ".journal"
_DRAFT: Final = ".draft"
_DRAFT_SECONDS: Final = 3_600.0
_COMPACT_BYTES: Final = 65_536


_Waiting: TypeAlias = dict[tuple[str, int], Batch]


class Journal:
    """The journal in `folder`, written under `writer`, a name that no other process has. Methods block on the disk:
    call them in a thread. Faults of the disk surface as StoreError, and what failed may be tried again.
    """

    def __init__(self, folder: str | os.PathLike[str], writer: str) -> None:
        self._folder: Final = Path(folder)
        self._path: Final = self._folder / (writer + _SUFFIX)
        self._draft: Final = self._folder / (writer + _DRAFT)
        self._waiting: _Waiting = {}
        self._file = -1
        self._bound = _COMPACT_BYTES
        # A caller that was cancelled leaves its thread behind: the next one may come beside it.
        self._lock: Final = Lock()

    def open(self) -> list[Batch]:
        """Begins this process's file, and gives what processes that are gone have left, the batches of each writer in
        the order in which they must be sent.
        """
        with self._lock, _surface("opened"), ExitStack() as locks:
            orphans = self._lock_orphans(locks)
            left: _Waiting = {}
            for path, file in orphans:
                left |= _read_batches(path, file)
            ours = self._waiting
            self._rewrite(left | ours)
            for path, _ in orphans:
                if path != self._path:
                    with suppress(OSError):  # adopted once more, it does nothing
                        path.unlink()
            return [batch for key, batch in left.items() if key not in ours]

    def append(self, batch: Batch) -> None:
        """Returns when `batch` is safe from a kill -9. After a StoreError it may be so, or not."""
        with self._lock, _surface("written"):
            waiting = self._waiting | {(batch.writer, batch.sequence): batch}
            if self._extend(_pack(batch)):
                os.fsync(self._file)
                self._waiting = waiting
            else:
                self._rewrite(waiting)

    def replace(self, old: Iterable[Batch], new: Iterable[Batch]) -> None:
        """Puts `new` in the place of `old`, batches that were never sent and whose numbers `new` may bear: all of it
        or nothing.
        """
        with self._lock, _surface("written"):
            waiting = self._waiting.copy()
            for batch in old:
                waiting.pop((batch.writer, batch.sequence), None)
            self._rewrite(waiting | {(batch.writer, batch.sequence): batch for batch in new})

    def forget(self, batch: Batch) -> None:
        """The store has `batch`. Should this get lost, it is sent once more under its number, and does nothing."""
        with self._lock, _surface("written"):
            self._waiting.pop((batch.writer, batch.sequence), None)
            if not self._extend(_line([batch.writer, batch.sequence, None])):
                self._rewrite(self._waiting)

    def close(self) -> None:
        """Lets go of the file; one with nothing in wait is removed."""
        with self._lock, _surface("closed"):
            file, self._file = self._file, -1
            if file < 0:
                return
            try:
                if not self._waiting:
                    self._path.unlink(missing_ok=True)
            finally:
                os.close(file)

    def _lock_orphans(self, locks: ExitStack) -> list[tuple[Path, int]]:
        orphans = []
        for path in sorted(self._folder.glob("*" + _SUFFIX)):
            try:
                file = _open_orphan(path)
            except FileNotFoundError:
                continue  # another one was first
            except BlockingIOError:
                # Its process lives; under our own name that may only be ourselves.
                if path == self._path and self._file < 0:
                    raise
            except OSError as error:
                logger.warning("storage.runtime.journal: %s is passed over (%s)", path.name, _reason(error))
            else:
                locks.callback(os.close, file)
                orphans.append((path, file))
        return orphans

    def _extend(self, record: bytes) -> bool:
        """Whether `record` is at the end of the file; if not, a new file is due: shorter, or where one is missing."""
        try:
            return _write(self._file, record) <= self._bound
        except OSError:
            return False

    def _rewrite(self, waiting: _Waiting) -> None:
        """Puts a file of `waiting` in the place of this process's own: all of it or nothing."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._draft, os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = _write(file, b"".join(map(_pack, waiting.values())))
            os.fsync(file)
            self._draft.rename(self._path)
        except OSError:
            os.close(file)
            self._draft.unlink(missing_ok=True)
            raise
        old, self._file = self._file, file
        self._waiting, self._bound = waiting, max(_COMPACT_BYTES, 2 * size)
        with suppress(OSError):  # it is done
            if old >= 0:
                os.close(old)
            _tidy(self._folder)


def _open_orphan(path: Path) -> int:
    """The file, locked. Raises BlockingIOError when its process lives, another OSError for what is none of ours."""
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _check_orphan(os.fstat(file), path.lstat())
    except OSError:
        os.close(file)
        raise
    return file


def _check_orphan(opened: os.stat_result, named: os.stat_result) -> None:
    if not S_ISREG(opened.st_mode):
        raise OSError(errno.EINVAL, "not a file")
    # Before it was locked its process may have put another in its place.
    if not os.path.samestat(opened, named):
        raise BlockingIOError(errno.EWOULDBLOCK, "in use")


def _write(file: int, content: bytes) -> int:
    """Appends `content` and gives the size of the file."""
    found = os.fstat(file)
    if found.st_nlink == 0:
        raise FileNotFoundError(errno.ENOENT, "removed")
    if os.write(file, content) != len(content):
        raise OSError(errno.ENOSPC, "only a part could be written")
    return found.st_size + len(content)


def _pack(batch: Batch) -> bytes:
    amounts = [[*amount.name, amount.time, amount.delta, amount.samples] for amount in batch.amounts]
    return _line([batch.writer, batch.sequence, amounts])


def _line(record: list[object]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    # A line feed on either side: what is torn or damaged takes no neighbour along.
    return b"\n%08x %b\n" % (crc32(text), text)


def _read_batches(path: Path, file: int) -> _Waiting:
    """The batches that were appended and not yet forgotten."""
    waiting: _Waiting = {}
    unreadable = 0
    for line in filter(None, _read_all(file).split(b"\n")):
        try:
            batch, is_done = _parse(line)
        except (ValueError, RecursionError):
            unreadable += 1
            continue
        key = batch.writer, batch.sequence
        if is_done:
            waiting.pop(key, None)
        else:
            waiting[key] = batch
    if unreadable:
        logger.error("storage.runtime.journal: %s: %d records torn or damaged, not counted", path.name, unreadable)
    return waiting


def _read_all(file: int) -> bytes:
    with open(file, "rb", closefd=False) as stream:
        return stream.read()


def _parse(line: bytes) -> tuple[Batch, bool]:
    """The batch, and whether it is done with. Raises ValueError for what no journal writes: a store would refuse it
    for ever, and all that waits behind it.
    """
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % crc32(text):
        raise ValueError("the checksum does not fit")
    match json.loads(text):
        case [str(writer), int(sequence), None]:
            return Batch(writer, sequence, ()), True
        case [str(writer), int(sequence), [*amounts]]:
            return Batch(writer, sequence, tuple(map(_parse_amount, amounts))), False
    raise ValueError("not a record")


def _parse_amount(amount: object) -> Amount:
    match amount:
        case [str(provider), str(key_id), str(metric), int(at) | float(at), int(delta) | float(delta), int(samples)]:
            check_increments([Increment(provider, key_id, metric, delta, samples)])
            check_amount(at)
            return Amount((provider, key_id, metric), at, delta, samples)
    raise ValueError("not an amount")


def _tidy(folder: Path) -> None:
    """Makes the renaming last, and removes drafts that a kill -9 left: no rewriting takes an hour."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for draft in folder.glob("*" + _DRAFT):
        if time() - draft.lstat().st_mtime > _DRAFT_SECONDS:
            draft.unlink()


@contextmanager
def _surface(verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"storage.runtime.journal: could not be {verb} ({_reason(error)}); "
            "it needs a folder of its own, writable and with room, on a local disk"
        ) from error


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or errno.EIO)
