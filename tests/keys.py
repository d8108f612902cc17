"""Balancers of a few keys over a store in memory, with a clock that is set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from coo_middleware.balancer import Balancer, Wish
from coo_middleware.config import MetricsPolicy, Policy
from coo_middleware.core.demand import Demand
from coo_middleware.core.providers import KeyLimits, LLMProvider
from coo_middleware.limiter import Limiter
from coo_middleware.outbox import Outbox
from coo_middleware.prices import Prices
from coo_middleware.recorder import Recorder
from coo_middleware.reservations import Reservations
from coo_middleware.stores import RuntimeStore
from coo_middleware.stores.memory import MemoryStore
from tests.plans import make_plan

if TYPE_CHECKING:
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.record import Record

PATH = "/v1/chat/completions"
PLAN: Plan = make_plan()
WISH = Wish(PLAN, PATH, Demand(input_tokens=10, output_tokens=30))


class Time:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Register(Recorder):
    """A recorder that keeps its records."""

    def __init__(self) -> None:
        super().__init__(Outbox(MemoryStore()), MetricsPolicy())
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        self.records.append(record)


def even() -> float:
    """In place of chance: ties stay as they are, and what has not fully returned stands behind."""
    return 0.999999


@dataclass
class Room:
    """A process with a balancer; several may have one store and one clock."""

    providers: Sequence[LLMProvider] = ()
    policy: Policy = field(default_factory=Policy)
    time: Time = field(default_factory=Time)
    store: RuntimeStore | None = None
    chance: Callable[[], float] = even

    def __post_init__(self) -> None:
        self.store = self.store or MemoryStore(clock=self.time)
        self.register = Register()
        self.reservations = Reservations(self.store, self.policy.limits, self.register, clock=self.time)
        prices = Prices(self.providers)
        self.balancer = Balancer(
            self.providers,
            self.policy,
            reservations=self.reservations,
            limiter=Limiter(self.policy.limits, self.reservations, prices, pooled=True),
            prices=prices,
            recorder=self.register,
            store=self.store,
            clock=self.time,
            chance=self.chance,
        )

    async def settle_down(self) -> None:
        """Returns when all after-response work is done."""
        await self.reservations.drain()
        await self.register.drain()


def openai(count: int = 3, limits: KeyLimits | None = None) -> LLMProvider:
    """A provider with keys `openai-1`, `openai-2`, …"""
    secrets = tuple(f"secret-{place}" for place in range(count))
    return LLMProvider("openai", "openai", "https://api.openai.test", api_keys=secrets, limits=limits or KeyLimits())
