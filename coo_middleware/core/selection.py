"""In which order keys are asked for room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.providers import HybridWeights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coo_middleware.core.providers import Algorithm, Priority

Order: TypeAlias = "Callable[[Sequence[Load], Callable[[], float]], list[int]]"

WEIGHTS: Final[dict[Priority, HybridWeights]] = {
    "balanced": HybridWeights(),
    "cost": HybridWeights(0.125, 0.125, 0.125, 0.125, cost_ratio=0.5),
    "req": HybridWeights(0.125, req_ratio=0.5, error_score=0.125, latency=0.125, cost_ratio=0.125),
    "token": HybridWeights(token_ratio=0.5, req_ratio=0.125, error_score=0.125, latency=0.125, cost_ratio=0.125),
}
# Where only a few calls are in flight, one more or less says little.
_FEW_CALLS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """How a key stands. `capacity` is its limits beside the widest of its pool, 1 where it has as much or no limit.
    `requests`, `tokens` and `calls_share` are the used shares of its limits, None where it has none of the kind.
    `calls` are in flight, `recent` those of the last minute, `latency` is in seconds, `cost` in US dollars for this
    call, and `turn` grows with each call that it was asked for.
    """

    capacity: float = 1.0
    requests: float | None = None
    tokens: float | None = None
    calls_share: float | None = None
    calls: float = 0.0
    recent: float = 0.0
    errors: float = 0.0
    latency: float = 0.0
    cost: float = 0.0
    turn: int = 0

    @property
    def used(self) -> float | None:
        """The used share of the limit that is used most."""
        return max((each for each in (self.requests, self.tokens, self.calls_share) if each is not None), default=None)


def make_order(algorithm: Algorithm, weights: HybridWeights) -> Order:
    """The order of an algorithm: the places of the loads, the best first. It is given a source of numbers from 0 to 1,
    by which ties are broken.
    """
    if algorithm == "round_robin":
        return _order_by_turn
    if algorithm == "least_loaded":
        return lambda loads, chance: _sort(_weigh_load(loads), chance)
    return lambda loads, chance: _sort(_weigh_all(loads, weights), chance)


def _order_by_turn(loads: Sequence[Load], _: Callable[[], float]) -> list[int]:
    # The longest without a turn, and not the next in a ring: else whoever stands behind a key that rests would have its
    # turns as well.
    return sorted(range(len(loads)), key=lambda place: loads[place].turn)


def _sort(scores: Sequence[float], chance: Callable[[], float]) -> list[int]:
    ties = [chance() for _ in scores]
    return sorted(range(len(scores)), key=lambda place: (scores[place], ties[place]))


def _weigh_load(loads: Sequence[Load]) -> list[float]:
    used = _fill([each.used for each in loads], loads, 1.0)
    pressure = [each.calls / each.capacity for each in loads]
    most = max(pressure, default=0.0) + _FEW_CALLS
    return [share + calls / most for share, calls in zip(used, pressure, strict=True)]


def _weigh_all(loads: Sequence[Load], weights: HybridWeights) -> list[float]:
    # Where nobody has limits of a kind it says nothing; without any limits the requests do.
    unlimited = float(all(each.requests is each.tokens is None for each in loads))
    terms = (
        (weights.token_ratio, _fill([each.tokens for each in loads], loads, 0.0)),
        (weights.req_ratio, _fill([each.requests for each in loads], loads, unlimited)),
        (weights.error_score, [each.errors for each in loads]),
        (weights.latency, _relate([each.latency for each in loads])),
        (weights.cost_ratio, _relate([each.cost for each in loads])),
    )
    return [sum(weight * term[place] for weight, term in terms) for place in range(len(loads))]


def _fill(shares: Sequence[float | None], loads: Sequence[Load], alone: float) -> list[float]:
    """The shares; a key without a limit counts as being as full as the fullest beside it would be for as many calls,
    and where none has a limit the busiest as `alone`.
    """
    fullest = max((share for share in shares if share is not None), default=alone)
    busy = _relate([each.recent / each.capacity for each in loads])
    return [fullest * busy[place] if share is None else share for place, share in enumerate(shares)]


def _relate(amounts: Sequence[float]) -> list[float]:
    """The amounts over the largest of them."""
    most = max(amounts, default=0.0)
    return [amount / most if most else 0.0 for amount in amounts]
