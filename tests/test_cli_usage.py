"""`coo usage`: what a store has, as tables and as JSON, once and again and again."""

from __future__ import annotations

import json
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn

from coo_middleware.admin import create_admin
from coo_middleware.cli.usage import read_span
from tests.commands import CANARY, count, count_minute, find_picture, run, show, start, write_config
from tests.redis_server import HOST, find_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration whose database has RECORDS."""
    count(tmp_path / "a.db")
    return write_config(tmp_path)


def test_tables_by_provider_key_and_model(config: str) -> None:
    """Each group has a table, and the whole a line; a name out of a store cannot move the cursor."""
    done = run("usage", "--config", config)

    lines = [line.split() for line in done.out.splitlines()]
    assert (0, "") == (done.code, done.err)
    assert "the store, the last 3600 s" == done.out.splitlines()[0]
    assert ["all", "6", "2", "40%", "120", "40", "80", "$0.20", "$0.10", "1"] == next(
        line[:10] for line in lines if line[:1] == ["all"]
    )
    assert ["openai/first", "openai/openai-1", "gpt-5", "[red]?[2J", "o4-mini"] == [
        line[0] for line in lines if line and line[0] not in ("all", "openai", "the", "provider", "key", "model", "hit")
    ]


def test_it_fits_into_80_columns(tmp_path: Path) -> None:
    """On a terminal of that width no line is longer, no figure is cut, and it looks as docs/cli.md shows it."""
    lines = show("usage", "--window", "60", "--config", count_minute(tmp_path))

    assert max(map(len, lines)) <= 80
    assert find_picture("the store, the last 60 s\n") == lines


@pytest.mark.parametrize("window", ["60", "1h", "7d", "total"])
def test_json_has_the_same_figures(config: str, window: str) -> None:
    """Windows that hold all of it and the total are equal, whatever their buckets."""
    told = json.loads(run("usage", "--json", "--window", window, "--config", config).out)

    assert {"60": 60, "1h": 3600, "7d": 604_800, "total": None}[window] == told["window_seconds"]
    assert (6, 2, 80, 0.4) == tuple(told["all"][name] for name in ("requests", "hits", "tokens_saved", "hit_ratio"))
    assert {"input": 120, "output": 40} == told["all"]["tokens_by_type"]
    assert [("openai", "first", 4), ("openai", "openai-1", 2)] == [
        (each["provider"], each["key"], each["requests"]) for each in told["keys"]
    ]


@pytest.mark.parametrize(
    ("option", "value", "requests"),
    [("--key", "first", 4), ("--model", "o4-mini", 1), ("--provider", "openai", 6), ("--provider", "none", 0)],
)
def test_filters(config: str, option: str, value: str, requests: int) -> None:
    """A filter takes exact names."""
    told = json.loads(run("usage", "--json", option, value, "--config", config).out)

    assert requests == told["all"]["requests"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("60s", 60), ("5m", 300), ("35d", 3_024_000), ("total", None)]
)
def test_a_span_is_seconds_or_has_a_unit(text: str, seconds: int | None) -> None:
    """From a second to 35 days, or all."""
    assert seconds == read_span(text)


@pytest.mark.parametrize("text", ["", "0", "36d", "1w", "-5", "1.5h", "all"])
def test_another_span_exits_2(config: str, text: str) -> None:
    """The message says what a window may be."""
    done = run("usage", f"--window={text}", "--config", config)

    assert (2, "") == (done.code, done.out)
    assert done.err.startswith("--window: must be total, or 1s to 35d")


def test_a_store_in_memory_exits_2(tmp_path: Path) -> None:
    """Nobody but the service sees it, and the message says who does."""
    (tmp_path / "m.yaml").write_text("storage: {runtime: {type: memory}}")
    done = run("usage", "--config", str(tmp_path / "m.yaml"))

    assert (2, "") == (done.code, done.out)
    assert "ask its admin API" in done.err


def test_a_store_that_is_away_exits_1(tmp_path: Path) -> None:
    """The message says so without the password."""
    address = f"redis://app:{CANARY}@{HOST}:{find_port()}"
    (tmp_path / "r.yaml").write_text(f"storage: {{runtime: {{type: redis, addr: '{address}'}}}}")
    done = run("usage", "--config", str(tmp_path / "r.yaml"))

    assert (1, "") == (done.code, done.out)
    assert done.err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_watching_ends_with_an_interrupt(config: str, form: list[str]) -> None:
    """It shows the usage again and again, in JSON a document a line, and an interrupt is its end and no fault."""
    with start("usage", "--watch", "--every", "0.1", "--config", config, *form) as command:
        assert command.stdout is not None
        seen = 0
        while seen < 2:
            line = command.stdout.readline()
            assert line
            seen += line.startswith(b"the store, ") or (form != [] and json.loads(line)["all"]["requests"] == 6)
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=30)

    assert (0, b"") == (command.returncode, err)


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Where a server of its own answers for `app`."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on", ws="none"))
    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://{HOST}:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The admin API over a database that has RECORDS."""
    count(tmp_path / "a.db")
    settings = {"storage": {"runtime": {"type": "sqlite", "path": str(tmp_path / "a.db")}}}
    with serving(create_admin(settings, read_token=CANARY)) as address:
        yield f"{address}/"


def test_the_admin_api_tells_what_the_store_has(url: str, tmp_path: Path) -> None:
    """The same figures and the same tables come of what the service says; no configuration is needed for it."""
    told, read = (
        run("usage", "--window", "2h", *arguments, env={"COO_TOKEN": CANARY}).out.splitlines()
        for arguments in (("--url", url), ("--config", write_config(tmp_path)))
    )
    filtered = json.loads(run("usage", "--json", "--url", url, "--model", "gpt-5", env={"COO_TOKEN": CANARY}).out)

    assert "the admin API, the last 7200 s" == told[0]
    # What is equally busy may stand in another order.
    assert sorted(read[1:]) == sorted(told[1:])
    assert (4, ["gpt-5"]) == (filtered["all"]["requests"], [each["model"] for each in filtered["models"]])


@pytest.mark.parametrize(
    ("token", "window", "code", "told"),
    [
        ("", "1h", 2, "--token-env: the environment variable COO_TOKEN must hold the admin API's token"),
        ("a-wrong-token-of-16", "1h", 1, "--url: the admin API answered 401"),
        (CANARY, "total", 2, "--window: the admin API tells windows; ask the store itself for total"),
    ],
)
def test_an_admin_api_that_does_not_answer(url: str, token: str, window: str, code: int, told: str) -> None:
    """What is asked wrongly exits 2, what is refused 1."""
    done = run("usage", "--url", url, "--window", window, env={"COO_TOKEN": token})

    assert (code, "", f"{told}\n") == (done.code, done.out, done.err)


def test_an_admin_api_that_is_away_exits_1() -> None:
    """The kind of failure is told, and no token."""
    done = run("usage", "--url", f"http://{HOST}:{find_port()}", env={"COO_TOKEN": CANARY})

    assert (1, "--url: the admin API cannot be reached: ConnectError\n") == (done.code, done.err)
