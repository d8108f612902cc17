"""Which key takes the next call: those of a provider are put in order, and the store takes the first with room."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from random import random
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from coo_middleware.core.demand import NOTHING, Demand
from coo_middleware.core.key_takes import begin_rest, find_wait
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.plan import Plan
from coo_middleware.core.pools import Pools
from coo_middleware.core.record import Record
from coo_middleware.core.selection import WEIGHTS, make_order
from coo_middleware.core.standing import Standing
from coo_middleware.reservations import Reservation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from coo_middleware.config import Policy
    from coo_middleware.core.health import Verdict
    from coo_middleware.core.limits import Takes
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.providers import LLMProvider
    from coo_middleware.core.record import CacheStatus, ErrorType
    from coo_middleware.core.standing import Pool
    from coo_middleware.limiter import Limiter
    from coo_middleware.prices import Prices
    from coo_middleware.recorder import Recorder
    from coo_middleware.reservations import Reservations
    from coo_middleware.stores import RuntimeStore

# A choice is a part of what the store is sent.
_MOST_CHOICES: Final = 64


@dataclass(frozen=True, slots=True)
class Wish:
    """What a key is wanted for: a request to `path`, which takes `demand` as far as that can be foreseen."""

    plan: Plan
    path: str
    demand: Demand


@dataclass(frozen=True, slots=True)
class Held:
    """A key that is held for one call, since `began` by the balancer's clock."""

    standing: Standing
    reservation: Reservation
    wish: Wish
    began: float


