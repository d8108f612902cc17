"""The command `coo`: its exit codes, what it prints, and what it never prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import Console

from coo_middleware.cli import INSTALL, diagnosis, main
from coo_middleware.doctor.finding import Finding, fault, ok
from tests.redis_server import HOST, Server, find_port, start
from tests.visits import CANARY, OPERATIONS

ROOT = Path(__file__).parent.parent
MEMORY = "storage: {runtime: {type: memory}}"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and what stands on standard output; nothing stands on the other one, and no secret on either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["coo", *arguments])
        with pytest.raises(SystemExit) as ending:
            main()
    out, err = capsys.readouterr()
    assert "" == err
    assert CANARY not in out
    return int(ending.value.code or 0), out


def write(folder: Path, text: str) -> str:
    (folder / "coo.yaml").write_text(text)
    return str(folder / "coo.yaml")


def without_figures(text: str) -> str:
    return re.sub(r"[0-9.]+", "0", text.replace("Redis", "Valkey"))


def redis_at(addr: str) -> str:
    return f"storage: {{runtime: {{type: redis, addr: 'redis://app:{CANARY}@{addr}'}}}}"


def test_warnings_are_no_fault(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A store that works exits 0, with one plain line for each finding and one below it for what to do."""
    code, out = run(capsys, "doctor", "--config", write(tmp_path, MEMORY))

    lines = out.splitlines()
    assert 0 == code
    assert "warning  persistence          nothing survives a restart" == lines[1]
    assert lines[2].endswith(" -> write type: sqlite for one machine, type: redis for several")
    assert OPERATIONS == [line.split()[1] for line in lines if " ms, the deadline is " in line]
    assert "faults: 0, warnings: 2" == lines[-1]


def test_the_configuration_is_coo_yaml_unless_another_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --config the file is coo.yaml in the working directory."""
    write(tmp_path, MEMORY)
    monkeypatch.chdir(tmp_path)

    assert 0 == run(capsys, "doctor")[0]


def test_a_fault_exits_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A server that is not there is a fault, and what to do stands below it."""
    code, out = run(capsys, "doctor", "--config", write(tmp_path, redis_at(f"{HOST}:{find_port()}")))

    assert 1 == code
    assert "fault    store" in out
    assert "-> see that the server runs" in out
    assert "faults: 1, warnings: 0" == out.splitlines()[-1]


def test_a_wrong_password_is_not_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, redis_server: Server
) -> None:
    """Neither form of the output holds the password that the server refused."""
    config = write(tmp_path, redis_at(redis_server.addr))

    assert [1, 1] == [run(capsys, "doctor", "--config", config, *form)[0] for form in ([], ["--json"])]


@pytest.mark.parametrize(
    "text", [f"storage: {{runtime: {{type: redis, passwort: {CANARY}}}}}", f"policy: [{CANARY}", ""]
)
def test_a_configuration_that_cannot_be_used_exits_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    """Each fault of the configuration is a finding with its file and line, and shows no value."""
    config = write(tmp_path, text)

    code, out = run(capsys, "doctor", "--config", config)

    assert 2 == code
    assert out.startswith(f"fault    configuration  {config}")


def test_a_configuration_that_is_not_there_exits_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file that is missing is a fault of the configuration, as JSON too."""
    code, out = run(capsys, "doctor", "--json", "--config", str(tmp_path / "none.yaml"))

    [finding] = json.loads(out)["findings"]
    assert (2, "fault", "configuration") == (code, finding["level"], finding["check"])
    assert "cannot be read" in finding["text"]


def test_json_is_one_document_with_the_fields_of_a_finding(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Standard output is one JSON document with the worst level as status, and figures as numbers."""
    code, out = run(capsys, "doctor", "--json", "--config", write(tmp_path, MEMORY))

    document = json.loads(out)
    assert (0, "warning") == (code, document["status"])
    assert {tuple(each.name for each in fields(Finding))} == {tuple(each) for each in document["findings"]}
    assert OPERATIONS == [each["check"] for each in document["findings"] if each["milliseconds"] is not None]


def test_the_status_is_the_worst_level(capsys: pytest.CaptureFixture[str]) -> None:
    """A status is ok when all is, and fault when anything is."""
    diagnosis.show_json([ok("a", "well")])
    diagnosis.show_json([ok("a", "well"), fault("b", "bad", "mend it")])

    decoder, out = json.JSONDecoder(), capsys.readouterr().out
    first, end = decoder.raw_decode(out)
    assert ["ok", "fault"] == [first["status"], json.loads(out[end:])["status"]]


def test_a_terminal_shows_colours_and_no_foreign_control(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a level has its colour; a name out of a store cannot move the cursor; brackets are no markup."""
    monkeypatch.setattr(
        diagnosis, "Console", lambda **options: Console(**options, force_terminal=True, color_system="standard")
    )

    diagnosis.show_lines([fault("expiry", "[red]usage:\x1b[2J:req", "delete\x07 it")])

    out = capsys.readouterr().out
    assert out.startswith("\x1b[1;31mfault  \x1b[0m  expiry  [red]usage:?[2J:req\n")
    assert "-> delete? it" in out


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """`coo doctor --help` tells what the exit codes mean."""
    code, out = run(capsys, "doctor", "--help")

    assert 0 == code
    assert "Exit code 0" in out


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The page's picture is the output at a server in that state, but for figures."""
    with start(tmp_path) as server:
        for setting in (("maxmemory", "256mb"), ("maxmemory-policy", "allkeys-lru"), ("save", "3600 1")):
            server.ask("CONFIG SET", *setting)
        server.ask("SET", "usage:openai:key1:req", "5")
        code, out = run(
            capsys, "doctor", "--config", write(tmp_path, redis_at(server.addr).replace(f"app:{CANARY}@", ""))
        )

    picture = (ROOT / "docs" / "doctor.md").read_text().split("```\n")[2]
    assert (0, without_figures(picture)) == (code, without_figures(out))


def test_the_module_is_the_command(tmp_path: Path) -> None:
    """`python -m coo_middleware` does what `coo` does."""
    command = [sys.executable, "-m", "coo_middleware", "doctor", "--config", write(tmp_path, MEMORY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert (0, "") == (done.returncode, done.stderr)
    assert "faults: 0, warnings: 2" == done.stdout.splitlines()[-1]


def test_the_project_installs_the_command() -> None:
    """The script `coo` and the extra `cli` of the project are what the install line speaks of."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["coo"].partition(":")

    assert main is getattr(import_module(module), name)
    assert f"{project['name']}[{next(iter(project['optional-dependencies']))}]" in INSTALL
    assert ["typer", "rich"] == [each.partition(">")[0] for each in project["optional-dependencies"]["cli"]]


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_install_line_is_printed(missing: str) -> None:
    """Where typer or rich is not installed, one line says what to install, and the exit code is 2."""
    code = f"import runpy, sys; sys.modules[{missing!r}] = None; runpy.run_module('coo_middleware')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert (2, "", f"{INSTALL}\n") == (done.returncode, done.stdout, done.stderr)
