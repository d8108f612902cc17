"""Metrics for Prometheus: what this process has counted itself, and what all have, as the store has it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from coo_middleware.core.families import (
    BUILD_INFO,
    CHUNK_GAP,
    EVENTS_TOTAL,
    FLEET_PREFIX,
    OVERHEAD,
    OWN_FAMILIES,
    PROCESS_PREFIX,
    SHARED_FAMILIES,
    STORE_TIME,
    Family,
    add_up,
    find_place,
    put_time,
)
from coo_middleware.core.label_values import NAMELESS, LabelValues, Ration, rank
from coo_middleware.core.series import BOUNDS, count_series, read_series
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from coo_middleware.core.exports import PrometheusExport
    from coo_middleware.core.record import Record
    from coo_middleware.stores import RuntimeStore, Total

Cells: TypeAlias = "dict[tuple[Family, tuple[str, ...]], list[float]]"

# For so long a reading of the store answers, in seconds: scrapers that come together cost one.
_KEPT_SECONDS: Final = 1.0
# Prometheus waits no longer, unless it is told to.
_MOST_SECONDS: Final = 10.0
# A store with more counters is not read to its end, and what is not the whole would be no total.
_MOST_COUNTERS: Final = 500_000
_MOST_PLACES: Final = 20_000
_BOUNDS: Final = (*map(floatToGoString, BOUNDS), "+Inf")


class NotListedError(Exception):
    """The store cannot list its counters."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a view has counted at one moment, and the names under which it is told."""

    prefix: str
    families: tuple[Family, ...]
    cells: Cells = field(repr=False)
    build: str = ""

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text that the field Accept asks for, Prometheus' own or OpenMetrics, and its content type."""
        registry = CollectorRegistry()
        registry.register(_Told(self))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type


class ProcessView:
    """What this process has counted since it started. `counts` are its own counters, `names` the labels' values."""

    __slots__ = ("_cells", "_counts", "_names", "_places", "_ration")

    def __init__(self, settings: PrometheusExport, names: LabelValues, counts: Callable[[], Mapping[str, int]]) -> None:
        self._names: Final = names
        self._counts: Final = counts
        self._ration: Final = Ration(settings.max_series)
        self._cells: Final[Cells] = {}
        self._places: Final[dict[tuple[str, ...], tuple[list[float], int]]] = {}

    def observe(self, record: Record) -> None:
        """Counts one request, provider, key and model being folded as configured."""
        provider, key, model = self._names.fold(record.provider, record.key_id, record.model or NAMELESS)
        for metric, amount in count_series(replace(record, model=model)):
            cells, cell = self._find(provider, key, metric)
            cells[cell] += amount
        if record.chunk_gap is not None:
            put_time(self._take(CHUNK_GAP, self._ration.admit(CHUNK_GAP, (provider, model))), record.chunk_gap)
        put_time(self._take(OVERHEAD, (record.cache_status,)), record.overhead)
        put_time(self._take(STORE_TIME, (record.cache_status,)), record.store_time)

    async def collect(self) -> Reading:
        """What was counted so far."""
        cells = {place: [*cells] for place, cells in self._cells.items()}
        cells |= {(EVENTS_TOTAL, (event,)): [float(count)] for event, count in self._counts().items()}
        return Reading(PROCESS_PREFIX, (*SHARED_FAMILIES, *OWN_FAMILIES), cells, version("coo-middleware"))

    def _find(self, *name: str) -> tuple[list[float], int]:
        if name not in self._places:
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            self._places[name] = self._open(*name)
        return self._places[name]

    def _open(self, provider: str, key: str, metric: str) -> tuple[list[float], int]:
        series = read_series(metric)
        place = find_place(provider, key, series.labels[0], series) if series else None
        assert place is not None  # noqa: S101 -- count_series makes nothing else
        return self._take(place.family, self._ration.admit(place.family, place.values)), place.cell

    def _take(self, family: Family, values: tuple[str, ...]) -> list[float]:
        return self._cells.setdefault((family, values), [0.0] * family.size)


