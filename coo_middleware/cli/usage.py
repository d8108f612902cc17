"""`coo usage`: what was asked, reused, spent and saved, by provider, key and model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from coo_middleware.cli.diagnosis import printable
from coo_middleware.cli.summary import NAMES, find_figure, find_rows, name_row, summarise
from coo_middleware.cli.terminal import (
    open_console,
    show_amount,
    show_money,
    show_ratio,
    show_seconds,
    write_json,
)
from coo_middleware.core.session import read_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from coo_middleware.cli.reading import StoreReader
    from coo_middleware.cli.summary import Group, Told

# The columns, and those that there is no room for on a narrow terminal.
_HEADS: Final = (
    *("requests", "reused", "hit\nratio", "tokens\nin", "tokens\nout", "tokens\nsaved"),
    *("cost", "cost\nsaved", "errors", "mean", "p95"),
)
_WIDE_ONLY: Final = ("reused", "mean")
_NARROW: Final = 100


def read_span(text: str) -> int | None:
    """The seconds that `60`, `5m` or `1h` means, None for `total`. Raises ValueError."""
    if text == "total":
        return None
    try:
        return int(read_session(text if text[-1:].isalpha() else f"{text}s"))
    except ValueError:
        raise ValueError("--window: must be total, or 1s to 35d, such as 60, 5m, 1h or 7d") from None


async def read_usage(reader: StoreReader, seconds: int | None) -> Told:
    """The usage that a store has. Raises ValueError where it cannot tell, and StoreError."""
    rows = await (reader.read_totals() if seconds is None else reader.read_window(seconds))
    return summarise(rows, seconds)


async def show_usage(
    read: Callable[[], Awaitable[Told]], title: str, *, as_json: bool, every: float | None = None
) -> None:
    """Shows the usage, once or `every` so many seconds until it is interrupted."""
    console, again = open_console(), every is not None
    while True:
        usage = await read()
        if again and console.is_terminal and not as_json:
            console.clear()
        if as_json:
            write_json(usage, lines=again)
        else:
            console.print(f"{title}, {_describe_span(find_figure(usage, 'window_seconds'))}")
            for group in NAMES:
                console.print("", make_table(group, usage, console.width), sep="\n")
        if every is None:
            return
        await asyncio.sleep(every)


def make_table(group: Group, usage: Told, width: int) -> Table:
    """The table of one group, for a terminal of `width`, 80 or more; behind providers a line for all."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(group.removesuffix("s"), no_wrap=True, overflow="ellipsis", max_width=32)
    left_out = _WIDE_ONLY if width < _NARROW else ()
    shown = [place for place, head in enumerate(_HEADS) if head not in left_out]
    for place in shown:
        table.add_column(_HEADS[place], justify="right", no_wrap=True)
    for row in find_rows(usage, group):
        cells = _cells(row)
        table.add_row(Text(printable(name_row(group, row))), *(cells[place] for place in shown))
    if group == "providers":
        cells = _cells(usage.get("all"))
        table.add_row("all", *(cells[place] for place in shown), style="bold")
    return table


def _cells(told: object) -> list[str]:
    def amount(*path: str) -> float:
        return find_figure(told, *path) or 0.0

    return [
        show_amount(amount("requests")),
        show_amount(amount("hits") + amount("stale") + amount("collapsed")),
        show_ratio(find_figure(told, "hit_ratio")),
        show_amount(amount("tokens_by_type", "input")),
        show_amount(amount("tokens_by_type", "output")),
        show_amount(amount("tokens_saved")),
        show_money(amount("cost")),
        show_money(amount("cost_saved")),
        show_amount(amount("failures")),
        show_seconds(find_figure(told, "duration", "mean")),
        show_seconds(find_figure(told, "duration", "p95")),
    ]


def _describe_span(seconds: float | None) -> str:
    return "since the store was created" if seconds is None else f"the last {seconds:.0f} s"
