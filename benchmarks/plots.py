"""Bars on a logarithmic scale, as SVG."""

from __future__ import annotations

from html import escape
from math import floor, log10
from typing import TYPE_CHECKING, Final

from benchmarks import contenders

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDTH: Final = 760
_LEFT: Final = 210
_RIGHT: Final = 90
_ROW: Final = 22
_TOP: Final = 40
# Readable on a light page and on a dark one.
_TEXT: Final = "#808890"
_OWN: Final = "#2f81f7"
_OTHERS: Final = "#8b949e"
_FLOORS: Final = "#c9b458"
_PLOTS: Final = {
    "bench-hit": ("A hit of 4 KB in process, microseconds", "hit/4 KB", "µs"),
    "bench-miss": ("A miss of 4 KB in process, microseconds", "miss/4 KB", "µs"),
    "bench-sockets": ("Hits of 4 KB over sockets, requests a second", "sockets, hit/4 KB", "req/s"),
}


def plot_all(figures: Mapping[str, float]) -> dict[str, str]:
    """The plots of what was measured, by name."""
    plots = {}
    for name, (title, mode, part) in _PLOTS.items():
        values = {
            key.removeprefix(f"{mode}/").removesuffix(f"/{part}"): value
            for key, value in figures.items()
            if key.startswith(f"{mode}/") and key.endswith(f"/{part}")
        }
        if values:
            plots[name] = draw(title, values)
    return plots


def draw(title: str, values: Mapping[str, float]) -> str:
    """One bar a value, each of them above 0."""
    least = 10 ** floor(log10(min(values.values())))
    scale = (_WIDTH - _LEFT - _RIGHT) / log10(max(values.values()) / least)
    rows = [
        _draw_row(_TOP + number * _ROW, name, value, scale * log10(value / least))
        for number, (name, value) in enumerate(values.items())
    ]
    height = _TOP + len(values) * _ROW + 10
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{_TEXT}" role="img">'
    )
    caption = f"{escape(title)}; logarithmic, from {least:g}"
    return "\n".join([head, f"<title>{caption}</title>", f'<text x="10" y="22">{caption}</text>', *rows, "</svg>", ""])


def _draw_row(top: int, name: str, value: float, length: float) -> str:
    own = name.startswith(contenders.OURS.name)
    is_floor = name in {each.name for each in (contenders.BARE, contenders.PASS, contenders.LEAST, contenders.WHOLE)}
    colour = _OWN if own else _FLOORS if is_floor else _OTHERS
    shown = f"{value:.1f}" if value < 100 else f"{value:,.0f}"
    bar = f'<rect x="{_LEFT}" y="{top}" width="{max(1, length):.1f}" height="{_ROW - 6}" fill="{colour}"/>'
    label = f'<text x="{_LEFT - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
    return f'{label}{bar}<text x="{_LEFT + 6 + length:.1f}" y="{top + 13}">{shown}</text>'
