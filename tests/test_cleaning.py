"""cli/cleaning.py: `coo purge`, what it prints and with which code it ends."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from coo_middleware.cli import main
from coo_middleware.cli.cleaning import show_purged
from coo_middleware.core.sealing import Sealer
from coo_middleware.purging import Purged
from coo_middleware.stores.sqlite import SqliteStore
from tests.redis_server import HOST, find_port
from tests.test_purge import KEYS, fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

CANARY = "hunter2canary-and-more"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("tag:a", "--json")` gives the exit code, standard output and standard error."""

    def running(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["coo", "purge", *arguments])
        with pytest.raises(SystemExit) as ending:
            main()
        out, err = capsys.readouterr()
        assert CANARY not in out + err
        return int(ending.value.code or 0), out, err

    return running


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration of a database with twenty entries, two of them tagged `tenth`, and two that cannot be read."""

    async def store() -> None:
        async with SqliteStore(path=tmp_path / "a.db") as store:
            await fill(store, 20)
            await fill(store, 2, Sealer(KEYS[:1]), first=100)

    asyncio.run(store())
    (tmp_path / "coo.yaml").write_text(f"storage: {{runtime: {{type: sqlite, path: '{tmp_path / 'a.db'}'}}}}")
    return str(tmp_path / "coo.yaml")


def test_a_dry_run_then_a_purge(run: Run, config: str) -> None:
    """Both tell the same number, and what cannot be told; the second purge finds nothing left."""
    unread = "beside them, 2 cannot be read with this configuration's keys: not counted\n"
    dry = run("tag:tenth", "tag:other", "--dry-run", "--config", config)
    wet = [run("tag:tenth", "tag:other", "--config", config) for _ in range(2)]

    assert (0, f"would be purged: 2 stored responses\n{unread}", "") == dry
    assert [(0, f"purged: {count} stored responses\n{unread}", "") for count in (2, 0)] == wet


def test_json_is_one_document_with_the_fields_of_purged(run: Run, config: str) -> None:
    """For a program."""
    code, out, _ = run("all", "--dry-run", "--json", "--config", config)

    assert (0, {"generation": None, "matched": 20, "unreadable": 2, "is_complete": True}) == (code, json.loads(out))


def test_a_purge_need_not_count(run: Run, config: str) -> None:
    """Where there is too much to look at."""
    assert (0, "purged: all that match\nthey were not counted\n", "") == run("all", "--no-count", "--config", config)


def test_a_count_that_gave_up_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """It is no total."""
    show_purged(Purged(7, 3))

    assert "purged: 3 stored responses\nthe count ended after 30 s: there are more\n" == capsys.readouterr().out


@pytest.mark.parametrize("label", [CANARY, "tag:", "everything"])
def test_what_is_no_label_exits_2(run: Run, config: str, label: str) -> None:
    """Nothing is purged, and what is one is said."""
    code, out, err = run("tag:tenth", label, "--config", config)

    assert (2, "") == (code, out)
    assert err.startswith("labels: must be all or namespace:…, caller:…, model:…, tag:…, key:…")
    assert "would be purged: 2 " in run("tag:tenth", "--dry-run", "--config", config)[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("storage: {runtime: {type: memory}}", "ask its admin API"),
        (f"storage: {{runtime: {{type: redis, passwort: {CANARY}}}}}", "storage.runtime.passwort"),
    ],
)
def test_a_configuration_that_cannot_be_used_exits_2(run: Run, tmp_path: Path, text: str, said: str) -> None:
    """A store in the service's own memory is out of this program's reach."""
    (tmp_path / "coo.yaml").write_text(text)
    code, out, err = run("all", "--config", str(tmp_path / "coo.yaml"))

    assert (2, "") == (code, out)
    assert said in err


def test_a_store_that_fails_exits_1(run: Run, tmp_path: Path) -> None:
    """With what went wrong, and no password."""
    addr = f"redis://app:{CANARY}@{HOST}:{find_port()}"
    (tmp_path / "coo.yaml").write_text(f"storage: {{runtime: {{type: redis, addr: '{addr}'}}}}")
    code, out, err = run("all", "--config", str(tmp_path / "coo.yaml"))

    assert (1, "") == (code, out)
    assert "see that the server runs" in err
