"""What a run leaves: a page of tables, the same as JSON, and plots."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from benchmarks.plots import plot_all

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.results import Results

MARK: Final = "<!-- what follows is written by `make bench` -->\n"


def write(folder: Path, facts: Mapping[str, str], results: Results) -> None:
    """Writes benchmarks.md, benchmarks.json and the plots; what stands above the mark in a page that is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "benchmarks.md"
    above = page.read_text().partition(MARK)[0] if page.exists() else "# Benchmarks\n\n"
    images = folder / "images"
    images.mkdir(exist_ok=True)
    plots = plot_all(results.figures)
    for name, plot in plots.items():
        (images / f"{name}.svg").write_text(plot)
    shown = [f"![{name}](images/{name}.svg)\n" for name in plots]
    tables = [table.to_markdown() for table in results.tables]
    page.write_text(above + MARK + "\n" + "\n".join([_list(facts), *tables[:1], *shown, *tables[1:]]))
    document = {"facts": dict(facts), **asdict(results)}
    (folder / "benchmarks.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _list(facts: Mapping[str, str]) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in facts.items())
