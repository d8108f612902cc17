"""Files of lines, read and written with a bar on standard error."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def open_source(path: Path) -> Iterator[BinaryIO]:
    """The file to read; `-` is standard input. Raises OSError."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


@contextmanager
def open_target(path: Path) -> Iterator[BinaryIO]:
    """The file to write, `-` being standard output. It gets its name when all of it is on the disk, and nobody else may
    read it. Raises OSError.
    """
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = path.with_name(f"{path.name}.part")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 -- its mode
        yield file
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_lines(file: BinaryIO, title: str) -> Iterator[bytes]:
    """The lines, each with its end, as the bar goes on; how far it is, is known of a file on the disk."""
    size = 0
    if file.seekable():
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
    with open_progress() as progress:
        task = progress.add_task(title, total=size or None)
        for line in file:
            progress.advance(task, len(line))
            yield line


def open_progress() -> Progress:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
