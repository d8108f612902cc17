"""The doctor's findings on standard output, for a person or for a program."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.doctor.finding import Finding, Level

_STYLES: Final[dict[Level, str]] = {"ok": "green", "warning": "yellow", "fault": "bold red"}


def show_lines(findings: Sequence[Finding]) -> None:
    """One line for each finding and one below it for what to do; colours on a terminal only."""
    # A line is never broken here: a program that reads it, and a terminal of any width, do better.
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    width = max(len(each.check) for each in findings)
    for each in findings:
        console.print(
            Text.assemble((f"{each.level:<7}", _STYLES[each.level]), f"  {each.check:<{width}}  {printable(each.text)}")
        )
        if each.remedy:
            console.print(f"{'':<{width + 9}}  -> {printable(each.remedy)}")
    counts = Counter(each.level for each in findings)
    console.print(f"\nfaults: {counts['fault']}, warnings: {counts['warning']}")


def show_json(findings: Sequence[Finding]) -> None:
    """One document: `status`, the worst level of all, and `findings` with the fields of Finding."""
    levels = {each.level for each in findings}
    status = next(each for each in ("fault", "warning", "ok") if each in levels)
    print(json.dumps({"status": status, "findings": [asdict(each) for each in findings]}, indent=2))  # noqa: T201


def printable(text: str) -> str:
    """The text without what moves a terminal's cursor, as a key's name, or what a server says of itself, may have."""
    return "".join(each if each.isprintable() else "?" for each in text)
