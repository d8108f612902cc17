"""`GET /series`: what was counted when, as lines of a chart."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from coo_middleware.admin.counters import list_counters, read_span
from coo_middleware.admin.figures import WHOLE_TYPES, find_quantile
from coo_middleware.admin.queries import WINDOW, read_choice, read_filters, read_seconds
from coo_middleware.core.series import DURATION, DURATION_SUM, FIRST_CHUNK, FIRST_CHUNK_SUM, LABELS, TOKENS_USED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coo_middleware.admin.counters import Line
    from coo_middleware.admin.room import Asked, Room

MOST_LINES: Final = 20
OTHER: Final = "other"

_TIMES: Final = (DURATION, FIRST_CHUNK)
METRICS: Final = tuple(name for name in LABELS if name not in (DURATION_SUM, FIRST_CHUNK_SUM))


async def answer_series(room: Room, asked: Asked) -> Mapping[str, object]:
    """The steps of the last `window` seconds of one `metric`, in a line for each of what `by` tells apart; of times, in
    seconds, the lines p50 and p95. Raises ValueError, NotListedError and StoreError.
    """
    parameters = asked.parameters
    metric = read_choice(parameters, "metric", METRICS)
    by = read_choice(parameters, "by", ("",) if metric in _TIMES else ("", "provider", "key", *LABELS[metric]))
    window = read_seconds(parameters, "window", WINDOW)
    span = await read_span(room.store, await list_counters(room.store), read_filters(parameters), window, (metric,))
    # It is work for a thread: requests go on meanwhile.
    lines = await asyncio.to_thread(_draw, span.lines, metric, by)
    return {
        "metric": metric,
        "by": by,
        "window_seconds": window,
        "begins": span.begins,
        "step_seconds": span.step_seconds,
        "times": span.times,
        "lines": lines,
        "is_complete": span.is_complete,
    }


def _draw(lines: Sequence[Line], metric: str, by: str) -> list[dict[str, object]]:
    return _find_quantiles(lines) if metric in _TIMES else _group(_choose(lines, by), by, metric)


def _choose(lines: Sequence[Line], by: str) -> list[Line]:
    """The lines that can be added up: types of tokens are parts of each other."""
    return [
        line for line in lines if by == "type" or line.series.name != TOKENS_USED or line.label("type") in WHOLE_TYPES
    ]


def _group(lines: Sequence[Line], by: str, metric: str) -> list[dict[str, object]]:
    """A line for each label, the largest first, and one for all beyond MOST_LINES."""
    groups: defaultdict[str, list[Sequence[float]]] = defaultdict(list)
    for line in lines:
        groups[line.label(by) if by else metric].append(line.values)
    ranked = sorted(((label, _add(values)) for label, values in groups.items()), key=lambda each: -sum(each[1]))
    rest = [values for _, values in ranked[MOST_LINES:]]
    ranked = [*ranked[:MOST_LINES], *([(OTHER, _add(rest))] if rest else [])]
    return [{"label": label, "values": values} for label, values in ranked]


def _add(values: Sequence[Sequence[float]]) -> list[float]:
    return [sum(step) for step in zip(*values, strict=True)]


def _find_quantiles(lines: Sequence[Line]) -> list[dict[str, object]]:
    steps: list[defaultdict[str, float]] = [defaultdict(float) for _ in (lines[0].values if lines else ())]
    for line in lines:
        for buckets, amount in zip(steps, line.values, strict=True):
            buckets[line.label("le")] += amount
    if not lines:
        return []
    return [
        {"label": f"p{percent}", "values": [find_quantile(buckets, percent / 100) for buckets in steps]}
        for percent in (50, 95)
    ]
