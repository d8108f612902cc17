"""Random calls to a store, compared with a model that keeps everything: for any store of
FullStoreContract whose time can be moved.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from coo_middleware.stores import LATENCY, Increment, RuntimeStore
from coo_middleware.testing import Clock

T = TypeVar("T")
Counter = tuple[str, str, str]

TTL = 60.0
COUNTERS: list[Counter] = [("p", "k", "req"), ("p", "k:", "req"), ("p", "k", LATENCY)]
KEYS = ["a", "b", "a:b"]

counters = st.sampled_from(COUNTERS)
keys = st.sampled_from(KEYS)
amounts = st.integers(-1000, 1000)
ages = st.sampled_from([0.0, 0.0, 0.5, 30.0, 60.0, 4_000.0])


class Period:
    """One counter of the model: samples of the current period, and of all time."""

    def __init__(self) -> None:
        self.ends = 0.0
        self.samples: list[float] = []
        self.all: list[float] = []

    def start(self, samples: list[float], begin: float) -> None:
        self.ends, self.samples = begin + TTL, samples

    def add(self, amount: float, now: float, age: float) -> None:
        self.all.append(amount)
        if age < TTL and now < self.ends:
            self.samples.append(amount)
        elif age < TTL:
            self.start([amount], now)


class StoreMachine(RuleBasedStateMachine):
    """Subclass, override `make` (and `advance` like the contract's), and collect the subclass's TestCase."""

    async def make(self, clock: Clock) -> RuntimeStore:
        """An empty store whose usage counters live TTL seconds."""
        raise NotImplementedError

    async def advance(self, clock: Clock, seconds: float) -> None:
        """Lets `seconds` pass for the store."""
        clock.advance(seconds)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """The result, on the one event loop that the store lives on."""

        async def waiting() -> T:
            return await awaitable

        return self.runner.run(waiting())

    async def _cancel(self, operation: Coroutine[object, object, None], steps: int) -> None:
        task = asyncio.ensure_future(operation)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.clock, self.sequence = Clock(), 0
        self.store = self.wait(self.make(self.clock))
        self.wait(self.store.open())
        self.periods = {counter: Period() for counter in COUNTERS}
        self.responses: dict[str, tuple[float, bytes]] = {}

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.wait(self.store.close())
            self.runner.close()

    @rule(counter=counters, amount=amounts)
    def increment(self, counter: Counter, amount: float) -> None:
        self.wait(self.store.increment_usage(*counter, amount))
        self.periods[counter].add(amount, self.clock(), 0)

    @rule(batch=st.lists(st.tuples(counters, amounts, ages), max_size=5), times=st.integers(1, 2))
    def apply(self, batch: list[tuple[Counter, int, float]], times: int) -> None:
        self.sequence += 1
        for _ in range(times):
            increments = [Increment(*counter, amount, age=age) for counter, amount, age in batch]
            self.wait(self.store.apply("writer", self.sequence, increments))
        for counter, amount, age in batch:
            self.periods[counter].add(amount, self.clock(), age)

    @rule(counter=counters, amount=amounts, steps=st.integers(0, 4))
    def give_up(self, counter: Counter, amount: int, steps: int) -> None:
        """A batch that is cancelled somewhere on its way, and sent again since nobody knows how far it came."""
        self.sequence += 1
        increments = [Increment(*counter, amount)]
        self.wait(self._cancel(self.store.apply("writer", self.sequence, increments), steps))
        self.wait(self.store.apply("writer", self.sequence, increments))
        self.periods[counter].add(amount, self.clock(), 0)

    @rule()
    def reopen(self) -> None:
        """What a store holds outlives its closing."""
        self.wait(self.store.close())
        self.wait(self.store.open())

    @rule(counter=counters, value=amounts)
    def set_usage(self, counter: Counter, value: float) -> None:
        self.wait(self.store.set_usage(*counter, value))
        self.periods[counter].start([value], self.clock())

    @rule(key=keys, value=st.binary(max_size=20), ttl=st.sampled_from([0.5, 1.0, 10.0, 90.0]))
    def set_cache(self, key: str, value: bytes, ttl: float) -> None:
        self.wait(self.store.set_cache(key, value, ttl))
        self.responses[key] = self.clock() + ttl, value

    @rule(key=keys)
    def delete_cache(self, key: str) -> None:
        self.wait(self.store.delete_cache(key))
        self.responses.pop(key, None)

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 10.0, 30.0, 60.0, 90.0, 4_000.0]))
    def let_pass(self, seconds: float) -> None:
        self.wait(self.advance(self.clock, seconds))

    @invariant()
    def counters_agree(self) -> None:
        for counter, period in self.periods.items():
            current = period.samples if self.clock() < period.ends else []
            for samples, read in ((current, self.store.get_usage), (period.all, self.store.get_total)):
                expected = sum(samples) / (max(1, len(samples)) if counter[2] == LATENCY else 1)
                assert abs(expected - self.wait(read(*counter))) < 1e-6

    @invariant()
    def responses_agree(self) -> None:
        for key in KEYS:
            expires, value = self.responses.get(key, (0.0, b""))
            assert (value if self.clock() < expires else None) == self.wait(self.store.get_cache(key))
