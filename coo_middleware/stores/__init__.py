"""RuntimeStore: all that the middleware remembers, behind six methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib import import_module
from sys import float_info
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self, TypeAlias

from annotated_types import Ge, Le

from coo_middleware.core.window import LONGEST_WINDOW, level_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

StoreType: TypeAlias = Literal["memory", "redis", "http", "file", "sqlite"]
RedisMode: TypeAlias = Literal["standalone", "sentinel", "cluster"]

LATENCY: Final = "latency"
MAX_KEY_BYTES: Final = 2048

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
class StoreSettings:
    """Settings under `storage.runtime`, with the storage guide's names."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    type: StoreType = "memory"
    """Which store keeps metrics and responses."""
    addr: str = field(default="", repr=False)
    """redis: host:port or a redis://, rediss:// or unix:// URL, in the modes sentinel and cluster several host:port
    with commas between them; http: the base URL."""
    mode: RedisMode = "standalone"
    """redis: one server, one found through sentinels, or a cluster."""
    master_name: str = ""
    """redis: by which name the sentinels know the server."""
    username: str = ""
    """redis: the ACL user."""
    password: str = field(default="", repr=False)
    """redis: the password."""
    sentinel_password: str = field(default="", repr=False)
    """redis: the password of the sentinels themselves."""
    tls_ca_file: str = ""
    """redis, http: the certificates to trust in place of the system's, for a rediss:// or https:// address."""
    tls_cert_file: str = ""
    """redis, http: our own certificate, for a server that asks for one."""
    tls_key_file: str = ""
    """redis, http: the key of that certificate, unless its file holds it."""
    key_prefix: str = ""
    """redis: what the name of every key begins with."""
    max_connections: Annotated[int, Ge(1), Le(10_000)] = 50
    """redis, http: the most connections open at once."""
    connect_timeout_seconds: Annotated[float, Ge(0.01), Le(60)] = 1.0
    """redis: the most that connecting may take, in seconds."""
    timeout_seconds: Annotated[float, Ge(0.01), Le(60)] = 1.0
    """redis, http: the most that one command or request may take, connecting included, in seconds."""
    api_key: str = field(default="", repr=False)
    """http: the bearer token."""
    path: str = ""
    """file, sqlite: where the data lies."""
    usage_ttl_seconds: Annotated[float, Ge(1), Le(86_400)] = 60.0
    """How long a usage counter lives from its first increment, in seconds."""
    max_bytes: Annotated[int, Ge(65_536)] = 268_435_456
    """memory, file, sqlite: the most that stored responses may take, in bytes."""
    max_entries: Annotated[int, Ge(1)] = 100_000
    """memory, file, sqlite: how many responses may be stored."""
    read_deadline_seconds: Annotated[float, Ge(0.001), Le(60)] = 0.1
    """All but memory: a look-up that takes longer is a miss, in seconds."""
    write_deadline_seconds: Annotated[float, Ge(0.001), Le(60)] = 0.25
    """All but memory: a write that takes longer has failed, in seconds; increments are sent again."""
    probe_seconds: Annotated[float, Ge(0.01), Le(3_600)] = 1.0
    """All but memory: how often a store that is out of reach is asked for, in seconds."""
    journal: str = ""
    """A folder in which increments are kept until the store has them, so that they survive a kill -9; empty: none."""


@dataclass(frozen=True, slots=True)
class Increment:
    """`delta` is the sum of `samples` increments of one counter, made `age` seconds ago.

    An old one belongs to the windows and the total of its time; the usage counter takes it only while it is younger
    than `usage_ttl_seconds`.
    """

    provider: str
    key_id: str
    metric: str
    delta: float
    samples: int = 1
    age: float = 0.0


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

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def check_counter(provider: str, key_id: str, metric: str) -> None:
    """Raises ValueError unless a counter's three names, taken together, are text of at most 2 KiB in UTF-8."""
    _check_text("provider, key_id and metric together", provider + key_id + metric)


def check_amount(amount: float) -> None:
    """Raises ValueError unless a counter's value or delta is a finite number."""
    if not -float_info.max <= amount <= float_info.max:
        raise ValueError("a value or delta must be a finite number")


def check_increments(increments: Sequence[Increment]) -> None:
    """Raises ValueError unless every increment has a valid counter, delta and age, and at least one sample."""
    for each in increments:
        check_counter(each.provider, each.key_id, each.metric)
        check_amount(each.delta)
        if each.samples < 1:
            raise ValueError("samples must be at least 1")
        if not 0 <= each.age <= LONGEST_WINDOW:
            raise ValueError("age must be between 0 and 3024000 seconds, which is 35 days")


def check_writer(writer: str, sequence: int) -> None:
    """Raises ValueError unless a writer is text of at most 2 KiB in UTF-8 and its batch's number has 63 bits."""
    _check_text("writer", writer)
    if sequence.bit_length() > 63:
        raise ValueError("sequence must be below 2^63; a writer numbers its batches from 1")


def check_window(window_seconds: float) -> None:
    """Raises ValueError unless a window is within 1 s and 35 d."""
    level_of(window_seconds)


def check_key(key: str) -> None:
    """Raises ValueError unless a cache key is text of at most 2 KiB in UTF-8."""
    _check_text("key", key)


def check_ttl(ttl_seconds: float) -> None:
    """Raises ValueError unless a time to live is a finite number above 0."""
    if not 0 < ttl_seconds <= float_info.max:
        raise ValueError("ttl_seconds must be a finite number above 0; to forget a response, call delete_cache")


def open_store(settings: StoreSettings | Mapping[str, object]) -> RuntimeStore:
    """The store that `settings` (or the section `storage.runtime` as a mapping) asks for, not opened yet. Raises
    ValueError when a mapping is not such a section, StoreError when the type is not built in.
    """
    if not isinstance(settings, StoreSettings):
        settings = _read_section(settings)
    if settings.type not in _CLASSES:
        built_in = ", ".join(_CLASSES)
        raise StoreError(f"storage.runtime.type {settings.type!r} is not built in yet; use one of: {built_in}")
    module, _, name = _CLASSES[settings.type].partition(":")
    store: RuntimeStore = getattr(import_module(module), name).from_settings(settings)
    return store


def _check_text(name: str, text: str) -> None:
    if len(text) <= MAX_KEY_BYTES and text.isascii():
        return
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = MAX_KEY_BYTES + 1
    # Raised out here: a chained UnicodeEncodeError would carry the text.
    if size > MAX_KEY_BYTES:
        raise ValueError(
            f"{name}: text of at most {MAX_KEY_BYTES} bytes in UTF-8, without surrogates; shorten or hash it"
        )


def _read_section(section: Mapping[str, object]) -> StoreSettings:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(StoreSettings).validate_python(dict(section))
    except ValidationError as error:
        faults = [f"storage.runtime.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    # Raised out here: a chained ValidationError would carry the values, and one of them is the password.
    raise ValueError("; ".join(faults))
