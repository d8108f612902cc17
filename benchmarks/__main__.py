"""Runs the sections, each in a process of its own, and writes what they found: `make bench`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.effort import FULL, QUICK
from benchmarks.machine import describe_machine
from benchmarks.report import write
from benchmarks.results import Results
from benchmarks.sections import SECTIONS, run_apart
from benchmarks.targets import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT: Final = Path(__file__).parent.parent


def main(arguments: Sequence[str]) -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute, with fewer rounds and smaller counts")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="these sections")
    parser.add_argument("--seed", type=int, default=FULL.seed, help="of the order in a round")
    parser.add_argument("--litellm", action="store_true", help="LiteLLM's proxy too, which `make bench` installs then")
    parser.add_argument("--publish", action="store_true", help="write into docs/, else into dist/benchmarks/")
    wanted = parser.parse_args(arguments)
    effort = replace(QUICK if wanted.quick else FULL, seed=wanted.seed)
    facts, found = describe_machine(wanted.seed), Results()
    for name in wanted.only:
        section = run_apart(name, effort, litellm=wanted.litellm)
        sys.stdout.write("\n".join(table.to_markdown() for table in section.tables) + "\n")
        found.add(section)
    found.tables.insert(0, judge(found.figures))
    write(_ROOT / "docs" if wanted.publish else _ROOT / "dist" / "benchmarks", facts, found)


if __name__ == "__main__":
    main(sys.argv[1:])
