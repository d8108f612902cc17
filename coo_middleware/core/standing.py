"""What one process knows of a provider's key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from coo_middleware.core.health import Fading, Health
from coo_middleware.core.key_takes import KeyLimitList, compare_limits, heed_rest, list_limits, take_all
from coo_middleware.core.providers import ProviderKey
from coo_middleware.core.selection import Load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.demand import Demand, Kind
    from coo_middleware.core.limits import Level, Takes
    from coo_middleware.core.providers import KeyLimits

_MINUTE: Final = 60.0


@dataclass(slots=True)
class Sight:
    """A limit as the store last told it: how much was used at a moment, and how long after it all of that is free."""

    used: float
    at: float
    reset_seconds: float

    def read(self, now: float) -> float:
        """What is used by now, if nobody took more: windows empty little by little."""
        left = 1 - (now - self.at) / self.reset_seconds if self.reset_seconds else 0.0
        return self.used * max(0.0, left)


@dataclass(slots=True, eq=False)
class Standing:
    """One key. All times are seconds by one monotonic clock; `calls` are in flight, `asking` those of them for which
    the store has been asked and has not answered. `is_shared`: the store knows that it rests. `turn` grows with each
    call that it was asked for.
    """

    key: ProviderKey
    health: Health
    limits: KeyLimitList
    most_tokens: float
    calls: int = 0
    asking: int = 0
    turn: int = 0
    is_shared: bool = False
    recent: Fading = field(default_factory=lambda: Fading(_MINUTE))
    sights: dict[str, Sight] = field(default_factory=dict)

    def takes(self, demand: Demand, *, settles: bool = False) -> Takes:
        """What a call takes of the key's limits, or took in truth; while it rests that does not fit."""
        most = 0.0 if settles else self.most_tokens
        return (heed_rest(self.key.provider, self.key.id), *take_all(self.limits, demand, most))

    def see(self, takes: Takes, levels: Sequence[Level], now: float) -> None:
        """Takes what the store told of what `takes` are of: how limits stand, and that another process lets it rest."""
        known = {each.name for each in self.limits}
        for take, level in zip(takes, levels, strict=False):
            if take.name in known:
                self.sights[take.name] = Sight(level.used, now, level.reset_seconds)
        rests = levels[0].used > takes[0].limit if levels else False
        if rests and not self.health.wait(now):
            self.health.rest(levels[0].reset_seconds, now)
            self.is_shared = True

    def load(self, demand: Demand, cost: float, capacity: float, now: float) -> Load:
        """How it stands, before a call that takes `demand` and costs `cost`."""
        return Load(
            capacity=capacity,
            requests=self._share("requests", demand, now),
            tokens=self._share("tokens", demand, now),
            calls_share=self._share("concurrency", demand, now),
            calls=self.calls,
            recent=self.recent.read(now) + self.asking,
            errors=self.health.error_share(now),
            latency=self.health.latency.read(now),
            cost=cost,
            turn=self.turn,
        )

    def _share(self, kind: Kind, demand: Demand, now: float) -> float | None:
        amount = self.asking * demand.of(kind)
        return max(
            (self._used(each.name, now, amount) / each.limit for each in self.limits if each.kind == kind), default=None
        )

    def _used(self, name: str, now: float, amount: float) -> float:
        sight = self.sights.get(name)
        return amount + (sight.read(now) if sight else 0.0)


@dataclass(frozen=True, slots=True)
class Pool:
    """The keys among which a call is shared, and how much each may do beside the one that may do most."""

    standings: tuple[Standing, ...]
    capacities: tuple[float, ...]


def make_standing(key: ProviderKey, limits: KeyLimits, pause: float, longest: float) -> Standing:
    """A key of which nothing is known yet. Raises ValueError for a session that is no length of time."""
    return Standing(key, Health(pause, longest), list_limits(key.provider, key.id, limits), limits.max_tokens)


def make_pool(standings: Sequence[Standing]) -> Pool:
    """The pool of these keys."""
    return Pool(tuple(standings), tuple(compare_limits([each.limits for each in standings])))
