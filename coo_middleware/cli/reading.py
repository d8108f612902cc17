"""What `coo usage` and `coo top` read of a store: the series that it counts, in a window or since it was created."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from coo_middleware.core.series import Series, read_series, write_series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.stores import Counter, RuntimeStore, Total

# Which counters there are is asked for so often, and of so many at once how they stand.
LISTED_SECONDS: Final = 10.0
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One series of one provider's key, and its sums: of each bucket of a window, or the one total."""

    provider: str
    key_id: str
    series: Series
    values: tuple[float, ...]

    @property
    def model(self) -> str:
        """The first label of every series."""
        return self.series.labels[0]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of which series something is wanted, "" being all."""

    provider: str = ""
    key_id: str = ""
    model: str = ""

    def includes(self, row: Row) -> bool:
        """Whether `row` is wanted."""
        pairs = ((self.provider, row.provider), (self.key_id, row.key_id), (self.model, row.model))
        return all(name in ("", own) for name, own in pairs)


class StoreReader:
    """Reads the series of `store`. Raises ValueError where it cannot list its counters, and StoreError."""

    def __init__(self, store: RuntimeStore, wanted: Wanted) -> None:
        self._store: Final = store
        self._wanted: Final = wanted
        self._known: list[Row] = []
        self._ends = float("-inf")

    async def read_totals(self) -> list[Row]:
        """The sums since the store was created."""
        rows = [row for total in await list_totals(self._store) if (row := _read(total)) is not None]
        return [row for row in rows if self._wanted.includes(row)]

    async def read_window(self, seconds: int) -> list[Row]:
        """The buckets of the last `seconds`, of series that are no more than LISTED_SECONDS new; all of one length."""
        if monotonic() >= self._ends:
            self._known, self._ends = await self.read_totals(), monotonic() + LISTED_SECONDS
        counters = [
            (row.provider, row.key_id, write_series(row.series.name, *row.series.labels)) for row in self._known
        ]
        values = await self.read_buckets(counters, seconds)
        return [Row(row.provider, row.key_id, row.series, each) for row, each in zip(self._known, values, strict=True)]

    async def read_buckets(self, counters: Sequence[Counter], seconds: int) -> list[tuple[float, ...]]:
        """The buckets of each counter."""
        values: list[tuple[float, ...]] = []
        for begin in range(0, len(counters), _AT_ONCE):
            points = await self._store.read_points(counters[begin : begin + _AT_ONCE], seconds)
            if points is None:
                raise ValueError("this store cannot tell windows bucket by bucket; ask for --window total")
            values += points.values
        return values


async def list_totals(store: RuntimeStore) -> list[Total]:
    """Every counter of a store. Raises ValueError where it cannot list them, and StoreError."""
    totals: list[Total] = []
    cursor = ""
    while True:
        page = await store.list_totals(cursor)
        if page is None:
            raise ValueError("this store cannot list its counters")
        totals += page.totals
        cursor = page.cursor
        if not cursor:
            return totals


def _read(total: Total) -> Row | None:
    series = read_series(total.metric)
    return None if series is None else Row(total.provider, total.key_id, series, (total.value,))
