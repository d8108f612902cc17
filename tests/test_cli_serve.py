"""`coo serve-store`: the configured store over HTTP."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from typing import TYPE_CHECKING

from coo_middleware.stores.http import HTTPStore
from tests.commands import CANARY, run, start, write_config
from tests.redis_server import HOST, find_port

if TYPE_CHECKING:
    from pathlib import Path


async def use(url: str) -> tuple[float, bytes | None]:
    """What a counter and a response of the store at `url` are after they were written."""
    async with HTTPStore(addr=url, api_key=CANARY, timeout_seconds=10) as store:
        await store.increment_usage("openai", "key1", "req", 2)
        await store.set_cache("key", b"\xff", 60)
        return await store.get_usage("openai", "key1", "req"), await store.get_cache("key")


def test_a_client_uses_the_store(tmp_path: Path) -> None:
    """On the address that it names, under the configured key, until it is told to stop, with code 0."""
    with start("serve-store", "--port", "0", "--config", write_config(tmp_path)) as server:
        assert server.stderr is not None
        log = b""
        while not (running := re.search(rb"running on (http://127\.0\.0\.1:\d+)", log)):
            log += server.stderr.readline()
        used = asyncio.run(use(running[1].decode()))
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=30)

    assert (2.0, b"\xff") == used
    assert (0, b"") == (server.returncode, out)
    assert CANARY.encode() not in log + err


def test_a_key_that_is_missing_exits_2(tmp_path: Path) -> None:
    """The message names the setting."""
    (tmp_path / "m.yaml").write_text("storage: {runtime: {type: memory}}")
    done = run("serve-store", "--config", str(tmp_path / "m.yaml"))

    assert (2, "") == (done.code, done.out)
    assert "storage.api.api_key" in done.err


def test_an_address_that_is_taken_exits_1(tmp_path: Path) -> None:
    """Another program has the port."""
    with socket.create_server((HOST, 0)) as taken:
        arguments = ("serve-store", "--port", str(taken.getsockname()[1]), "--config", write_config(tmp_path))
        with start(*arguments) as server:
            server.communicate(timeout=30)

    assert 1 == server.returncode


def test_a_store_that_does_not_open_exits_1(tmp_path: Path) -> None:
    """uvicorn's own code for that is none of ours."""
    config = write_config(tmp_path)
    (tmp_path / "a.db").mkdir()
    with start("serve-store", "--port", str(find_port()), "--config", config) as server:
        server.communicate(timeout=30)

    assert 1 == server.returncode
