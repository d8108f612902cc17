"""RuntimeStore: all that the middleware remembers, behind six methods."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from secrets import randbits
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypeAlias

from coo_middleware.core.document import read_json
from coo_middleware.core.labels import START_BITS, Purges, begin_purges, check_labels, read_purges
from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores.checks import MAX_KEY_BYTES as MAX_KEY_BYTES
from coo_middleware.stores.checks import Increment as Increment
from coo_middleware.stores.checks import check_increments
from coo_middleware.stores.settings import RedisMode as RedisMode
from coo_middleware.stores.settings import StoreSettings as StoreSettings
from coo_middleware.stores.settings import StoreType as StoreType
from coo_middleware.stores.settings import read_section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from coo_middleware.core.limits import Admission, Settlement, Takes

# A counter by its provider, its key and its metric.
Counter: TypeAlias = tuple[str, str, str]

LATENCY: Final = "latency"
# Of a stored response so much is listed: an entry's labels are in it.
HEAD_BYTES: Final = 4096

_PURGES_KEY: Final = "coo:purges"
_PURGES_SECONDS: Final = 31_622_400.0

# A class is imported when it is asked for: nobody pays for another store's client.
_CLASSES: Final = {
    "memory": "coo_middleware.stores.memory:MemoryStore",
    "redis": "coo_middleware.stores.redis:RedisStore",
    "http": "coo_middleware.stores.http:HTTPStore",
    "file": "coo_middleware.stores.file:FileStore",
    "sqlite": "coo_middleware.stores.sqlite:SqliteStore",
}


class StoreError(Exception):
    """A store could not do what was asked. The cause is chained; the text names no secret and no prompt."""


class StoreAwayError(StoreError):
    """The store was not asked, since it is known to be out of reach; that was logged when it became known."""


class StoreBusyError(StoreError):
    """All connections are in use: the store itself may be well."""


@dataclass(frozen=True, slots=True)
class CachePage:
    """Some stored responses, each by its key and its first HEAD_BYTES; the cursor of the next page, "" at the end."""

    responses: tuple[tuple[str, bytes], ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """A counter, and the sum of every increment since the store was created; of `latency` the mean."""

    provider: str
    key_id: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class TotalsPage:
    """Some counters; the cursor of the next page, "" at the end."""

    totals: tuple[Total, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Points:
    """Buckets of `step_seconds`, the first of which began at `begins`, by the store's clock in seconds since 1970; the
    last is not over. Of each counter that was asked for the sum of each bucket, of `latency` its mean.
    """

    begins: float
    step_seconds: int
    values: tuple[tuple[float, ...], ...]


class RuntimeStore(ABC):
    """Usage counters and stored responses.

    A usage counter holds the traffic of the current period: it lives `usage_ttl_seconds` from its first increment and
    then reads 0. Every metric is a sum but `latency`, which is the mean, in milliseconds, of the samples that
    `increment_usage` added. Every failure surfaces as StoreError with its cause chained.

    `in_process`: its operations never wait, so it needs no deadline, no breaker and no first level in front.
    """

    in_process: ClassVar[bool] = False

    @abstractmethod
    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        """The counter's value in the current period, 0 when there is none."""

    @abstractmethod
    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        """Sets the counter and starts its period anew; windows and totals stay as they are."""

    @abstractmethod
    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        """Adds `delta` to the counter, its windows and its total, atomically."""

    @abstractmethod
    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        """The increments of the last `window_seconds`: accurate to 1 s up to 2 min, to 1 min up to 2 h, to 1 h up to
        35 d, the oldest bucket counted whole. Raises ValueError for a window that is not within 1 s and 35 d.
        """

    @abstractmethod
    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Stores `value` under `key` (any text up to 2 KiB) for `ttl_seconds`; ValueError unless that is above 0."""

    @abstractmethod
    async def get_cache(self, key: str) -> bytes | None:
        """The value, byte for byte, or None when there is none or it expired."""

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        """The value and for how many seconds the store will still have it, 0 when it cannot tell, as by default.

        A first level in the process keeps a response for that long and no longer.
        """
        value = await self.get_cache(key)
        return None if value is None else (value, 0.0)

    async def open(self) -> None:  # noqa: B027 -- not every store has something to open
        """Makes the store ready; harmless when it is."""

    async def close(self) -> None:  # noqa: B027 -- or to close
        """Lets go of connections and files; harmless when it has."""

    async def ping(self) -> None:
        """Raises StoreError unless the store answers."""
        await self.get_cache("coo:ping")

    async def delete_cache(self, key: str) -> None:
        """Forgets what is stored under `key`, if anything. By default it is overwritten and expires at once."""
        await self.set_cache(key, b"", 0.001)

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:  # noqa: ARG002
        """Applies a batch. `writer` numbers its batches from 1: a store that remembers the last number applies each
        batch once, however often it is sent. By default one increment after another, and a repeat counts again.
        Raises ValueError, with nothing applied, when an increment is not valid.
        """
        check_increments(increments)
        for each in increments:
            # A mean needs its samples one by one, a sum does not.
            times = each.samples if each.metric == LATENCY else 1
            for _ in range(times):
                await self.increment_usage(each.provider, each.key_id, each.metric, each.delta / times)

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        """Every increment since the store was created. By default those of the longest window, 35 days."""
        return await self.get_usage_in_window(provider, key_id, metric, LONGEST_WINDOW)

    async def purge(self, labels: Sequence[str]) -> int:
        """Purges every entry that has one of `labels` (core/labels.py), and returns the generation in which it did.
        Raises ValueError for what is no label. By default the purges are read and written again under a key of ours: of
        two at the same moment one may be lost.
        """
        check_labels(labels)
        return (await self._keep_purges((await self.get_purges(0)).purge(labels))).generation

    async def get_purges(self, since: int) -> Purges:  # noqa: ARG002
        """What was purged, at least what whoever knows all up to the generation `since` lacks."""
        value = await self.get_cache(_PURGES_KEY)
        try:
            return read_purges(read_json(value or b""))
        except ValueError:
            return await self._keep_purges(new_purges())

    async def list_cache(self, cursor: str = "") -> CachePage | None:  # noqa: ARG002
        """Some of the stored responses, beginning where the page before said: those that come or go meanwhile may be
        left out or listed twice. None, as by default, when this store cannot list them. Never on a request's way.
        """
        return None

    async def _keep_purges(self, purges: Purges) -> Purges:
        await self.set_cache(_PURGES_KEY, json.dumps(purges.document()).encode(), _PURGES_SECONDS)
        return purges

    async def claim(self, key: str, owner: str, lease_seconds: float) -> str:  # noqa: ARG002
        """Who leads the work on `key`: from now on, for `lease_seconds` by the store's clock, it is `owner` when nobody
        did or `owner` itself did; else the one whose lease still runs. By default everybody leads.
        """
        return owner

    async def release(self, key: str, owner: str) -> None:  # noqa: B027 -- by default nothing is held
        """Ends the lease on `key` if it is `owner`'s."""

    async def append_log(  # noqa: B027 -- by default nobody reads
        self, log: str, frames: Sequence[bytes], *, keep: int, ttl_seconds: float
    ) -> None:
        """Adds `frames` to the end of `log`, which keeps its last `keep` ones, and for `ttl_seconds` from now on."""

    async def read_log(self, log: str, place: str, wait_seconds: float) -> tuple[str, list[bytes]] | None:  # noqa: ARG002
        """The frames of `log` behind `place`, "" being its beginning, and the place behind them; where there are none
        yet it may wait for some, `wait_seconds` at most. None, as by default, when this store has no logs.
        """
        return None

    async def list_totals(self, cursor: str = "") -> TotalsPage | None:  # noqa: ARG002
        """Some of the counters with their totals, beginning where the page before said; each counter is on one page, a
        new one may be on none. None, as by default, when this store cannot list them. Never on a request's way.
        """
        return None

    async def read_points(
        self,
        counters: Sequence[Counter],  # noqa: ARG002
        window_seconds: int,  # noqa: ARG002
    ) -> Points | None:
        """The buckets of the last `window_seconds` of each counter, in one round trip: as long as `get_usage_in_window`
        says. None, as by default, when this store cannot tell them. Raises ValueError as that does.
        """
        return None

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission | None:  # noqa: ARG002
        """Takes the first of `choices` of which every limit has room, in one atomic step and by the store's clock, or
        nothing of any. A ticket is used once; unless it is settled or renewed, all that it took is given back after
        `lease_seconds`. ValueError for what core/limits.py refuses. None, as by default: this store keeps no limits.
        """
        return None

    async def settle(self, settlements: Sequence[Settlement]) -> None:  # noqa: B027 -- by default nothing is reserved
        """Puts what was used in the place of what was reserved; a ticket that has been settled stays as it is."""

    async def renew(self, settlements: Sequence[Settlement], lease_seconds: float) -> None:  # noqa: B027
        """Lets the leases of these tickets run for `lease_seconds` from now on; their amounts do not matter."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def new_purges() -> Purges:
    """The beginning of a store's purges."""
    return begin_purges(randbits(START_BITS))


def open_store(settings: StoreSettings | Mapping[str, object]) -> RuntimeStore:
    """The store that `settings` (or the section `storage.runtime` as a mapping) asks for, not opened yet. Raises
    ValueError when a mapping is not such a section, StoreError when the type is not built in.
    """
    if not isinstance(settings, StoreSettings):
        settings = read_section(settings)
    if settings.type not in _CLASSES:
        built_in = ", ".join(_CLASSES)
        raise StoreError(f"storage.runtime.type {settings.type!r} is not built in yet; use one of: {built_in}")
    module, _, name = _CLASSES[settings.type].partition(":")
    store: RuntimeStore = getattr(import_module(module), name).from_settings(settings)
    return store
