"""`coo top`: one screen, on a terminal until q is pressed, and anywhere with --once."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from fcntl import ioctl
from typing import TYPE_CHECKING

import pytest

from coo_middleware.cli.top import draw_bars
from tests.commands import RECORDS, count, count_minute, find_picture, make_record, run, show, start, write_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration whose database has RECORDS, and a key for each of 40 more models."""
    count(tmp_path / "a.db", [*RECORDS, *(make_record(f"key-{number}", f"m-{number}") for number in range(40))])
    return write_config(tmp_path)


def test_one_screen_fits_into_80x24(config: str) -> None:
    """As many rows as there is room for, the busiest first, each limit by its share."""
    lines = show("top", "--once", "--config", config)

    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "coo top  the sqlite store, the last 60 s" == lines[0]
    assert "req/s 0.77  hit ratio 4%  tok/min 1.76k  saved/min 80  errors 1  p95 623ms" == lines[1]
    assert any(re.match(r"openai/first +0\.07 +50% +80 +\$0\.10 +0 +\S+ +req 20% tok 80%", line) for line in lines)
    assert "42 keys, 43 models; q ends" == lines[-1]


def test_it_looks_as_the_page_shows_it(tmp_path: Path) -> None:
    """But for the bars, which go by the clock."""
    lines, picture = show("top", "--once", "--config", count_minute(tmp_path)), find_picture("coo top  ")
    bars = [each.pop(3) for each in (lines, picture)]

    assert picture == lines
    assert all(re.fullmatch(r"requests/s  [ ▁▂▃▄▅▆▇█]{61} \d+", each) for each in bars)


def test_nothing_to_show(tmp_path: Path) -> None:
    """A store without a request has a screen too."""
    done = run("top", "--once", "--config", write_config(tmp_path))

    assert 0 == done.code
    assert "requests/s  none" in done.out
    assert "0 keys, 0 models; q ends" in done.out


def test_without_a_terminal_it_says_so(config: str) -> None:
    """Exit code 2, and what does work."""
    done = run("top", "--config", config)

    assert (2, "coo top needs a terminal; --once prints one screen anywhere\n") == (done.code, done.err)


def read_until(place: int, text: bytes) -> bytes:
    """What comes out of the terminal, up to `text` at least."""
    told = b""
    while text not in told:
        assert select.select([place], [], [], 30)[0], told
        told += os.read(place, 65_536)
    return told


@pytest.mark.parametrize("key", [b"q", b"xQ", b"\x03"])
def test_a_key_ends_it(config: str, key: bytes) -> None:
    """q and Ctrl-C end it at once with code 0, on a screen of its own that is left as the terminal was."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    command = start("top", "--every", "60", "--config", config, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
    with command:
        shown = read_until(ours, b"q ends")
        if key == b"\x03":
            command.send_signal(signal.SIGINT)
        os.write(ours, key)
        shown += read_until(ours, b"\x1b[?1049l")
        _, err = command.communicate(timeout=30)
    after = termios.tcgetattr(theirs)
    os.close(ours)
    os.close(theirs)

    assert (0, b"") == (command.returncode, err)
    assert b"\x1b[?1049h" in shown
    assert before == after


@pytest.mark.parametrize(
    ("values", "drawn"), [([], "none"), ([0, 0], "none"), ([0, 1, 4, 8], " ▁▄█ 8"), ([0.001, 2000], "▁█ 2k")]
)
def test_bars(values: list[float], drawn: str) -> None:
    """The highest is a whole block, what is not nothing is seen, and the greatest value is told."""
    assert drawn == draw_bars(values)
