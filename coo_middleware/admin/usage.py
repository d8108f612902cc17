"""`GET /usage`, `/usage/window` and `/totals`: the counters of the storage guide, and all counters since ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from coo_middleware.admin.counters import list_counters
from coo_middleware.admin.queries import read_filters, read_seconds
from coo_middleware.core.series import LABELS, read_series

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from coo_middleware.admin.counters import Listing
    from coo_middleware.admin.queries import Filters
    from coo_middleware.admin.room import Asked, Room
    from coo_middleware.stores import Total

# Each is a round trip of its own.
MOST_READ: Final = 1000

_AT_ONCE: Final = 16
_WINDOW: Final = 60


async def answer_usage(room: Room, asked: Asked) -> Mapping[str, object]:
    """What each metric of a key is in the current period. Raises NotListedError and StoreError."""
    return await _read_usage(room, asked, lambda each: room.store.get_usage(each.provider, each.key_id, each.metric))


async def answer_window(room: Room, asked: Asked) -> Mapping[str, object]:
    """What it was in the last `seconds`. Raises ValueError, NotListedError and StoreError."""
    seconds = read_seconds(asked.parameters, "seconds", _WINDOW)

    def read(total: Total) -> Awaitable[float]:
        return room.store.get_usage_in_window(total.provider, total.key_id, total.metric, seconds)

    return {"window_seconds": seconds, **await _read_usage(room, asked, read)}


async def answer_totals(room: Room, asked: Asked) -> Mapping[str, object]:
    """Every counter since the store was created. Raises NotListedError and StoreError."""
    listing = await list_counters(room.store)
    totals = [told for each in _choose(listing, read_filters(asked.parameters)) if (told := _tell(each))]
    return {"totals": totals, "is_complete": listing.is_complete}


async def _read_usage(room: Room, asked: Asked, read: Callable[[Total], Awaitable[float]]) -> dict[str, object]:
    listing = await list_counters(room.store)
    plain = [each for each in _choose(listing, read_filters(asked.parameters)) if read_series(each.metric) is None]
    found: dict[tuple[str, str], dict[str, float]] = {}
    for begin in range(0, min(len(plain), MOST_READ), _AT_ONCE):
        some = plain[begin : min(begin + _AT_ONCE, MOST_READ)]
        for each, value in zip(some, await asyncio.gather(*map(read, some)), strict=True):
            if value:
                found.setdefault((each.provider, each.key_id), {})[each.metric] = value
    usage = [{"provider": provider, "key": key, "metrics": metrics} for (provider, key), metrics in found.items()]
    return {"usage": usage, "is_complete": listing.is_complete and len(plain) <= MOST_READ}


def _choose(listing: Listing, filters: Filters) -> list[Total]:
    """The counters for whom filters let through; a metric without a model has every one."""
    return [
        each
        for each in listing.totals
        if filters.match(
            each.provider, each.key_id, series.labels[0] if (series := read_series(each.metric)) else filters.model
        )
    ]


def _tell(total: Total) -> dict[str, object]:
    series = read_series(total.metric)
    return {
        "provider": total.provider,
        "key": total.key_id,
        "metric": series.name if series else total.metric,
        "labels": dict(zip(LABELS[series.name], series.labels, strict=True)) if series else {},
        "value": total.value,
    }
