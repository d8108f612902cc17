"""stores/disk.py: folders, rights, locks, replacement."""

import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coo_middleware.stores import StoreError
from coo_middleware.stores.disk import locate, lock, locked, prepare, replace, set_aside, unlock

HOLDER = """
import sys
from pathlib import Path
from coo_middleware.stores.disk import lock
lock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def no_larger_file(size: int) -> Iterator[None]:
    """The kernel refuses to let a file of this process grow beyond `size`, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_path_must_name_a_file(path: str) -> None:
    """Nothing, and what no file can be called, is an error that names the setting."""
    with pytest.raises(ValueError, match="path: the store needs it"):
        locate(path)


def test_path_stays_when_the_working_folder_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder of the moment in which it was given."""
    monkeypatch.chdir(tmp_path)

    assert tmp_path / "data" == locate("data")


def test_folders_are_for_one_user(tmp_path: Path) -> None:
    """Missing folders are made, all of them mode 0700; those that exist stay as they are."""
    tmp_path.chmod(0o755)
    prepare(tmp_path / "a" / "b" / "data")
    prepare(tmp_path / "a" / "b" / "data")

    assert [0o755, 0o700, 0o700] == [mode_of(tmp_path / name) for name in ("", "a", "a/b")]


def test_folder_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    """Others could replace the file; where the sticky bit forbids that, as in /tmp, they may write."""
    tmp_path.chmod(0o777)
    with pytest.raises(StoreError, match="everybody may write to this folder"):
        prepare(tmp_path / "data")
    tmp_path.chmod(0o1777)

    prepare(tmp_path / "data")


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "pipe"])
def test_path_of_something_else_is_refused(tmp_path: Path, kind: str) -> None:
    """Neither a folder nor a device is written to, and no link is followed."""
    path, other = tmp_path / "data", tmp_path / "other"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to(other)
            if kind == "link":
                other.touch()

    with pytest.raises(StoreError, match="this is a link, a folder or a device"):
        prepare(path)


def test_lock_names_its_holder(tmp_path: Path) -> None:
    """Whoever finds the file locked learns by which process, on which host and since when."""
    path = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert "locked\n" == holder.stdout.readline()
        with pytest.raises(StoreError, match=rf"in use by process {holder.pid} on .+ since 20\d\d-") as caught:
            lock(path, 0.02)
        assert isinstance(caught.value.__cause__, BlockingIOError)
        holder.kill()
        holder.wait()

    unlock(lock(path))
    assert 0o600 == mode_of(tmp_path / "data.lock")


def test_lock_ends_with_its_block(tmp_path: Path) -> None:
    """The lock file stays, empty, so that two processes never lock two files of one name."""
    path = tmp_path / "data"
    with locked(path):
        assert os.getpid() == json.loads((tmp_path / "data.lock").read_text())["pid"]
        with pytest.raises(StoreError, match=f"process {os.getpid()} on"), locked(path):
            pass

    assert "" == (tmp_path / "data.lock").read_text()


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense"])
def test_lock_of_a_holder_without_a_name(tmp_path: Path, text: str) -> None:
    """A holder that has not written its name yet is another process."""
    path = tmp_path / "data"
    held = lock(path)
    (tmp_path / "data.lock").write_text(text)
    with pytest.raises(StoreError, match="in use by another process"):
        lock(path)
    unlock(held)


def test_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can be kept out, nothing is stored."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError, match="this file system has no locks"):
        lock(tmp_path / "data")


def test_lock_follows_no_link(tmp_path: Path) -> None:
    """A link in the lock file's place does not make us empty another file."""
    (tmp_path / "other").write_text("precious")
    (tmp_path / "data.lock").symlink_to(tmp_path / "other")

    with pytest.raises(OSError, match="symbolic link"):
        lock(tmp_path / "data")
    assert "precious" == (tmp_path / "other").read_text()


def test_replacement_is_for_one_user_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The file is mode 0600, and what a killed process left is cleared away; a link there is not followed."""
    (tmp_path / "other").write_text("precious")
    (tmp_path / "data.new").symlink_to(tmp_path / "other")
    (tmp_path / "data").write_text("former")
    replace(tmp_path / "data", b"new")

    assert b"new" == (tmp_path / "data").read_bytes()
    assert 0o600 == mode_of(tmp_path / "data")
    assert "precious" == (tmp_path / "other").read_text()
    assert ["data", "other"] == sorted(each.name for each in tmp_path.iterdir())


def test_replacement_that_fails_leaves_the_former_file(tmp_path: Path) -> None:
    """When the disk is full the former content stays, whole, and the attempt is cleared away."""
    replace(tmp_path / "data", b"former")
    with no_larger_file(1000), pytest.raises(OSError, match="File too large"):
        replace(tmp_path / "data", bytes(2000))

    assert b"former" == (tmp_path / "data").read_bytes()
    assert ["data"] == [each.name for each in tmp_path.iterdir()]


def test_file_set_aside_keeps_its_companions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """File and companions go to one dated name that nothing has yet, and the log says which, once each time."""
    names = []
    for content in ("first", "second"):
        (tmp_path / "data").write_text(content)
        (tmp_path / "data-wal").write_text(content)
        with caplog.at_level(logging.ERROR):
            names.append(set_aside(tmp_path / "data", "a fault", ("-wal", "-shm")).name)

    assert 2 == len({*names})
    assert ["first", "second"] == [(tmp_path / name).read_text() for name in names]
    assert ["first", "second"] == [(tmp_path / f"{name}-wal").read_text() for name in names]
    assert not (tmp_path / "data").exists()
    assert [f"kept as {name}" for name in names] == [
        each.message.split(": ")[1].split(",")[0] for each in caplog.records
    ]
