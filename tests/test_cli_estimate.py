"""`coo estimate`: what a cache would have saved of the requests in a record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import CANARY, run, write_config

if TYPE_CHECKING:
    from pathlib import Path

USAGE = {"prompt_tokens": 30, "completion_tokens": 10}


def make_line(time: float | None, text: str = "hi", **members: object) -> dict[str, object]:
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": text}]}
    return {"time": time, "duration": 1.0, "body": body, "usage": USAGE, **members}


def write(folder: Path, *lines: object) -> str:
    path = folder / "access.jsonl"
    path.write_text("".join(each if isinstance(each, str) else f"{json.dumps(each)}\n" for each in lines))
    return str(path)


def estimate(folder: Path, *lines: object) -> dict[str, Any]:
    done = run("estimate", "--json", "--config", write_config(folder), write(folder, *lines))
    assert 0 == done.code
    told: dict[str, Any] = json.loads(done.out)
    return told


def test_hits_tokens_and_money(tmp_path: Path) -> None:
    """Equal requests within the lifetime are reused or shared; the prices are those of the configuration."""
    told = estimate(tmp_path, *(make_line(100 + time) for time in (0, 0.5, 30, 200)))["all"]

    assert (4, 1, 1, 2) == tuple(told[name] for name in ("requests", "hits", "collapsed", "misses"))
    assert (160, 80, 0.5) == (told["tokens"], told["tokens_saved"], told["hit_ratio"])
    assert [pytest.approx(4 * 0.05), pytest.approx(2 * 0.05)] == [told["cost"], told["cost_saved"]]


def test_failures_are_not_reused(tmp_path: Path) -> None:
    """By their status, or by the answer itself, which also tells the usage."""
    message = {"role": "assistant", "content": "ho"}
    cut = {"choices": [{"message": message, "finish_reason": "length", "index": 0}], "usage": USAGE}
    whole = {"choices": [{"message": message, "finish_reason": "stop", "index": 0}], "usage": USAGE}
    failed = [make_line(time, status=500) for time in (1, 10)]
    short = [make_line(time, "b", usage=None, answer={"status": 200, "body": cut}) for time in (11, 20)]
    good = [make_line(time, "c", usage=None, answer={"status": 200, "body": whole}) for time in (21, 30)]
    told = estimate(tmp_path, *failed, *short, *good)["all"]

    assert (6, 1, 5, 0) == tuple(told[name] for name in ("requests", "hits", "misses", "unmeasured"))
    assert (240, 40) == (told["tokens"], told["tokens_saved"])


def test_callers_do_not_share(tmp_path: Path) -> None:
    """The configured policy decides, as it does in the service."""
    lines = [make_line(1, headers={"content-type": "application/json", "authorization": f"Bearer {n}"}) for n in "ab"]

    assert 0 == estimate(tmp_path, *lines)["all"]["hits"]


def test_unreadable_lines_are_counted_and_told(tmp_path: Path) -> None:
    """The first of them by their numbers on standard error, without what stands in them; they are not fatal."""
    lines = [make_line(1), f"{CANARY}\n", *[f"[{CANARY}\n"] * 6, "\n", make_line(5), make_line(9, status=CANARY)]
    done = run("estimate", "--config", write_config(tmp_path), write(tmp_path, *lines))

    assert 0 == done.code
    assert [f"line {n}: the line must be an object with body" for n in range(2, 7)] == done.err.splitlines()
    assert "8 lines cannot be read" in done.out.splitlines()


def test_lines_without_a_time_are_remarked(tmp_path: Path) -> None:
    """They count as coming with the one before."""
    done = run("estimate", "--config", write_config(tmp_path), write(tmp_path, *[make_line(None, duration=0)] * 3))

    row = next(line.split() for line in done.out.splitlines() if line.startswith("gpt-5"))
    assert ["gpt-5", "3", "2", "0", "0", "67%", "120", "80", "$0.15", "$0.10"] == row
    assert "a line without a time counts as coming with the one before: nothing expires in between" in done.out


def test_what_is_unknown_is_remarked(tmp_path: Path) -> None:
    """A usage or a price that is not known is not zero."""
    lines = [make_line(1, usage=None), make_line(2, path="/v1/none"), make_line(3, path="/mistral/v1/chat/completions")]
    told = estimate(tmp_path, *lines)

    assert (1, 1) == (told["all"]["unmeasured"], told["untouched"])


def test_an_earlier_line_counts_as_coming_then(tmp_path: Path) -> None:
    """A record that is written at the requests' ends is not in the order of their coming."""
    told = estimate(tmp_path, make_line(100), make_line(99.5), make_line(101.5))["all"]

    assert (1, 1, 1) == (told["misses"], told["collapsed"], told["hits"])


def test_standard_input_is_read(tmp_path: Path) -> None:
    """`-` stands for it."""
    line = json.dumps(make_line(1)).encode() + b"\n"
    done = run("estimate", "-", "--json", "--config", write_config(tmp_path), content=line * 3)

    assert 3 == json.loads(done.out)["all"]["requests"]


def test_a_file_that_is_missing_exits_2(tmp_path: Path) -> None:
    """With a line that names it."""
    done = run("estimate", str(tmp_path / "none"), "--config", write_config(tmp_path))

    assert (2, "") == (done.code, done.out)
    assert "No such file" in done.err


def test_models_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What callers make up beyond a bound is counted together."""
    monkeypatch.setattr("coo_middleware.cli.estimation._MOST_MODELS", 2)
    bodies = [{"model": f"m-{number}", "messages": []} for number in range(5)]
    told = estimate(tmp_path, *(make_line(1, body=body) for body in bodies))

    assert {"m-0", "m-1", "other"} == {each["model"] for each in told["models"]}
    assert 5 == told["all"]["requests"]
