"""Where a store's file lies: folders and files for one user alone, a lock that ends with its holder, and what becomes
of a file that cannot be read. For POSIX systems.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import stat
from contextlib import contextmanager
from datetime import UTC, datetime
from errno import EACCES, EAGAIN
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS: Final = 0.01

logger = logging.getLogger("coo_middleware")


def locate(path: str | os.PathLike[str]) -> Path:
    """The absolute path that a setting means. Raises ValueError unless it can name a file."""
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ValueError("path: the store needs it; say which file keeps the data")
    return Path(text).absolute()


def prepare(path: Path) -> None:
    """Makes the folders that `path` lacks, mode 0700. Raises StoreError when others may replace files there, or when
    `path` is something else than a file.
    """
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    mode = path.parent.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise StoreError(f"{path.parent}: everybody may write to this folder; take that right away (chmod o-w)")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise StoreError(f"{path}: this is a link, a folder or a device; name a file, or a path where none is yet")


@contextmanager
def locked(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Holds the lock beside `path` for a while. Raises like `lock`."""
    held = lock(path, patience)
    try:
        yield
    finally:
        unlock(held)


def lock(path: Path, patience: float = 0.0) -> int:
    """Locks `path` by the file `path`.lock, which then names the holder, and returns the descriptor that keeps the
    lock. The kernel lets go when the holder ends, however it ends. Raises StoreError naming the holder when another
    one keeps it for `patience` seconds, or when the file system has no locks.
    """
    held = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _take(held, path, patience)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        os.ftruncate(held, 0)
        os.pwrite(held, f"{holder}\n".encode(), 0)
    except BaseException:
        os.close(held)
        raise
    return held


def unlock(held: int) -> None:
    """Gives up what `lock` returned."""
    try:
        os.ftruncate(held, 0)
    finally:
        os.close(held)


def replace(path: Path, content: bytes) -> None:
    """Puts a file with this content, mode 0600, in the place of the one at `path`: whoever reads finds the former or
    the new one, whole, also after a loss of power. Only for the holder of the lock.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # of a process that was killed
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    # The name is a folder's matter, and written apart from the file.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def set_aside(path: Path, fault: str, companions: tuple[str, ...] = ()) -> Path:
    """Renames a file that cannot be used, and the files beside it that end in one of `companions`, to a dated name
    that is free; says so in the log, once, and returns the name.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (path.with_name(f"{path.name}.corrupt-{stamp}{f'-{n}' if n else ''}") for n in count())
    aside = next(name for name in names if not name.exists())
    for suffix in ("", *companions):
        if os.path.lexists(f"{path}{suffix}"):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    logger.error("%s cannot be read (%s): kept as %s, going on with a new file", path, fault, aside.name)
    return aside


def _take(held: int, path: Path, patience: float) -> None:
    until = monotonic() + patience
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {EAGAIN, EACCES}:
                raise StoreError(f"{path}: this file system has no locks; choose a folder on a local disk") from error
            if monotonic() >= until:
                raise StoreError(
                    f"{path} is in use by {_holder(held)}; end that process or give each its own path (several "
                    "processes of one machine share a store of type sqlite)"
                ) from error
        else:
            return
        sleep(_POLL_SECONDS)


def _holder(held: int) -> str:
    try:
        holder = json.loads(os.pread(held, 1024, 0))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, TypeError, KeyError):
        return "another process"
