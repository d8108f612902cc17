"""Which counters Redis has, listed page by page and never by a look through all keys; their totals and buckets."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from struct import unpack
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from coo_middleware.core.window import Span, level_of
from coo_middleware.stores import LATENCY, Points, Total, TotalsPage
from coo_middleware.stores.checks import MOST_COUNTERS
from coo_middleware.stores.redis_connect import Connections
from coo_middleware.stores.redis_layout import Layout, load_script, read_counter, write_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from coo_middleware.stores import Counter, Increment
    from coo_middleware.stores.redis_connect import Argument
    from coo_middleware.stores.redis_layout import Script

    # What a script is asked: its KEYS and its ARGV.
    Question: TypeAlias = tuple[list[str], list[Argument]]

_TOTALS: Final = load_script("redis_totals")
_POINTS: Final = load_script("redis_points")

# What a script does at once nobody else may do in between: so many totals, or buckets, take some milliseconds.
_TOTALS_AT_ONCE: Final = 500
_BUCKETS_AT_ONCE: Final = 12_000
_NAMES_AT_ONCE: Final = 500
_SCRIPTS_AT_ONCE: Final = 8

# Some 10 MB. What is forgotten is added once more, and so is what a server has lost.
_MOST_KNOWN: Final = 65_536
_KNOWN_SECONDS: Final = 600.0


class Index:
    """The names of all counters, a sorted set. Each is added by this object once in ten minutes, before it counts."""

    def __init__(self, connections: Connections, layout: Layout, clock: Callable[[], float] = monotonic) -> None:
        self._connections: Final = connections
        self._layout: Final = layout
        self._clock: Final = clock
        self._begun = clock()
        self._known: Final[set[Counter]] = set()
        self._missing: Final[dict[Counter, None]] = {}

    async def add(self, increments: Iterable[Increment]) -> None:
        """Adds the counters of a batch. Counting matters more: names that the server does not take keep nobody from it,
        and are tried again with the next batch.
        """
        self._note(increments)
        with suppress(Exception):
            while some := [*islice(self._missing, _NAMES_AT_ONCE)]:
                members = [argument for each in some for argument in (0, write_counter(each))]
                await self._connections.execute("ZADD", self._layout.counters, *members)
                self._known.update(some)
                for each in some:
                    self._missing.pop(each, None)

    def _note(self, increments: Iterable[Increment]) -> None:
        if len(self._known) > _MOST_KNOWN or self._clock() >= self._begun + _KNOWN_SECONDS:
            self._known.clear()
            self._begun = self._clock()
        if len(self._missing) > _MOST_KNOWN:
            self._missing.clear()
        counters = ((each.provider, each.key_id, each.metric) for each in increments)
        self._missing.update((each, None) for each in counters if each not in self._known)


@dataclass(frozen=True, slots=True)
class Series:
    """Asks the index and the scripts; what is asked was checked."""

    connections: Connections
    layout: Layout

    async def list_totals(self, after: Counter | None) -> TotalsPage:
        """As RuntimeStore.list_totals, by the order of names. A counter whose total was evicted is left out."""
        begin = "-" if after is None else f"({write_counter(after)}"
        limit = ("BYLEX", "LIMIT", 0, MOST_COUNTERS)
        reply = await self.connections.execute("ZRANGE", self.layout.counters, begin, "+", *limit)
        names = [each.decode() for each in cast("list[bytes]", reply)]
        counters = [read_counter(each) for each in names]
        values = [b""] * len(counters)
        for places, found in await self._ask(_TOTALS, counters, _TOTALS_AT_ONCE, self._write_totals):
            for place, value in zip(places, found, strict=True):
                values[place] = value
        totals = (Total(*each, float(value)) for each, value in zip(counters, values, strict=True) if value)
        return TotalsPage(tuple(totals), names[-1] if len(names) == MOST_COUNTERS else "")

    async def read_points(self, now: str, counters: Sequence[Counter], window_seconds: float) -> Points:
        """As RuntimeStore.read_points, by the clock `now` in seconds, "" for the server's own. Where several tell the
        time, by the latest.
        """
        level = level_of(window_seconds)

        def write(some: Sequence[Counter]) -> Question:
            return [self.layout.window(*each, level.size) for each in some], [now, window_seconds, level.size]

        replies = await self._ask(_POINTS, counters, _BUCKETS_AT_ONCE // level.kept, write)
        spans = [Span(level.size, int(oldest), int(newest)) for _, (oldest, newest, *_) in replies]
        span = max(spans, key=attrgetter("newest"))
        values: list[tuple[float, ...]] = [()] * len(counters)
        for (places, (_, _, *found)), own in zip(replies, spans, strict=True):
            for place, floats in zip(places, found, strict=True):
                values[place] = _read_floats(floats, own, span)
        return Points(span.begins, span.size, tuple(values))

    async def _ask(
        self, script: Script, counters: Sequence[Counter], most: int, write: Callable[[Sequence[Counter]], Question]
    ) -> list[tuple[list[int], list[bytes]]]:
        """The replies of as many scripts as it takes, each with the places of the counters that it was asked for."""
        parts, replies = self._split(counters, most), list[tuple[list[int], list[bytes]]]()
        while some := list(islice(parts, _SCRIPTS_AT_ONCE)):
            questions = (write([counters[place] for place in places]) for places in some)
            asking = (self.connections.evaluate(script, keys, arguments) for keys, arguments in questions)
            found = await asyncio.gather(*asking, return_exceptions=True)
            for places, reply in zip(some, found, strict=True):
                if isinstance(reply, BaseException):
                    raise reply
                replies.append((places, cast("list[bytes]", reply)))
        return replies

    def _split(self, counters: Sequence[Counter], most: int) -> Iterator[list[int]]:
        """The places of the counters that one script may touch, at most so many; none of none."""
        slots: defaultdict[str, list[int]] = defaultdict(list)
        for place, (provider, key_id, _) in enumerate(counters):
            slots[self.layout.slot(provider, key_id)].append(place)
        for places in slots.values() or [[]]:
            yield from (places[start : start + most] for start in range(0, len(places) or 1, most))

    def _write_totals(self, counters: Sequence[Counter]) -> Question:
        keys = [self.layout.counter("total", *each) for each in counters]
        return keys, ["mean" if metric == LATENCY else "sum" for _, _, metric in counters]


def _read_floats(floats: bytes, own: Span, span: Span) -> tuple[float, ...]:
    """A counter's buckets in `span`, as a script saw them in its own one."""
    if not floats:
        return (0.0,) * span.count
    values = unpack(f"<{own.count}d", floats)
    return values if own == span else tuple(span.spread(enumerate(values, own.oldest)))