class FleetView:
    """The totals of `store`: what all processes have counted since it was made. `now` gives seconds."""

    __slots__ = ("_lock", "_names", "_now", "_read_at", "_reading", "_settings", "_store")

    def __init__(
        self,
        store: RuntimeStore,
        settings: PrometheusExport,
        names: LabelValues,
        *,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._store: Final = store
        self._settings: Final = settings
        self._names: Final = names
        self._now: Final = now
        self._lock: Final = asyncio.Lock()
        self._reading: Reading | None = None
        self._read_at = 0.0

    async def collect(self) -> Reading:
        """What the store had up to a second ago. Raises StoreError, and NotListedError for a store that cannot tell."""
        async with self._lock:
            if self._reading is None or self._now() - self._read_at >= _KEPT_SECONDS:
                self._reading = None
                self._reading, self._read_at = await self._read_in_time(), self._now()
            return self._reading

    async def _read_in_time(self) -> Reading:
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                cells = await self._read()
        except TimeoutError as error:
            raise StoreError(f"the store did not list its counters within {_MOST_SECONDS:g} seconds") from error
        return Reading(FLEET_PREFIX, SHARED_FAMILIES, self._ration(cells))

    async def _read(self) -> Cells:
        cells: Cells = {}
        cursor, count = "", 0
        while True:
            page = await self._store.list_totals(cursor)
            if page is None:
                raise NotListedError
            count += 1 + len(page.totals)
            if count > _MOST_COUNTERS:
                raise StoreError(f"the store has more than {_MOST_COUNTERS:,} counters; too many to be told")
            self._add(cells, page.totals)
            cursor = page.cursor
            if not cursor:
                return cells
            # A store in this process answers without waiting, and others have requests to serve.
            await asyncio.sleep(0)

    def _add(self, cells: Cells, totals: Iterable[Total]) -> None:
        for total in totals:
            series = read_series(total.metric)
            if series is None:
                continue
            place = find_place(*self._names.fold(total.provider, total.key_id, series.labels[0]), series)
            if place is not None:
                name = (place.family, place.values)
                cells.setdefault(name, [0.0] * place.family.size)[place.cell] += total.value

    def _ration(self, cells: Cells) -> Cells:
        """The cells of no more series than may be. Every process draws the line at the same place."""
        ration = Ration(self._settings.max_series)
        left: Cells = {}
        for family, values in sorted(cells, key=lambda each: rank(*each)):
            kept = left.setdefault((family, ration.admit(family, values)), [0.0] * family.size)
            for cell, amount in enumerate(cells[family, values]):
                kept[cell] += amount
        return left


class _Told(Collector):
    """A reading as prometheus_client wants it."""

    def __init__(self, reading: Reading) -> None:
        self._reading: Final = reading

    def collect(self) -> Iterator[Metric]:
        reading = self._reading
        if reading.build:
            yield InfoMetricFamily(BUILD_INFO.removesuffix("_info"), "The version.", {"version": reading.build})
        sets: defaultdict[Family, list[tuple[tuple[str, ...], list[float]]]] = defaultdict(list)
        for (family, values), cells in reading.cells.items():
            sets[family].append((values, cells))
        for family in reading.families:
            yield _tell(reading.prefix, family, sets[family])


def _tell(prefix: str, family: Family, sets: Iterable[tuple[tuple[str, ...], list[float]]]) -> Metric:
    name = prefix + family.name
    if not family.is_histogram:
        counter = CounterMetricFamily(name.removesuffix("_total"), family.help, labels=family.labels)
        for values, (amount,) in sets:
            counter.add_metric(values, amount)
        return counter
    histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
    for values, cells in sets:
        buckets, total = add_up(cells)
        histogram.add_metric(values, [*zip(_BOUNDS, buckets, strict=True)], total)
    return histogram
