"""`python -m coo_middleware.storage_api`: a configured store as a server, or a message that says what is missing."""

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coo_middleware.storage_api.__main__ import main
from coo_middleware.stores.http import HTTPStore
from tests.storage_server import KEY


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The smallest configuration file that will do."""
    monkeypatch.setenv("STORAGE_API_KEY", KEY)
    path = tmp_path / "coo.yaml"
    path.write_text('storage:\n  runtime: {type: memory}\n  api: {api_key: "${STORAGE_API_KEY}"}\n')
    return path


async def use(url: str) -> float:
    """What a counter of the store at `url` holds after an increment of 2."""
    async with HTTPStore(addr=url, api_key=KEY, timeout_seconds=10) as store:
        await store.increment_usage("openai", "key1", "req", 2)
        return await store.get_usage("openai", "key1", "req")


def test_it_serves_the_configured_store(config: Path) -> None:
    """Under the configured key, on the address that it names, until it is told to stop."""
    command = [sys.executable, "-m", "coo_middleware.storage_api", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        log = ""
        while not (running := re.search(r"running on (http://127\.0\.0\.1:\d+)", log)):
            log += server.stderr.readline()
        assert 2 == asyncio.run(use(running[1]))
        server.send_signal(signal.SIGINT)
        log += server.stderr.read()

    assert 0 == server.returncode
    assert "key1" not in log
    assert KEY not in log


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert 2 == caught.value.code
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("storage: {runtime: {type: memory}}", r"^api_key: .*storage\.api\.api_key$"),
        ("storage: {api: {api_key: sk-canary}}", r"^api_key: .*storage\.api\.api_key$"),
        ("storage: {api: {max_request_bytes: 1}}", r"coo\.yaml:1: storage\.api\.max_request_bytes: must"),
        ("storage: {runtime: {type: http}}", r"coo\.yaml:1: storage\.runtime\.addr: "),
    ],
)
def test_a_faulty_configuration_is_told(text: str, told: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and a message that names the setting and repeats no key."""
    config.write_text(text)
    message = refused(["--config", str(config)], capsys)

    assert re.search(told, message.strip())
    assert "canary" not in message


def test_no_configuration_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there, or none at all."""
    assert "cannot be read" in refused(["--config", str(tmp_path / "none.yaml")], capsys)
    assert "--config" in refused([], capsys)


def test_without_uvicorn_it_says_what_to_install(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn is no part of the installation."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert "pip install uvicorn" in refused(["--config", str(config)], capsys)
