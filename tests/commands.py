"""The command `coo`, run in this process or in one of its own, and stores with something to tell."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from coo_middleware.cli.commands import app
from coo_middleware.core.outcome import Usage
from coo_middleware.core.record import Record, count_record
from coo_middleware.core.series import count_series
from coo_middleware.stores import Increment
from coo_middleware.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coo_middleware.core.record import CacheStatus, ErrorType

ROOT = Path(__file__).parent.parent
# Stands wherever a secret may.
CANARY = "hunter2canary-and-more"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


def run(*arguments: str, content: bytes = b"", env: Mapping[str, str] | None = None) -> Done:
    """Runs `coo` with `content` on standard input; no secret comes out of it."""
    told = CliRunner().invoke(app, arguments, input=content, env={"COLUMNS": "80", **(env or {})})
    assert CANARY not in told.output
    if told.exception and not isinstance(told.exception, SystemExit):
        raise told.exception
    return Done(told.exit_code, told.stdout, told.stderr)


def show(*arguments: str) -> list[str]:
    """The lines that `coo` shows on a terminal of 80x24, without their styles."""
    shown = run(*arguments, env={"LINES": "24", "TTY_COMPATIBLE": "1"}).out
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown).splitlines()]


def find_picture(begin: str) -> list[str]:
    """The lines of the block in docs/cli.md that begins so."""
    blocks = (ROOT / "docs" / "cli.md").read_text().split("```\n")
    return next(block for block in blocks if block.startswith(begin)).splitlines()


def start(*arguments: str, **options: int | None) -> subprocess.Popen[bytes]:
    """`coo` in a process of its own, all of whose ends are pipes unless `options` say otherwise."""
    command = [sys.executable, "-m", "coo_middleware", *arguments]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, cwd=ROOT, **{**pipes, **options})  # type: ignore[call-overload, no-any-return]


def write_config(folder: Path, name: str = "a") -> str:
    """A configuration of a database, with a provider's two keys of which the first has limits, and secrets."""
    path = folder / f"{name}.yaml"
    path.write_text(
        f"storage: {{runtime: {{type: sqlite, path: '{folder / name}.db'}}, api: {{api_key: {CANARY}}}}}\n"
        f"policy: {{secret: '{CANARY}', cache: {{ttl_seconds: 60}}}}\n"
        "llm_providers:\n"
        "  - id: openai\n"
        f"    keys: [{{id: first, secret: {CANARY}, limits: {{req_per_min: 10, tokens_per_min: 100}}}}]\n"
        f"    api_keys: [{CANARY}]\n"
        "    pricing: {input_token_cost: 1.0, output_token_cost: 2.0}\n"
    )
    return str(path)


def make_record(
    key_id: str = "first",
    model: str = "gpt-5",
    *,
    cache_status: CacheStatus = "miss",
    error_type: ErrorType = "",
    duration: float = 0.5,
    provider: str = "openai",
) -> Record:
    """A request of 30 input and 10 output tokens, 0.05 dollars and half a second."""
    status = 500 if error_type else 200
    named = (provider, key_id, "chat", model, status, cache_status)
    return Record(*named, Usage(30, 10), duration, error_type, "", cost=0.05)


RECORDS = (
    *[make_record()] * 2,
    *[make_record(cache_status="hit", duration=0.002)] * 2,
    make_record("openai-1", "o4-mini", error_type="status"),
    make_record("openai-1", "[red]\x1b[2J", cache_status="bypass"),
)


def count(path: Path, records: Sequence[Record] = RECORDS, ages: Sequence[float] = ()) -> None:
    """Counts the records in the database at `path`, as a service would, each as many seconds ago."""

    async def apply() -> None:
        increments = [
            Increment(record.provider, record.key_id, metric, amount, age=age)
            for record, age in zip(records, ages or [0.0] * len(records), strict=True)
            for metric, amount in (*count_record(record), *count_series(record))
        ]
        async with SqliteStore(path=path) as store:
            await store.apply("tests", 1, increments)

    asyncio.run(apply())


def count_minute(folder: Path) -> str:
    """The configuration of a store with a minute's requests to two providers: those of the pictures in docs/cli.md."""
    dice = Random(7)  # noqa: S311 -- not for secrets
    told: list[Record] = []
    for _ in range(420):
        provider, key_id, model = dice.choice(
            [
                ("openai", "first", "gpt-5-mini"),
                ("openai", "second", "gpt-5"),
                ("anthropic", "team", "claude-sonnet-4-5"),
            ]
        )
        is_hit, failed = dice.random() < 0.4, dice.random() < 0.01
        usage = Usage(dice.randint(80, 900), dice.randint(20, 300))
        status: CacheStatus = "hit" if is_hit else "miss"
        named = (provider, key_id, "chat", model, 500 if failed else 200, status)
        duration = dice.uniform(0.001, 0.003) if is_hit else dice.lognormvariate(0, 0.6)
        told.append(Record(*named, usage, duration, "status" if failed else "", "", cost=usage.tokens * 2e-6))
    count(folder / "minute.db", told, [45 * dice.random() ** 1.5 for _ in told])
    path = folder / "coo.yaml"
    path.write_text(
        f"storage: {{runtime: {{type: sqlite, path: '{folder / 'minute.db'}'}}}}\n"
        "llm_providers:\n"
        "  - {id: openai, keys: [{id: first, secret: a}, {id: second, secret: b}], limits: {req_per_min: 200}}\n"
        "  - {id: anthropic, keys: [{id: team, secret: c}], limits: {req_per_min: 150, tokens_per_min: 80000}}\n"
    )
    return str(path)
