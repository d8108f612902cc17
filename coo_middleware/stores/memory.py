"""MemoryStore: what one process remembers, until it ends."""

from __future__ import annotations

from collections import OrderedDict
from heapq import nsmallest
from itertools import islice
from sys import getsizeof
from time import time
from typing import TYPE_CHECKING, Final, Self

from coo_middleware.core.labels import check_labels
from coo_middleware.core.ledger import Ledger
from coo_middleware.core.window import span_of
from coo_middleware.stores import (
    HEAD_BYTES,
    LATENCY,
    CachePage,
    Points,
    RuntimeStore,
    Total,
    TotalsPage,
    new_purges,
)
from coo_middleware.stores.checks import (
    MOST_COUNTERS,
    check_amount,
    check_counter,
    check_increments,
    check_key,
    check_points,
    check_ttl,
    check_window,
    read_cursor,
)
from coo_middleware.stores.claims import Claims
from coo_middleware.stores.expiring import Expiring
from coo_middleware.stores.limit_checks import check_lease, check_reservation, check_settlements
from coo_middleware.stores.sums import Mean, Sum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from coo_middleware.core.labels import Purges
    from coo_middleware.core.limits import Admission, Settlement, Takes
    from coo_middleware.stores import Counter, Increment, StoreSettings
    from coo_middleware.stores.sums import Sums

# What is kept for a stored response beside the key and the value.
ENTRY_BYTES: Final = 200

_MAX_WRITERS: Final = 1024
_PAGE: Final = 1000


