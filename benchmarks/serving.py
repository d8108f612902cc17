"""One contender behind uvicorn, in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.litellm import write_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.contenders import Contender
    from benchmarks.places import Place

HOST: Final = "127.0.0.1"
_PATIENCE_SECONDS: Final = 120.0


class Server:
    """A server that runs only while it is `awake`: what others do in the background must not be in one's figures."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self.port: Final = port
        self._process: Final = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pin(self._process.pid, 0)

    def wait(self) -> None:
        """Returns when it accepts connections."""
        ends = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                socket.create_connection((HOST, self.port), 1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > ends:
                    raise
                time.sleep(0.05)
            else:
                self._process.send_signal(signal.SIGSTOP)
                return

    @contextmanager
    def awake(self) -> Iterator[int]:
        """Its port, for as long as it may run."""
        self._process.send_signal(signal.SIGCONT)
        try:
            yield self.port
        finally:
            self._process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()


@contextmanager
def serve(among: Sequence[Contender], place: Place, wait_seconds: float) -> Iterator[dict[str, Server]]:
    """Servers of all, by name, each asleep."""
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for each in among:
            folder = place.folder / f"server-{len(servers)}"
            folder.mkdir()
            server = servers[each.name] = Server(*_command(each, place.kind, folder, place.url, wait_seconds))
            stack.callback(server.end)
        for server in servers.values():
            server.wait()
        yield servers


def pin(process: int, core: int) -> None:
    """Keeps a process on a core, where there are several and the system can."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process, {core})


def find_port() -> int:
    """A free port."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


def _command(each: Contender, kind: str, folder: Path, url: str, wait_seconds: float) -> tuple[list[str], int]:
    port = find_port()
    if each.program:
        return [each.program, "--config", str(write_settings(folder)), "--host", HOST, "--port", str(port)], port
    arguments = [each.name, kind, str(folder), url, str(wait_seconds), str(port)]
    return [sys.executable, "-m", "benchmarks.serving", *arguments], port


def _main(arguments: Sequence[str]) -> None:
    import uvicorn

    from benchmarks.contenders import ALL
    from benchmarks.handler import Upstream
    from benchmarks.places import Place

    name, kind, folder, url, wait_seconds, port = arguments
    contender = next(each for each in ALL if each.name == name)
    running = contender.make(Upstream(float(wait_seconds)), Place(kind, Path(folder), url))
    uvicorn.run(running.app, host=HOST, port=int(port), log_level="critical")


if __name__ == "__main__":
    _main(sys.argv[1:])
