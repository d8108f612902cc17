"""Four keys under load, in virtual time: how it is shared, before and after two of them fall ill.

`python -m tests.balancing` prints the table of docs/balancing.md. One key is normal; one has a quarter of the others'
limit, as configured and as the provider keeps it; after a while one becomes five times as slow and one fails every
second call. Requests come at random, 70 % of what the keys that do not fail may do. The two controls know nothing of
the keys. A client sees every failure, unless it is given several attempts: those are made with different keys, by the
controls too.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import statistics
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, get_args

from coo_middleware.attempts import Attempts
from coo_middleware.balancer import Balancer
from coo_middleware.config import MetricsPolicy, Policy
from coo_middleware.context import CooContext
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.providers import Algorithm, KeyLimits, KeySettings, LLMProvider
from coo_middleware.core.quotas import LimitsPolicy
from coo_middleware.limiter import Limiter
from coo_middleware.outbox import Outbox
from coo_middleware.prices import Prices
from coo_middleware.recorder import Recorder
from coo_middleware.reservations import Reservations
from coo_middleware.stores.memory import MemoryStore
from tests.plans import make_plan

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Sequence
    from selectors import SelectorKey

KEYS: Final = ("normal", "limited", "slow", "failing")
CONTROLS: Final = ("random", "round robin, blind")
POLICIES: Final = (*CONTROLS, *get_args(Algorithm))
PER_MINUTE: Final = {"normal": 120, "limited": 30, "slow": 120, "failing": 120}
# 70 % of what the keys that do not fail may do.
RATE: Final = 0.7 * (120 + 30 + 120) / 60
CALL_SECONDS: Final = 2.0
FAILURE_SECONDS: Final = 0.2
PLAN: Final = make_plan()


class _Skip(selectors.SelectSelector):
    """Waits for no time: it has passed at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes as soon as there is nothing to do."""

    def __init__(self) -> None:
        self._skip: Final = _Skip()
        super().__init__(self._skip)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._skip.now


def run_virtually(work: Coroutine[object, object, None]) -> None:
    """Runs it in virtual time."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work)


def tell_time() -> float:
    """Seconds by the loop's clock."""
    return asyncio.get_running_loop().time()


@dataclass
class Upstream:
    """The provider's side of one key."""

    name: str
    chance: random.Random
    is_ill: bool = False
    taken: deque[float] = field(default_factory=deque)

    async def call(self) -> tuple[int, float | None]:
        """The status of an answer, and what Retry-After says."""
        now = tell_time()
        while self.taken and self.taken[0] <= now - 60:
            self.taken.popleft()
        if len(self.taken) >= PER_MINUTE[self.name]:
            await asyncio.sleep(FAILURE_SECONDS)
            return 429, self.taken[0] + 60 - now
        self.taken.append(now)
        if self.is_ill and self.name == "failing" and self.chance.random() < 0.5:
            await asyncio.sleep(FAILURE_SECONDS)
            return 503, None
        slowness = 5 if self.is_ill and self.name == "slow" else 1
        await asyncio.sleep(CALL_SECONDS * slowness * self.chance.lognormvariate(-0.125, 0.5))
        return 200, None


@dataclass
class Phase:
    """What clients saw in one part of a run."""

    calls: Counter[str] = field(default_factory=Counter)
    durations: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def error_rate(self) -> float:
        """The share of the requests that got no answer."""
        return self.errors / (self.errors + len(self.durations))

    @property
    def mean(self) -> float:
        """Of the requests that got an answer, in seconds."""
        return statistics.fmean(self.durations)

    @property
    def p95(self) -> float:
        """Nineteen of twenty of them were quicker, in seconds."""
        return statistics.quantiles(self.durations, n=20)[-1]

    def share(self, name: str) -> float:
        """The share of the calls that went to a key."""
        return self.calls[name] / self.calls.total()


class Client:
    """Sends requests by one policy, each on up to `attempts` keys."""

    def __init__(self, upstreams: Sequence[Upstream], attempts: int) -> None:
        self.upstreams: Final = {each.name: each for each in upstreams}
        self.attempts: Final = attempts
        self.phase = Phase()

    async def send(self) -> None:
        """One request."""
        phase, start = self.phase, tell_time()
        if await self.answer(phase):
            phase.durations.append(tell_time() - start)
        else:
            phase.errors += 1

    async def answer(self, phase: Phase) -> bool:
        """Whether there is an answer."""
        raise AssertionError(phase)

    async def call(self, name: str, phase: Phase) -> tuple[int, float | None]:
        """One attempt."""
        phase.calls[name] += 1
        return await self.upstreams[name].call()


