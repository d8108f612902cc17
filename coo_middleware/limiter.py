"""Limits of callers, models, paths, providers and keys: asked before a call, settled after it, told with its answer."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from coo_middleware.core.demand import NOTHING, Demand
from coo_middleware.core.fullness import find_wait, is_full
from coo_middleware.core.limit_fields import Standing, limit_fields
from coo_middleware.core.limit_rules import Limit, LimitRules, Subjects
from coo_middleware.core.limited import LimitedError
from coo_middleware.reservations import Reservation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coo_middleware.core.limits import Takes
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.quotas import LimitsPolicy
    from coo_middleware.core.request import Headers
    from coo_middleware.prices import Prices
    from coo_middleware.reservations import Reservations

_MOST_SEEN: Final = 10_000
_ONE_REQUEST: Final = Demand()


@dataclass(frozen=True, slots=True)
class Permit:
    """What one call holds of its limits, to be settled once; `reused` is what it had taken of some before."""

    limits: tuple[Limit, ...]
    reservation: Reservation
    reused: Permit | None = None


class Limiter:
    """Limits by `policy.rules`. Those per key are the balancer's where keys are `pooled`, and else have the caller for
    the key: it brings one. `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        policy: LimitsPolicy,
        reservations: Reservations,
        prices: Prices,
        *,
        pooled: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._reservations: Final = reservations
        self._prices: Final = prices
        self._tells: Final = policy.headers
        self._clock: Final = clock
        self._rules: Final = LimitRules(rule for rule in policy.rules if not (pooled and "key" in rule.per))
        self._key_rules: Final = LimitRules(rule for rule in policy.rules if pooled and "key" in rule.per)
        # Of a limit, what was left of it when it was last asked for, and when it will be whole.
        self._seen: Final[OrderedDict[str, tuple[float, float]]] = OrderedDict()

    def applies(self, plan: Plan, path: str) -> bool:
        """Whether a request has any limit here; what has none need not be admitted."""
        return self._rules.applies(path, plan.model, plan.provider)

    async def admit(self, plan: Plan, path: str, foreseen: Demand, reused: Permit | None = None) -> Permit:
        """Takes what is foreseen of all limits, or of none; the cost is ours to find out. `reused` is what the same
        request took before: it becomes a part of the permit, or is given back.

        Raises LimitedError, and StoreError while the store is away and `policy.on_store_error` is `closed`.
        """
        try:
            taken = {limit.name for limit in reused.limits} if reused else set()
            limits = tuple(limit for limit in self._find(plan, path) if limit.name not in taken)
            if any(limit.kind == "cost" for limit in limits):
                foreseen = self._prices.price(plan.provider, plan.model, foreseen)
            return Permit(limits, await self._reserve(limits, foreseen), reused)
        except BaseException:
            if reused is not None:
                self.settle(reused, NOTHING)
            raise

    async def admit_reuse(self, plan: Plan, path: str) -> Permit | None:
        """Takes one request of the limits that count reused responses too; None where there are none. Raises as `admit`
        does.
        """
        limits = tuple(limit for limit in self._find(plan, path) if limit.counts_hits)
        return Permit(limits, await self._reserve(limits, _ONE_REQUEST)) if limits else None

    def settle(self, permit: Permit, demand: Demand) -> None:
        """Puts what was used, its cost included, in the place of what was taken; NOTHING gives all of it back."""
        takes = tuple(limit.take(demand) for limit in permit.limits)
        self._reservations.settle(permit.reservation, takes)
        for taken, used in zip(permit.reservation.takes, takes, strict=False):
            remaining, whole = self._seen.get(taken.name, (0.0, 0.0))
            self._seen[taken.name] = min(taken.limit, remaining + taken.amount - used.amount), whole
        if permit.reused is not None:
            self.settle(permit.reused, demand)

    def key_takes(self, plan: Plan, path: str, provider: str, key_id: str, demand: Demand) -> Takes:
        """What a call takes of the limits of a provider's key, that are the balancer's to reserve. To settle, the same
        with what was used.
        """
        limits = self._key_rules.find(Subjects(plan.caller, plan.model, path, provider, key_id))
        return tuple(limit.take(demand) for limit in limits)

    def tell(self, permit: Permit) -> Headers:
        """The fields of an answer that say how the limits stand."""
        return self._tell((*permit.limits, *(permit.reused.limits if permit.reused else ())))

    def tell_last(self, plan: Plan, path: str) -> Headers:
        """The same for what was not admitted here: the limits as this process last saw them, whole if it never did."""
        return self._tell(self._find(plan, path)) if self._tells else ()

    def _find(self, plan: Plan, path: str) -> tuple[Limit, ...]:
        return self._rules.find(Subjects(plan.caller, plan.model, path, plan.provider, plan.caller))

    async def _reserve(self, limits: tuple[Limit, ...], demand: Demand) -> Reservation:
        reservation = await self._reservations.reserve((tuple(limit.take(demand) for limit in limits),))
        self._see(reservation)
        if not reservation.is_admitted:
            raise _make_error(limits, reservation)
        return reservation

    def _see(self, reservation: Reservation) -> None:
        now = self._clock()
        for take, level in zip(reservation.choices[0], reservation.admission.levels[0], strict=False):
            self._seen[take.name] = take.limit - level.used, now + level.reset_seconds
            self._seen.move_to_end(take.name)
        while len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)

    def _tell(self, limits: Sequence[Limit]) -> Headers:
        return limit_fields([self._recall(limit) for limit in limits]) if self._tells else ()

    def _recall(self, limit: Limit) -> Standing:
        remaining, whole = self._seen.get(limit.name, (limit.quota, 0.0))
        reset = whole - self._clock()
        return Standing(limit, remaining, reset) if reset > 0 else Standing(limit, limit.quota, 0.0)


def _make_error(limits: Sequence[Limit], refused: Reservation) -> LimitedError:
    takes, levels = refused.choices[0], refused.admission.levels[0]
    full = [limit for limit, take, level in zip(limits, takes, levels, strict=True) if is_full(take, level)]
    return LimitedError(
        find_wait(takes, levels, refused.admission.wait_seconds),
        tuple(dict.fromkeys(limit.rule for limit in full)),
        spent=any(limit.kind == "cost" for limit in full),
    )
