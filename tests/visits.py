"""Visits of the doctor to stores of the tests, with secrets that must appear nowhere."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from coo_middleware.config import make_config
from coo_middleware.doctor import examine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coo_middleware.doctor.finding import Finding

CANARY = "hunter2canary-and-more"
OPERATIONS = [
    "ping",
    "set_cache",
    "get_cache",
    "delete_cache",
    "increment_usage",
    "get_usage_in_window",
    "get_usage",
    "get_total",
    "apply",
    "set_usage",
]


async def visit(*, clock: Callable[[], float] = time, **runtime: object) -> list[Finding]:
    """What the doctor finds at the store of `runtime`, among which is no secret."""
    findings = await examine(make_config({"storage": {"runtime": runtime}}), clock=clock)
    assert CANARY not in repr(findings)
    return findings


def bad(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Level and check of what is not well; each has a remedy, and nothing else has one."""
    assert [] == [each for each in findings if (each.level == "ok") == bool(each.remedy)]
    return [(each.level, each.check) for each in findings if each.level != "ok"]


def the(check: str, findings: Sequence[Finding]) -> Finding:
    """The only finding of a check."""
    [finding] = [each for each in findings if each.check == check]
    return finding