class BlindClient(Client):
    """A control: it goes on to the next key after a failure, and that is all it learns."""

    def __init__(self, upstreams: Sequence[Upstream], attempts: int, chance: random.Random | None) -> None:
        super().__init__(upstreams, attempts)
        self._chance: Final = chance
        self._turn = 0

    async def answer(self, phase: Phase) -> bool:
        tried: list[str] = []
        while len(tried) < self.attempts:
            tried.append(self._choose(tried))
            status, _ = await self.call(tried[-1], phase)
            if status == 200:
                return True
        return False

    def _choose(self, tried: Collection[str]) -> str:
        if self._chance is not None:
            return self._chance.choice([name for name in KEYS if name not in tried])
        while True:
            self._turn += 1
            if (name := KEYS[self._turn % len(KEYS)]) not in tried:
                return name


class BalancedClient(Client):
    """A handler that picks and reports."""

    def __init__(self, upstreams: Sequence[Upstream], attempts: int, balancer: Balancer) -> None:
        super().__init__(upstreams, attempts)
        self._balancer: Final = balancer

    async def answer(self, phase: Phase) -> bool:
        attempts = Attempts(self._balancer, PLAN, "/v1/chat/completions")
        coo = CooContext("miss", "openai", "caller", attempts=attempts)
        for _ in range(self.attempts):
            try:
                key = await coo.pick("openai")
            except LimitedError:
                return False
            status, retry_after = await self.call(key.id, phase)
            if status == 200:
                return attempts.finish(status, "", None)
            await coo.report(key, status=status, retry_after=retry_after)
        return False


def _make_client(policy: str, upstreams: Sequence[Upstream], attempts: int, chance: random.Random) -> Client:
    for algorithm in get_args(Algorithm):
        if algorithm == policy:
            return BalancedClient(upstreams, attempts, make_balancer(algorithm, chance))
    return BlindClient(upstreams, attempts, chance if policy == "random" else None)


def make_balancer(algorithm: Algorithm, chance: random.Random) -> Balancer:
    """A balancer of the four keys by the loop's clock."""
    store, limits = MemoryStore(clock=tell_time), LimitsPolicy()
    recorder = Recorder(Outbox(store), MetricsPolicy())
    reservations = Reservations(store, limits, recorder)
    keys = tuple(KeySettings(name, "secret", KeyLimits(req_per_min=PER_MINUTE[name])) for name in KEYS)
    providers = (LLMProvider("openai", keys=keys),)
    prices = Prices(providers)
    return Balancer(
        providers,
        Policy(algorithm=algorithm),
        reservations=reservations,
        limiter=Limiter(limits, reservations, prices, pooled=True),
        prices=prices,
        recorder=recorder,
        store=store,
        clock=tell_time,
        chance=chance.random,
    )


async def _send_for(client: Client, seconds: float, chance: random.Random) -> Phase:
    client.phase = phase = Phase()
    end = tell_time() + seconds
    async with asyncio.TaskGroup() as group:
        while tell_time() < end:
            group.create_task(client.send())
            await asyncio.sleep(chance.expovariate(RATE))
    return phase


def simulate(policy: str, seconds: float, attempts: int = 1, seed: int = 0) -> tuple[Phase, Phase]:
    """What clients saw in `seconds` before two keys fall ill, and in as many after it."""
    phases: list[Phase] = []

    async def run() -> None:
        chance = random.Random(seed)  # noqa: S311 -- nothing here is a secret
        upstreams = [Upstream(name, chance) for name in KEYS]
        client = _make_client(policy, upstreams, attempts, chance)
        phases.append(await _send_for(client, seconds, chance))
        for each in upstreams:
            each.is_ill = True
        phases.append(await _send_for(client, seconds, chance))

    run_virtually(run())
    return phases[0], phases[1]


def tabulate(seconds: float) -> str:
    """The table, in Markdown."""
    heads = ("policy", "", *KEYS, "no answer", "mean", "p95")
    rows = [heads, ("---",) * len(heads)]
    for policy in POLICIES:
        for when, phase in zip(("before", "after"), simulate(policy, seconds), strict=True):
            seen = (f"{phase.error_rate:.1%}", f"{phase.mean:.2f} s", f"{phase.p95:.1f} s")
            rows.append((policy, when, *(f"{phase.share(name):.0%}" for name in KEYS), *seen))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(tabulate(3600))  # noqa: T201 -- a table to be read
