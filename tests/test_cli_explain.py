"""`coo explain`: its exit codes, what it prints, and what it never prints."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from coo_middleware.cli import main
from tests.asgi import ANSWER, ask

ROOT = Path(__file__).parent.parent
PROMPT = "canary-prompt"
SECRET = "sk-canary-secret"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a configuration and some requests."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coo.yaml").write_text("policy: {}")
    (tmp_path / "a.json").write_bytes(ask(PROMPT, temperature=0.7, user="u"))
    (tmp_path / "b.json").write_bytes(ask(PROMPT + "\n", temperature=0.2))
    (tmp_path / "answer.json").write_bytes(ANSWER)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output, and the other one; no secret is on either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["coo", "explain", *arguments])
        with pytest.raises(SystemExit) as ending:
            main()
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    return int(ending.value.code or 0), out, err


def test_two_requests_are_compared(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Each request has its key, each difference its line, and no text of a prompt is printed."""
    code, out, err = run(capsys, "a.json", "b.json")

    lines = out.splitlines()
    assert (1, "") == (code, err)
    assert 2 == sum(line.startswith("  key       1") for line in lines)
    assert "counts      temperature  0.7 | 0.2" in lines
    assert (
        "normalized  messages[0].content  text of 13 characters | text of 14 characters, alike up to character 13"
        in lines
    )
    assert "left-out    user  text of 1 characters | absent" in lines
    assert "the keys differ: 1 of these differences count" == lines[-1]
    assert PROMPT not in out


def test_one_key_exits_0(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Nothing that counts, nothing against storing: 0; and the answer is judged where there is one."""
    code, out, _ = run(capsys, "a.json", "a.json", "--answer", "answer.json")

    assert 0 == code
    assert "  stored    yes" in out.splitlines()
    assert "the keys are equal" == out.splitlines()[-1]


def test_texts_are_shown_on_demand(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """With --show-text the texts that differ are printed, their line ends spelled out."""
    assert f'"{PROMPT}" | "{PROMPT}\\n"' in run(capsys, "a.json", "b.json", "--show-text")[1]


def test_credentials_are_never_printed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Another caller is told as such, whatever is asked for."""
    dump = {
        "headers": {"content-type": "application/json", "authorization": f"Bearer {SECRET}"},
        "body": ask().decode(),
    }
    (folder / "c.json").write_text(json.dumps(dump))

    for form in ([], ["--show-text"], ["--json", "--show-text"]):
        assert "request caller" in run(capsys, "a.json", "c.json", *form)[1]
    assert 0 == run(capsys, "a.json", "--header", f"x-api-key: {SECRET}")[0]


def test_a_bypass_and_what_to_do(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """A request that is not cached exits 1, with the reason and the remedy."""
    code, out, _ = run(capsys, "a.json", "--path", "/v1/files")

    assert 1 == code
    assert "  bypass    upload: The path takes files." in out.splitlines()


def test_why_an_answer_is_not_stored(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """An answer that is not stored exits 1, with the reason and the remedy."""
    (folder / "answer.json").write_bytes(ANSWER.replace(b'"stop"', b'"length"'))

    code, out, _ = run(capsys, "a.json", "--answer", "answer.json")

    assert 1 == code
    assert "  unstored  finish-reason: " in out
    assert "-> Raise the request's limit of tokens" in out


def test_json_is_one_document(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Standard output is one JSON document with the fields of a report."""
    code, out, _ = run(capsys, "a.json", "b.json", "--json")

    told = json.loads(out)
    assert (1, ["a.json", "b.json"], False) == (code, told["files"], told["equal"])
    assert {"a", "b", "equal", "differences", "left_off", "answer", "files"} == told.keys()


@pytest.mark.parametrize(
    "arguments",
    [
        ["none.json"],
        ["a.json", "--config", "none.yaml"],
        ["a.json", "--header", SECRET],
        ["bad.json"],
        ["a.json", "--answer", "none.json"],
    ],
)
def test_what_cannot_be_used_exits_2(capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str]) -> None:
    """A file, a header or a configuration that cannot be used is one line on the other output."""
    (folder / "bad.json").write_text(json.dumps({"headers": SECRET, "body": ""}))

    code, out, err = run(capsys, *arguments)

    assert (2, "", 1) == (code, out, err.count("\n"))


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """The page's two requests give the page's output, and its example of a reason is one."""
    page = (ROOT / "docs" / "explain.md").read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    a, b, expected, reason = (text for language, text in blocks if not language)
    (folder / "a.json").write_text(a)
    (folder / "b.json").write_text(b)
    (folder / "cut.json").write_text("data: {}\n\n")

    assert expected == run(capsys, "a.json", "b.json")[1]
    (folder / "a.json").write_bytes(ask(stream=True))
    assert reason in run(capsys, "a.json", "--answer", "cut.json")[1]
