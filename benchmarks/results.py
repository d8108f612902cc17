"""What a section of the harness gives: tables for readers, figures by name for what is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field

Cell = str | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under `columns`; `note` says what they mean."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def to_markdown(self) -> str:
        """The table as a part of a page."""
        lines = [self.columns, ("---",) * len(self.columns), *(tuple(map(_show, row)) for row in self.rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"### {self.title}\n\n{self.note}\n\n{table}\n"


@dataclass(frozen=True, slots=True)
class Results:
    """`figures` are named `mode/size/contender/what`."""

    tables: list[Table] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, other: Results) -> None:
        """Takes in what another section gave."""
        self.tables.extend(other.tables)
        self.figures.update(other.figures)


def _show(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell.replace("|", "\\|")
    if cell and abs(cell) < 10:
        return f"{cell:.2f}" if abs(cell) >= 0.1 else f"{cell:.2g}"
    return f"{cell:.1f}" if abs(cell) < 100 else f"{cell:,.0f}"
