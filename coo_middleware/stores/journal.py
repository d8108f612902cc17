"""Journal: batches of increments on disk, from before they are sent until the store has them.

A folder holds one append-only file for each process; the file is locked by the kernel while its process lives, so
that the next one to start can tell an orphan and take over what a kill -9 left behind. A record is one line: a CRC-32
of the JSON that follows. A torn last line was never acknowledged and is passed over.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from coo_middleware.core.backlog import Amount
from coo_middleware.stores import StoreError

_SUFFIX: Final = ".journal"
_COMPACT_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Batch:
    """What `writer` sends under `sequence`, always the same under the same number."""

    writer: str
    sequence: int
    amounts: tuple[Amount, ...]


class Journal:
    """The journal in `folder`, written under the name `writer`. Methods block on the disk: call them in a thread.
    Faults of the disk surface as StoreError.
    """

    def __init__(self, folder: str | os.PathLike[str], writer: str) -> None:
        self._folder: Final = Path(folder)
        self._path: Final = self._folder / (writer + _SUFFIX)
        self._waiting: Final[dict[tuple[str, int], Batch]] = {}
        self._file = -1

    def open(self) -> list[Batch]:
        """Begins this process's file, and gives the batches that processes which are gone have left, oldest first."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for orphan in sorted(self._folder.glob("*" + _SUFFIX)):
                self._adopt(orphan)
            _sync_folder(self._folder)
        except OSError as error:
            raise _fault("opened", error) from error
        return list(self._waiting.values())

    def append(self, batch: Batch) -> None:
        """Returns when `batch` is safe from a kill -9."""
        try:
            self._append(batch)
        except OSError as error:
            raise _fault("written", error) from error

    def forget(self, batch: Batch) -> None:
        """The store has `batch`. Should this get lost, it is sent once more under its number, and does nothing."""
        self._waiting.pop((batch.writer, batch.sequence), None)
        try:
            os.write(self._file, _line({"done": [batch.writer, batch.sequence]}))
            if not self._waiting and os.fstat(self._file).st_size > _COMPACT_BYTES:
                os.ftruncate(self._file, 0)
        except OSError as error:
            raise _fault("written", error) from error

    def close(self) -> None:
        """Lets go of the file; one with nothing in wait is removed."""
        if self._file < 0:
            return
        if not self._waiting:
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def _append(self, batch: Batch) -> None:
        amounts = [[*amount.name, amount.time, amount.delta, amount.samples] for amount in batch.amounts]
        size = os.fstat(self._file).st_size
        line = _line({"batch": [batch.writer, batch.sequence, amounts]})
        if os.write(self._file, line) != len(line):
            # A full disk takes a part: without it the next record stays readable.
            os.ftruncate(self._file, size)
            raise OSError("only a part could be written")
        os.fsync(self._file)
        self._waiting[batch.writer, batch.sequence] = batch

    def _adopt(self, orphan: Path) -> None:
        if orphan == self._path:
            return
        file = os.open(orphan, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for batch in _read_batches(_read_all(file)):
                self._append(batch)
            orphan.unlink()
        except BlockingIOError:
            pass  # its process lives
        finally:
            os.close(file)


def _line(record: dict[str, object]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %b\n" % (crc32(text), text)


def _read_all(file: int) -> bytes:
    parts = []
    while part := os.read(file, 1_048_576):
        parts.append(part)
    return b"".join(parts)


def _read_batches(content: bytes) -> list[Batch]:
    """The batches that were appended and not yet forgotten."""
    waiting: dict[tuple[str, int], Batch] = {}
    for line in content.split(b"\n"):
        record = _read_line(line)
        if "batch" in record:
            writer, sequence, amounts = record["batch"]
            waiting[writer, sequence] = Batch(writer, sequence, tuple(map(_read_amount, amounts)))
        elif "done" in record:
            waiting.pop(tuple(record["done"]), None)
    return list(waiting.values())


def _read_line(line: bytes) -> dict[str, list[Any]]:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % crc32(text):
        return {}
    record: dict[str, list[Any]] = json.loads(text)
    return record


def _read_amount(amount: list[Any]) -> Amount:
    provider, key_id, metric, time, delta, samples = amount
    return Amount((provider, key_id, metric), time, delta, samples)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fault(verb: str, error: OSError) -> StoreError:
    return StoreError(f"storage.runtime.journal: could not be {verb} ({os.strerror(error.errno or 5)})")
