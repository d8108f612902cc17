"""`GET /summary`: a window in figures, as the dashboard shows it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.admin.counters import list_counters, read_span
from coo_middleware.admin.figures import Figures
from coo_middleware.admin.queries import WINDOW, read_filters, read_seconds
from coo_middleware.core.series import read_series

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from coo_middleware.admin.counters import Line, Listing, Span
    from coo_middleware.admin.room import Asked, Room

Count: TypeAlias = "tuple[Line, float]"

MOST_ROWS: Final = 100
MOST_CHOICES: Final = 1000


async def answer_summary(room: Room, asked: Asked) -> Mapping[str, object]:
    """The figures of the last `window` seconds: of all, and of each provider, key and model. Raises ValueError,
    NotListedError and StoreError.
    """
    window, filters = read_seconds(asked.parameters, "window", WINDOW), read_filters(asked.parameters)
    listing = await list_counters(room.store)
    span = await read_span(room.store, listing, filters, window)
    # It is work for a thread: requests go on meanwhile.
    return {"window_seconds": window, **await asyncio.to_thread(_add_up, listing, span)}


def _add_up(listing: Listing, span: Span) -> dict[str, object]:
    counts = [(line, amount) for line in span.lines if (amount := sum(line.values))]
    return {
        "begins": span.begins,
        "step_seconds": span.step_seconds,
        "is_complete": span.is_complete,
        "choices": _list_choices(listing),
        "all": _make_figures(counts).document(),
        "providers": _tabulate(counts, ("provider",)),
        "keys": _tabulate(counts, ("provider", "key")),
        "models": _tabulate(counts, ("model",)),
    }


def _make_figures(counts: Iterable[Count]) -> Figures:
    figures = Figures()
    for line, amount in counts:
        figures.add(line.series, amount)
    return figures


def _tabulate(counts: Iterable[Count], names: tuple[str, ...]) -> list[dict[str, object]]:
    """A row for each of what the names tell apart, most requests first."""
    groups: defaultdict[Hashable, list[Count]] = defaultdict(list)
    owners: dict[Hashable, dict[str, object]] = {}
    for line, amount in counts:
        told = {"provider": line.provider, "key": line.key, "model": line.series.labels[0]}
        owner = tuple(told[name] for name in names)
        owners[owner] = {name: told[name] for name in names}
        groups[owner].append((line, amount))
    rows = [(_make_figures(group), owner) for owner, group in groups.items()]
    rows.sort(key=lambda row: -row[0].requests)
    return [owners[owner] | figures.document() for figures, owner in rows[:MOST_ROWS]]


def _list_choices(listing: Listing) -> dict[str, object]:
    """By what the figures may be filtered."""
    found = [(total, series) for total in listing.totals if (series := read_series(total.metric)) is not None]
    keys = sorted({(total.provider, total.key_id) for total, _ in found})
    return {
        "providers": sorted({provider for provider, _ in keys})[:MOST_CHOICES],
        "keys": [{"provider": provider, "key": key} for provider, key in keys[:MOST_CHOICES]],
        "models": sorted({series.labels[0] for _, series in found})[:MOST_CHOICES],
    }
