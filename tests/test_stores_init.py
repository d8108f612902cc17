"""stores/__init__.py: the defaults that six methods give, the checks, and how a store is chosen."""

from collections import defaultdict
from collections.abc import Callable, Mapping

import pytest

from coo_middleware.stores import (
    LATENCY,
    RuntimeStore,
    StoreError,
    StoreSettings,
    open_store,
)
from coo_middleware.stores.checks import (
    check_amount,
    check_counter,
    check_key,
    check_ttl,
    check_window,
    check_writer,
)
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import SECRET, Clock, FailureContract, SharedStoreContract

Counter = tuple[str, str, str]


class SmallStore(RuntimeStore):
    """Six methods over dicts: what somebody else's store may look like."""

    def __init__(self, ttl: float, clock: Callable[[], float]) -> None:
        self.ttl, self.clock = ttl, clock
        self.periods: dict[Counter, tuple[float, list[float]]] = {}
        self.log: defaultdict[Counter, list[tuple[float, float]]] = defaultdict(list)
        self.responses: dict[str, tuple[float, bytes]] = {}

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        ends, samples = self.periods.get((provider, key_id, metric), (0.0, []))
        return answer(metric, samples if self.clock() < ends else [])

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        check_amount(value)
        self.periods[provider, key_id, metric] = self.clock() + self.ttl, [value]

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        check_counter(provider, key_id, metric)
        check_amount(delta)
        counter, now = (provider, key_id, metric), self.clock()
        ends, samples = self.periods.get(counter, (0.0, []))
        self.periods[counter] = (ends, [*samples, delta]) if now < ends else (now + self.ttl, [delta])
        self.log[counter].append((now, delta))

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        check_window(window_seconds)
        begin = self.clock() - window_seconds
        return answer(metric, [delta for when, delta in self.log[provider, key_id, metric] if when >= begin])

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        check_key(key)
        check_ttl(ttl_seconds)
        self.responses[key] = self.clock() + ttl_seconds, value

    async def get_cache(self, key: str) -> bytes | None:
        check_key(key)
        expires, value = self.responses.get(key, (0.0, b""))
        return value if self.clock() < expires else None


def answer(metric: str, samples: list[float]) -> float:
    """The mean for latency, the sum for all else."""
    return sum(samples) / (len(samples) or 1 if metric == LATENCY else 1)


def lost() -> float:
    """A clock to make each operation of SmallStore fail, as it would without its disk."""
    raise StoreError("the store cannot be read") from OSError(5, "Input/output error")


class TestSmallStore(SharedStoreContract):
    """Six methods are enough to pass the contract, the defaults included."""

    async def make(self, clock: Clock) -> RuntimeStore:
        self.small = SmallStore(self.usage_ttl_seconds, clock)
        return self.small

    async def another(self, clock: Clock) -> RuntimeStore:
        other = SmallStore(self.usage_ttl_seconds, clock)
        other.periods, other.log, other.responses = self.small.periods, self.small.log, self.small.responses
        return other


class TestBrokenStore(FailureContract):
    """A store that translates what fails beneath it keeps the promise about failures."""

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        return SmallStore(60, lost)


@pytest.mark.parametrize(
    ("settings", "ttl"),
    [
        (StoreSettings(), 60),
        (StoreSettings(usage_ttl_seconds=5), 5),
        ({}, 60),
        ({"type": "memory", "usage_ttl_seconds": 5}, 5),
    ],
)
def test_settings_choose_the_store(settings: StoreSettings | Mapping[str, object], ttl: float) -> None:
    """Settings and a mapping of the same names open the store that they ask for, memory by default."""
    store = open_store(settings)

    assert isinstance(store, MemoryStore)
    assert ttl == store._usage_ttl


def test_type_that_is_not_built_in_is_named() -> None:
    """A type without a store says so, and what there is."""
    settings = StoreSettings()
    object.__setattr__(settings, "type", "abacus")

    with pytest.raises(StoreError, match=r"storage\.runtime\.type 'abacus' is not built in yet; use one of: memory"):
        open_store(settings)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"type": "abacus"}, "storage.runtime.type: Input should be 'memory'"),
        ({"adress": "localhost"}, "storage.runtime.adress: "),
        ({"password": [SECRET]}, "storage.runtime.password: Input should be a valid string"),
        ({"usage_ttl_seconds": 0}, "storage.runtime.usage_ttl_seconds: Input should be greater than or equal to 1"),
    ],
)
def test_mapping_that_is_no_section_is_refused(section: Mapping[str, object], text: str) -> None:
    """The error names the field and the rule, never the value, and chains nothing that would."""
    with pytest.raises(ValueError, match=text) as caught:
        open_store(section)

    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_text_of_an_invalid_key_is_not_shown() -> None:
    """A key may tell of a prompt or a caller: the error names the field only."""
    for key in (SECRET * 200, SECRET + "\ud800"):
        with pytest.raises(ValueError, match="key: text of at most 2048 bytes in UTF-8") as caught:
            check_key(key)
        assert SECRET not in str(caught.value)
        assert caught.value.__context__ is None


def test_secrets_of_settings_are_not_shown() -> None:
    """A settings value printed by accident shows neither password nor token nor what an address may hold."""
    assert SECRET not in repr(StoreSettings(addr=SECRET, password=SECRET, api_key=SECRET))


@pytest.mark.parametrize(("writer", "sequence"), [("w" * 2049, 1), ("\ud800", 1), ("w", 2**63)])
def test_writer_that_no_file_can_hold_is_refused(writer: str, sequence: int) -> None:
    """A writer's name is text of bounded length, and its numbers have 63 bits."""
    with pytest.raises(ValueError, match=r"^(?:writer|sequence)"):
        check_writer(writer, sequence)
    check_writer("w" * 2048, 2**63 - 1)
