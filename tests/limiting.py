"""Drivers of limits: clients in virtual time, requests of several processes at random moments, and what a log of these
proves by one true clock.
"""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from coo_middleware.core.limits import Settlement, Take, Takes
from coo_middleware.stores import RuntimeStore, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from coo_middleware.testing import Clock

_LEASE: Final = 30.0
_BURST: Final = 10
# A store that is slower than the requests come must not be asked ever later than the log says.
_MOST_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Limit:
    """What calls take, by its place among a call's amounts, of which there may be `most` in any window."""

    name: str
    place: int
    most: float
    window: float

    def take(self, amounts: Sequence[float]) -> Take:
        return Take(self.name, self.most, self.window, amounts[self.place])


@dataclass(slots=True)
class Call:
    """One request by the true clock: it was decided between `asked` and `told`, where it was admitted ended at `ended`,
    and else would have taken as long.
    """

    asked: float
    told: float
    ended: float
    is_admitted: bool
    reserved: tuple[float, ...]
    used: tuple[float, ...]


def most_in_a_window(taken: Sequence[tuple[float, float, float]], window: float) -> float:
    """The most that was taken for certain in any `window` seconds, where each amount was taken between its earliest and
    its latest moment: so that what is over a limit is so beyond doubt.
    """
    begun, done = (sorted((each[which], each[2]) for each in taken) for which in (0, 1))
    moments = [moment for moment, _ in begun]
    before = [0.0, *accumulate(amount for _, amount in begun)]
    total = most = 0.0
    for moment, amount in done:
        total += amount
        most = max(most, total - before[bisect_right(moments, moment - window)])
    return most


def fill(calls: Iterable[Call], limits: Iterable[Limit]) -> dict[str, float]:
    """The fullest window of each limit, as a share of what may be in it."""
    admitted = [call for call in calls if call.is_admitted]

    def most(limit: Limit) -> float:
        return most_in_a_window([(call.asked, call.told, call.used[limit.place]) for call in admitted], limit.window)

    return {limit.name: most(limit) / limit.most for limit in limits}


class Exact:
    """An exact sliding window, of one limit: what was taken counts until it is as old as the window."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.used = 0.0
        self.taken: deque[tuple[float, Call]] = deque()
        self.amounts: dict[int, float] = {}

    def fits(self, call: Call) -> bool:
        while self.taken and self.taken[0][0] <= call.asked - self.limit.window:
            self.used -= self.amounts.pop(id(self.taken.popleft()[1]))
        return self.used + call.reserved[self.limit.place] <= self.limit.most * (1 + 1e-9)

    def take(self, call: Call) -> None:
        self.taken.append((call.asked, call))
        self._put(call, call.reserved[self.limit.place])

    def settle(self, call: Call) -> None:
        if id(call) in self.amounts:
            self._put(call, call.used[self.limit.place])

    def _put(self, call: Call, amount: float) -> None:
        self.used += amount - self.amounts.get(id(call), 0.0)
        self.amounts[id(call)] = amount


def count_exact(calls: Sequence[Call], limits: Iterable[Limit]) -> int:
    """How many of these requests an exact limiter admits that is asked at the same moments."""
    tallies, admitted = [Exact(limit) for limit in limits], 0
    out: list[tuple[float, int, Call]] = []
    for number, call in enumerate(sorted(calls, key=lambda call: call.asked)):
        while out and out[0][0] <= call.asked:
            *_, ended = heappop(out)
            for tally in tallies:
                tally.settle(ended)
        if all(tally.fits(call) for tally in tallies):
            admitted += 1
            heappush(out, (call.ended, number, call))
            for tally in tallies:
                tally.take(call)
    return admitted


@dataclass(frozen=True, slots=True)
class Load:
    """What one process does: `count` requests, `rate` in a second on average, alone or several at once."""

    runtime: Mapping[str, object]
    limits: tuple[Limit, ...]
    count: int
    rate: float
    seed: int
    skew: float = 0.0

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        found = json.loads(path.read_text())
        return cls(**found | {"limits": tuple(Limit(**limit) for limit in found["limits"])})


class Driver:
    """Sends the requests of one process at their random moments, a few at once."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.dice = random.Random(load.seed)  # noqa: S311 -- no secret
        self.calls: list[Call] = []
        self.line = asyncio.Semaphore(_MOST_AT_ONCE)

    async def run(self) -> None:
        async with open_store(self.load.runtime) as store, asyncio.TaskGroup() as group:
            await store.ping()
            at = monotonic()
            for number in range(self.load.count):
                if self.dice.random() < 1 / _BURST:
                    at += self.dice.expovariate(self.load.rate / _BURST)
                    await asyncio.sleep(max(0.0, at - monotonic()))
                group.create_task(self.request(store, f"{self.load.seed}-{number}"))

    async def request(self, store: RuntimeStore, ticket: str) -> None:
        """Reserves what is at most used, and tells afterwards what was."""
        reserved = (1.0, float(self.dice.randint(10, 30)))
        used = (1.0, reserved[1] * self.dice.uniform(0.3, 1.0))
        seconds = self.dice.uniform(0.005, 0.1)
        async with self.line:
            asked = monotonic()
            admission = await store.reserve(ticket, [self.takes(reserved)], _LEASE)
            told = monotonic()
        assert admission is not None
        assert all(level.used >= 0 for level in admission.levels[0])
        if admission.choice == 0:
            await asyncio.sleep(seconds)
            await store.settle([Settlement(ticket, self.takes(used))])
            seconds = monotonic() - asked
        self.calls.append(Call(asked, told, asked + seconds, admission.choice == 0, reserved, used))

    def takes(self, amounts: Sequence[float]) -> Takes:
        return tuple(limit.take(amounts) for limit in self.load.limits)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps([asdict(call) for call in self.calls]))