class MemoryStore(RuntimeStore):
    """Counters, responses and limits in this process's memory, for one event loop. No operation awaits, so that each is
    atomic.

    `usage_ttl_seconds`: how long a usage counter lives. `max_bytes`, `max_entries`: beyond either, the response least
    recently used leaves; a response that is larger than `max_bytes` is not stored. One leaves early by less than a
    thousandth of its time. `max_counters`: beyond it, the counter least recently written leaves, with its windows and
    its total. `clock`: wall-clock seconds.
    """

    in_process = True

    def __init__(
        self,
        *,
        usage_ttl_seconds: float = 60.0,
        max_bytes: int = 268_435_456,
        max_entries: int = 100_000,
        max_counters: int = 100_000,
        clock: Callable[[], float] = time,
    ) -> None:
        self._usage_ttl: Final = usage_ttl_seconds
        self._max_counters: Final = max_counters
        self._clock: Final = clock
        self._claims: Final = Claims(clock)
        self._ledger: Final = Ledger()
        self.purges = new_purges()
        self._counters: Final[OrderedDict[Counter, Sum | Mean]] = OrderedDict()
        # The counters by the order in which they were made, each with its number: a list of them goes by that.
        self._numbers: Final[dict[Counter, int]] = {}
        self._made = 0
        self._applied: Final[OrderedDict[str, int]] = OrderedDict()
        self._responses: Final[Expiring[str, bytes]] = Expiring(max_bytes, max_entries, _measure)

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> Self:
        """The store that the section `storage.runtime` describes."""
        return cls(
            usage_ttl_seconds=settings.usage_ttl_seconds,
            max_bytes=settings.max_bytes,
            max_entries=settings.max_entries,
        )

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        check_counter(provider, key_id, metric)
        counter = self._counters.get((provider, key_id, metric))
        return counter.value(self._clock()) if counter is not None else 0.0

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        check_counter(provider, key_id, metric)
        check_amount(value)
        now = self._clock()
        self._counter(provider, key_id, metric, now).set(value, now)

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        check_counter(provider, key_id, metric)
        check_amount(delta)
        now = self._clock()
        self._counter(provider, key_id, metric, now).add(delta, 1, now, 0.0)

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        check_counter(provider, key_id, metric)
        check_window(window_seconds)
        counter = self._counters.get((provider, key_id, metric))
        return counter.last(window_seconds, self._clock()) if counter is not None else 0.0

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        """Every increment since this object was made, or since its counter last had to leave."""
        check_counter(provider, key_id, metric)
        counter = self._counters.get((provider, key_id, metric))
        return counter.total if counter is not None else 0.0

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        """Applies a batch once; the numbers of the 1,024 writers that wrote last are remembered."""
        check_increments(increments)
        if sequence <= self._applied.get(writer, 0):
            return
        now = self._clock()
        for each in increments:
            counter = self._counter(each.provider, each.key_id, each.metric, now)
            counter.add(each.delta, each.samples, now, each.age)
        self._applied[writer] = sequence
        self._applied.move_to_end(writer)
        if len(self._applied) > _MAX_WRITERS:
            self._applied.popitem(last=False)

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        check_key(key)
        check_ttl(ttl_seconds)
        self._store(key, value, ttl_seconds)

    async def get_cache(self, key: str) -> bytes | None:
        check_key(key)
        found = self._responses.get(key, self._clock())
        return found[0] if found is not None else None

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        check_key(key)
        now = self._clock()
        found = self._responses.get(key, now)
        return (found[0], found[1] - now) if found is not None else None

    async def delete_cache(self, key: str) -> None:
        """Forgets what is stored under `key`, if anything, at once."""
        check_key(key)
        self._responses.drop(key)

    async def purge(self, labels: Sequence[str]) -> int:
        check_labels(labels)
        self.purges = self.purges.purge(labels)
        return self.purges.generation

    async def get_purges(self, since: int) -> Purges:
        return self.purges.since(since)

    async def list_cache(self, cursor: str = "") -> CachePage:
        found = nsmallest(_PAGE, (each for each in self._responses.items(self._clock()) if each[0] > cursor))
        heads = tuple((key, value[:HEAD_BYTES]) for key, value in found)
        return CachePage(heads, heads[-1][0] if len(heads) == _PAGE else "")

    async def list_totals(self, cursor: str = "") -> TotalsPage:
        after = read_cursor(cursor)
        names = [*islice((name for name, number in self._numbers.items() if number > after), MOST_COUNTERS)]
        totals = tuple(Total(*name, self._counters[name].total) for name in names)
        return TotalsPage(totals, str(self._numbers[names[-1]]) if len(names) == MOST_COUNTERS else "")

    async def read_points(self, counters: Sequence[Counter], window_seconds: int) -> Points:
        check_points(counters, window_seconds)
        span = span_of(window_seconds, self._clock())
        found = (self._counters.get(each) for each in counters)
        values = (span.spread([]) if each is None else each.spread(span) for each in found)
        return Points(span.begins, span.size, tuple(map(tuple, values)))

    async def claim(self, key: str, owner: str, lease_seconds: float) -> str:
        return self._claims.claim(key, owner, lease_seconds)

    async def release(self, key: str, owner: str) -> None:
        self._claims.release(key, owner)

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        check_reservation(ticket, choices, lease_seconds)
        return self._ledger.reserve(ticket, choices, lease_seconds, self._clock())

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        check_settlements(settlements)
        self._ledger.settle(settlements, self._clock())

    async def renew(self, settlements: Sequence[Settlement], lease_seconds: float) -> None:
        check_settlements(settlements)
        check_lease(lease_seconds)
        self._ledger.renew(settlements, lease_seconds, self._clock())

    async def ping(self) -> None:
        """Memory always answers."""

    def snapshot(self) -> tuple[dict[Counter, tuple[Sums, ...]], dict[str, bytes]]:
        """Copies of the counters, the least recently written first, and the responses that have not expired."""
        counters = {name: counter.snapshot() for name, counter in self._counters.items()}
        return counters, dict(self._responses.items(self._clock()))

    def restore(
        self, counters: Mapping[Counter, Sequence[Sums]], responses: Iterable[tuple[str, bytes, float]]
    ) -> None:
        """Takes what `snapshot` gave into an empty store: of a response its key, its value and its seconds to live."""
        for (provider, key_id, metric), sums in counters.items():
            self._counter(provider, key_id, metric, self._clock()).restore(sums)
        for key, value, ttl_seconds in responses:
            self._store(key, value, ttl_seconds)

    def _store(self, key: str, value: bytes, ttl_seconds: float) -> None:
        now = self._clock()
        self._responses.put(key, value, now, now + ttl_seconds)

    def _counter(self, provider: str, key_id: str, metric: str, now: float) -> Sum | Mean:
        name = provider, key_id, metric
        counter = self._counters.get(name)
        if counter is not None:
            self._counters.move_to_end(name)
            return counter
        counter = self._counters[name] = (Mean if metric == LATENCY else Sum)(now, self._usage_ttl)
        self._made += 1
        self._numbers[name] = self._made
        # Names may come from callers: a flood of made-up ones must fill neither the memory nor push out a busy counter.
        if len(self._counters) > self._max_counters:
            oldest, _ = self._counters.popitem(last=False)
            del self._numbers[oldest]
        return counter


def _measure(key: str, value: bytes) -> int:
    return ENTRY_BYTES + getsizeof(key) + getsizeof(value)
