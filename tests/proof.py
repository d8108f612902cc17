"""Long proofs are ordinary tests with larger counts: `make proof` sets COO_PROOF, and prints what they report."""

from __future__ import annotations

import os
from typing import Final

# How many times as long they run; at FULL the counts are those of docs/proof.md.
PROOF: Final = int(os.environ.get("COO_PROOF", "1"))
FULL: Final = 30

# What the tests of this process have found out.
figures: Final[list[str]] = []


def choose(few: int, many: int) -> int:
    """`many` in a full proof, else `few`."""
    return many if PROOF >= FULL else few


def report(figure: str) -> None:
    """Adds a line to what is printed after the tests."""
    figures.append(figure)