def read_calls(path: Path) -> list[Call]:
    """The log of one process."""
    return [Call(**each) for each in json.loads(path.read_text())]


@dataclass(frozen=True, slots=True)
class Spent:
    """A call in virtual time: what was used of what was reserved, from when to when."""

    begun: float
    ended: float
    reserved: float
    used: float


class Clients:
    """Clients of one limit of tokens, each calling again and again, for as long as virtual time runs.

    `error` is by how much an estimate may be wrong: 0.2 is a fifth, either way; 0 makes it a bound.
    """

    def __init__(self, store: RuntimeStore, clock: Clock, limit: Limit, error: float, seed: int) -> None:
        self.store, self.clock, self.limit, self.error = store, clock, limit, error
        self.dice = random.Random(seed)  # noqa: S311 -- no secret
        self.spent: list[Spent] = []
        self.tickets = 0

    async def run(self, clients: Iterable[AsyncGenerator[float, None]], seconds: float) -> None:
        """Lets the clients go on, each when the seconds are over that it asked for."""
        ends = self.clock.now + seconds
        queue = [(self.clock.now, number, client) for number, client in enumerate(clients)]
        heapify(queue)
        while queue[0][0] < ends:
            self.clock.now, number, client = heappop(queue)
            heappush(queue, (self.clock.now + await anext(client), number, client))

    async def careful(self) -> AsyncGenerator[float, None]:
        """Reserves, calls, settles; comes back when it was told to."""
        while True:
            used = self.dice.uniform(5, 20)
            sure = self.dice.uniform(1 - self.error, 1 + self.error) if self.error else self.dice.uniform(1, 1.5)
            self.tickets += 1
            ticket, reserved = str(self.tickets), used * sure
            while (wait := await self.reserve(ticket, reserved)) is not None:
                yield wait
            begun = self.clock.now
            yield self.dice.uniform(1, 5)
            await self.store.settle([Settlement(ticket, (self.limit.take((used,)),))])
            self.spent.append(Spent(begun, self.clock.now, reserved, used))

    async def reserve(self, ticket: str, amount: float) -> float | None:
        """The seconds to wait; None when it was reserved."""
        admission = await self.store.reserve(ticket, [(self.limit.take((amount,)),)], _LEASE)
        assert admission is not None
        return None if admission.choice == 0 else admission.wait_seconds

    async def careless(self) -> AsyncGenerator[float, None]:
        """The control: looks at the counter, calls, and counts afterwards."""
        counter = ("openai", "key1", "tokens")
        while True:
            while await self.store.get_usage_in_window(*counter, int(self.limit.window)) >= self.limit.most:
                yield 1.0
            begun, used = self.clock.now, self.dice.uniform(5, 20)
            yield self.dice.uniform(1, 5)
            await self.store.increment_usage(*counter, used)
            self.spent.append(Spent(begun, self.clock.now, used, used))

    def most(self) -> float:
        """The most that was used in any true window, counted from the moment when a call was let through."""
        return most_in_a_window([(each.begun, each.begun, each.used) for each in self.spent], self.limit.window)

    def excess(self) -> float:
        """By how much the fullest window was over the limit and over what the reservations erred by that were out when
        its last call was let through. At most 0, unless something else went wrong.
        """
        here: deque[Spent] = deque()
        worst = -self.limit.most
        for last in sorted(self.spent, key=lambda each: each.begun):
            here.append(last)
            while here[0].begun <= last.begun - self.limit.window:
                here.popleft()
            errors = sum(max(0.0, each.used - each.reserved) for each in here if each.ended > last.begun)
            worst = max(worst, sum(each.used for each in here) - self.limit.most - errors)
        return worst
