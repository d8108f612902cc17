"""Figures by provider, key and model, in the shape of the admin API's `GET /summary`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from coo_middleware.admin.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coo_middleware.cli.reading import Row

Group: TypeAlias = Literal["providers", "keys", "models"]
Told: TypeAlias = Mapping[str, object]

# What one row of each group is called by.
NAMES: Final[dict[Group, tuple[str, ...]]] = {
    "providers": ("provider",),
    "keys": ("provider", "key"),
    "models": ("model",),
}


def summarise(rows: Sequence[Row], seconds: int | None) -> Told:
    """The figures of all rows, and of each provider, key and model. `window_seconds` is None for all since the store
    was created.
    """
    groups: dict[str, object] = {group: tabulate(group, rows) for group in NAMES}
    return {"window_seconds": seconds, "all": _add_up(rows).document(), **groups}


def tabulate(group: Group, rows: Iterable[Row]) -> list[Told]:
    """The figures of each of a group that had a request, most requests first."""
    grouped: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        told = {"provider": row.provider, "key": row.key_id, "model": row.model}
        grouped[tuple(told[name] for name in NAMES[group])].append(row)
    added = [(names, _add_up(each)) for names, each in grouped.items()]
    added.sort(key=lambda each: (-each[1].requests, each[0]))
    return [
        {**dict(zip(NAMES[group], names, strict=True)), **figures.document()}
        for names, figures in added
        if figures.requests
    ]


def name_row(group: Group, told: Told) -> str:
    """What a row is called."""
    return "/".join(str(told.get(name, "")) for name in NAMES[group])


def find_figure(told: object, *path: str) -> float | None:
    """A figure, or one within another; None where there is none."""
    for name in path:
        told = told.get(name) if isinstance(told, Mapping) else None
    return float(told) if isinstance(told, int | float) else None


def find_rows(told: Told, group: Group) -> list[Told]:
    """The rows of a group."""
    rows = told.get(group)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _add_up(rows: Iterable[Row]) -> Figures:
    figures = Figures()
    for row in rows:
        figures.add(row.series, sum(row.values))
    return figures