class Balancer:
    """Shares calls among the keys of `providers`. Keys rest in `store`, so that all processes know; `clock` tells
    seconds, and `chance` numbers from 0 to 1. Raises ValueError for a session that is no length of time.
    """

    __slots__ = (
        "_chance",
        "_clock",
        "_counts",
        "_limiter",
        "_order",
        "_pools",
        "_prices",
        "_recorder",
        "_reservations",
        "_store",
        "_turns",
        "max_attempts",
    )

    def __init__(
        self,
        providers: Sequence[LLMProvider],
        policy: Policy,
        *,
        reservations: Reservations,
        limiter: Limiter,
        prices: Prices,
        recorder: Recorder,
        store: RuntimeStore,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random,
    ) -> None:
        self._pools: Final = Pools(providers, policy.fallback, policy.cooldown_seconds, policy.cooldown_max_seconds)
        self._order: Final = make_order(policy.algorithm, policy.hybrid_weights or WEIGHTS[policy.priority])
        self._reservations: Final = reservations
        self._limiter: Final = limiter
        self._prices: Final = prices
        self._recorder: Final = recorder
        self._store: Final = store
        self._clock: Final = clock
        self._chance: Final = chance
        self._counts: Final = policy.metrics.enabled
        self._turns = 0
        self.max_attempts: Final = policy.retry.max_attempts

    def __bool__(self) -> bool:
        """Whether there is any key to pick."""
        return bool(self._pools)

    async def pick(self, name: str, wish: Wish, without: Collection[Standing] = ()) -> Held:
        """Holds a key of the provider whose id is `name`, else of those whose type is, else of the fallback providers:
        none of those in `without`. Raises LookupError for an unknown name, LimitedError when none may be called now,
        StoreError where limits cannot be kept and must be.
        """
        pools = self._pools.find(name)
        line = self._line_up(pools, wish, without)
        if not line:
            raise LimitedError(self._wait_for_rest(pools, line) or 0.0)
        choices = [self._find_takes(each, wish) for each in line]
        reservation = await self._reserve(line, choices)
        self._see(line, reservation)
        if reservation.is_admitted:
            return self._hold(line[: reservation.admission.choice + 1], reservation, wish)
        waits = (find_wait(reservation.choices, reservation.admission), self._wait_for_rest(pools, line))
        raise LimitedError(min(wait for wait in waits if wait is not None))

    def settle(self, held: Held, demand: Demand, usage: Usage | None = None) -> None:
        """Puts what was used in the place of what was held; once. NOTHING was used where no call was made; `usage` is
        what the provider told, by which it is priced.
        """
        standing, wish = held.standing, replace(held.wish, demand=demand)
        standing.calls -= 1
        cost = self._prices.cost(standing.key.provider, wish.plan.model, usage) if usage else None
        spent = self._price(standing, wish) if cost is None else replace(demand, cost=cost)
        rules = self._find_rules(standing, wish, spent)
        self._reservations.settle(held.reservation, (*standing.takes(demand, settles=True), *rules))

    def judge(self, held: Held, verdict: Verdict, told: float | None) -> None:
        """Learns what became of the call; the provider `told` for how many seconds it wants to be left alone."""
        standing, now = held.standing, self._clock()
        seconds = standing.health.note(verdict, held.began, now, told)
        if seconds and standing.health.since == now:
            standing.is_shared = False
            self._recorder.spawn(self._share_rest(standing, seconds))

    def count(
        self,
        held: Held,
        cache_status: CacheStatus,
        *,
        status: int,
        error_type: ErrorType,
        usage: Usage | None,
        duration: float,
    ) -> None:
        """Records an attempt for the provider and the key that it was made with."""
        if not self._counts:
            return
        key, plan = held.standing.key, held.wish.plan
        cost = None if usage is None else self._prices.cost(key.provider, plan.model, usage)
        record = Record(
            provider=key.provider,
            key_id=key.id,
            operation=plan.format.operation,
            model=plan.model,
            status=status,
            cache_status=cache_status,
            usage=usage,
            duration=duration,
            error_type=error_type,
            stored="attempt",
            cost=cost,
        )
        self._recorder.record(record)

    def measure(self, held: Held) -> float:
        """The seconds since the key was picked."""
        return self._clock() - held.began

    def wait_for(self, standing: Standing) -> float:
        """For how many more seconds a key rests."""
        return standing.health.wait(self._clock())

    def _line_up(self, pools: Sequence[Pool], wish: Wish, without: Collection[Standing]) -> list[Standing]:
        """The keys in the order in which they are asked for. Of those that rest it has the ones of which the store
        knows: it will refuse them, and tell when the first key may be called.
        """
        now, line = self._clock(), dict[Standing, None]()
        for pool in pools:
            awake = [
                (standing, capacity)
                for standing, capacity in zip(pool.standings, pool.capacities, strict=True)
                if standing not in without and not standing.health.wait(now)
            ]
            weak = [pair for pair in awake if self._is_weak(pair[0], len(awake), now)]
            strong = [pair for pair in awake if pair not in weak]
            line.update(dict.fromkeys([*self._sort(strong, wish, now), *self._sort(weak, wish, now)]))
        for standing in (each for pool in pools for each in pool.standings):
            if standing.is_shared and standing not in without:
                line.setdefault(standing)
        return list(line)[:_MOST_CHOICES]

    def _is_weak(self, standing: Standing, count: int, now: float) -> bool:
        """Whether a key that has rested stands behind the others this time, so that its part of the calls grows."""
        strength = standing.health.strength(now)
        return strength < 1 and self._chance() * count >= strength

    def _sort(self, pairs: Sequence[tuple[Standing, float]], wish: Wish, now: float) -> list[Standing]:
        loads = [
            standing.load(wish.demand, self._price(standing, wish).cost, capacity, now) for standing, capacity in pairs
        ]
        return [pairs[place][0] for place in self._order(loads, self._chance)]

    def _price(self, standing: Standing, wish: Wish) -> Demand:
        return self._prices.price(standing.key.provider, wish.plan.model, wish.demand)

    def _find_takes(self, standing: Standing, wish: Wish) -> Takes:
        return (*standing.takes(wish.demand), *self._find_rules(standing, wish, self._price(standing, wish)))

    def _find_rules(self, standing: Standing, wish: Wish, demand: Demand) -> Takes:
        return self._limiter.key_takes(wish.plan, wish.path, standing.key.provider, standing.key.id, demand)

    async def _reserve(self, line: Sequence[Standing], choices: Sequence[Takes]) -> Reservation:
        # Until the store answers the first is likely to be the one: others do not all go there meanwhile.
        first = line[0]
        self._take_turn(first)
        first.asking += 1
        first.calls += 1
        try:
            return await self._reservations.reserve(choices)
        finally:
            first.asking -= 1
            first.calls -= 1

    def _see(self, line: Sequence[Standing], reservation: Reservation) -> None:
        now = self._clock()
        for standing, takes, levels in zip(line, reservation.choices, reservation.admission.levels, strict=False):
            standing.see(takes, levels, now)

    def _hold(self, asked: Sequence[Standing], reservation: Reservation, wish: Wish) -> Held:
        now, standing = self._clock(), asked[-1]
        if standing.health.wait(now):
            # Whoever stands in for a store that is away does not know of its rest.
            standing.is_shared = False
            self._reservations.settle(reservation, self._find_takes(standing, replace(wish, demand=NOTHING)))
            raise LimitedError(standing.health.wait(now))
        for each in asked:
            self._take_turn(each)
        standing.calls += 1
        standing.recent.add(1.0, now)
        return Held(standing, reservation, wish, now)

    def _take_turn(self, standing: Standing) -> None:
        self._turns += 1
        standing.turn = self._turns

    def _wait_for_rest(self, pools: Sequence[Pool], line: Sequence[Standing]) -> float | None:
        """For how long the first of those that rest and were not asked for does."""
        rests = (self.wait_for(each) for pool in pools for each in pool.standings if each not in line)
        return min((wait for wait in rests if wait), default=None)

    async def _share_rest(self, standing: Standing, seconds: float) -> None:
        take, until = begin_rest(standing.key.provider, standing.key.id), standing.health.until
        try:
            admission = await self._store.reserve(token_hex(16), ((take,),), seconds)
        except Exception as error:
            self._recorder.report("store_errors", error)
        else:
            standing.is_shared = admission is not None and until == standing.health.until
