"""`coo top`: what goes on in this minute, on one screen."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final, TypeAlias

from rich.console import Group as Lines
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coo_middleware.cli.diagnosis import printable
from coo_middleware.cli.reading import Row
from coo_middleware.cli.summary import find_figure, find_rows, name_row, summarise
from coo_middleware.cli.terminal import open_console, show_amount, show_money, show_ratio, show_seconds
from coo_middleware.core.record import REQ, TOKENS
from coo_middleware.core.series import REQUESTS
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from rich.console import RenderableType

    from coo_middleware.cli.reading import StoreReader
    from coo_middleware.cli.summary import Group, Told
    from coo_middleware.core.providers import LLMProvider

WINDOW_SECONDS: Final = 60
# What is no row of a table: the head, the line of requests, both tables' heads, the blank lines and the last line.
_OTHER_LINES: Final = 12
_BARS: Final = " ▁▂▃▄▅▆▇█"
_HEADS: Final = ("req/s", "hits", "tok/min", "cost", "errors", "p95")


@dataclass(frozen=True, slots=True)
class Used:
    """How much of a limit by the minute was used in the last one; `label` is `req` or `tok`."""

    label: str
    amount: float
    limit: int


Limits: TypeAlias = Mapping[str, Sequence[Used]]


@dataclass(frozen=True, slots=True)
class Load:
    """The last minute: its rows, and how much of their limits was used, by what their keys' rows are called."""

    rows: Sequence[Row]
    limits: Limits


async def read_load(reader: StoreReader, providers: Sequence[LLMProvider]) -> Load:
    """What the store has of the last minute. Raises ValueError where it cannot tell, and StoreError."""
    rows, limited = await reader.read_window(WINDOW_SECONDS), list(_list_limits(providers))
    counters = [(provider, key, metric) for provider, key, _, metric, _ in limited]
    values = await reader.read_buckets(counters, WINDOW_SECONDS)
    limits: defaultdict[str, list[Used]] = defaultdict(list)
    for (provider, key, label, _, limit), each in zip(limited, values, strict=True):
        limits[f"{provider}/{key}"].append(Used(label, sum(each), limit))
    return Load(rows, limits)


def make_frame(load: Load, title: str, height: int) -> RenderableType:
    """The screen: as many rows as there is room for, `height` lines in all."""
    told, most = summarise(load.rows, WINDOW_SECONDS), max(1, (height - _OTHER_LINES) // 2)
    keys, models = find_rows(told, "keys"), find_rows(told, "models")
    head = Text.assemble(("coo top", "bold"), f"  {printable(title)}, the last {WINDOW_SECONDS} s")
    return Lines(
        head,
        _make_summary(told.get("all")),
        Text(""),
        Text.assemble("requests/s  ", (draw_bars(count_requests(load.rows)), "cyan")),
        Text(""),
        _make_table("keys", keys[:most], load.limits),
        Text(""),
        _make_table("models", models[:most], {}),
        Text(f"\n{len(keys)} keys, {len(models)} models; q ends", style="dim"),
    )


async def print_frame(read: Callable[[], Awaitable[Load]], title: str) -> None:
    """Prints one screen, of a terminal's usual size where there is none."""
    console = open_console()
    console.print(make_frame(await read(), title, console.height))


async def show_top(read: Callable[[], Awaitable[Load]], title: str, *, every: float) -> None:
    """Shows the screen, anew `every` so many seconds, until somebody presses q; while the store does not answer, that.
    Raises ValueError where there is no terminal.
    """
    console = open_console()
    if not console.is_terminal:
        raise ValueError("coo top needs a terminal; --once prints one screen anywhere")
    with _await_q() as quits, Live(console=console, screen=True, auto_refresh=False) as live:
        while not quits.is_set():
            try:
                frame = make_frame(await read(), title, console.height)
            except StoreError as error:
                frame = Text(printable(str(error)), style="red")
            live.update(frame, refresh=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(quits.wait(), every)


def count_requests(rows: Sequence[Row]) -> list[float]:
    """The requests of each second."""
    counts = [row.values for row in rows if row.series.name == REQUESTS]
    return [sum(each) for each in zip(*counts, strict=False)]


def draw_bars(values: Sequence[float]) -> str:
    """A bar for each value, the highest one for the greatest, and what that is."""
    most = max(values, default=0.0)
    if most <= 0:
        return "none"
    bars = "".join(_BARS[ceil(8 * value / most)] for value in values)
    return f"{bars} {show_amount(most)}"


def _make_summary(told: object) -> Text:
    figures = (
        ("req/s", show_amount((find_figure(told, "requests") or 0.0) / WINDOW_SECONDS)),
        ("hit ratio", show_ratio(find_figure(told, "hit_ratio"))),
        ("tok/min", show_amount(find_figure(told, "tokens") or 0.0)),
        ("saved/min", show_amount(find_figure(told, "tokens_saved") or 0.0)),
        ("errors", show_amount(find_figure(told, "failures") or 0.0)),
        ("p95", show_seconds(find_figure(told, "duration", "p95"))),
    )
    return Text("  ").join(Text.assemble(f"{name} ", (value, "bold")) for name, value in figures)


def _make_table(group: Group, rows: Sequence[Told], limits: Limits) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(group.removesuffix("s"), no_wrap=True, overflow="ellipsis", width=24)
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    if limits:
        table.add_column("limits", no_wrap=True)
    for row in rows:
        name = name_row(group, row)
        used = (_show_limits(limits.get(name, ())),) if limits else ()
        table.add_row(Text(printable(name)), *_cells(row), *used)
    return table


def _cells(told: Told) -> list[str]:
    return [
        show_amount((find_figure(told, "requests") or 0.0) / WINDOW_SECONDS),
        show_ratio(find_figure(told, "hit_ratio")),
        show_amount(find_figure(told, "tokens") or 0.0),
        show_money(find_figure(told, "cost") or 0.0),
        show_amount(find_figure(told, "failures") or 0.0),
        show_seconds(find_figure(told, "duration", "p95")),
    ]


def _show_limits(used: Sequence[Used]) -> Text:
    """Each limit by the share that is used, in red from nine tenths on."""
    told = [
        Text(f"{each.label} {show_ratio(each.amount / each.limit)}", "red" if each.amount >= 0.9 * each.limit else "")
        for each in used
    ]
    return Text(" ").join(told)


def _list_limits(providers: Sequence[LLMProvider]) -> Iterator[tuple[str, str, str, str, int]]:
    """Provider, key, label, metric and limit of each that counts by the minute."""
    for provider in providers:
        numbered = [(f"{provider.id}-{place}", provider.limits) for place, _ in enumerate(provider.api_keys, 1)]
        for key, limits in (*numbered, *((each.id, each.limits or provider.limits) for each in provider.keys)):
            for label, metric, limit in (("req", REQ, limits.req_per_min), ("tok", TOKENS, limits.tokens_per_min)):
                if limit:
                    yield provider.id, key, label, metric, limit


@contextmanager
def _await_q() -> Iterator[asyncio.Event]:
    """An event that is set when q is pressed, or the terminal is gone."""
    quits = asyncio.Event()
    if not sys.stdin.isatty():
        yield quits
        return
    # Not everywhere is there a terminal of this kind.
    import termios
    import tty

    def read() -> None:
        typed = os.read(place, 64)
        if not typed or b"q" in typed.lower():
            quits.set()

    place, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(place)
    tty.setcbreak(place)
    loop.add_reader(place, read)
    try:
        yield quits
    finally:
        loop.remove_reader(place)
        termios.tcsetattr(place, termios.TCSADRAIN, before)
