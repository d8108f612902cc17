"""What series add up to: the figures of a provider, of a key, of a model, and of all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from coo_middleware.core.series import (
    BOUNDS,
    COST_SAVED,
    COST_USED,
    DURATION,
    DURATION_SUM,
    FAILURES,
    REQUESTS,
    TOKENS_SAVED,
    TOKENS_USED,
    Series,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Group: TypeAlias = Literal["provider", "key", "model"]
Sums: TypeAlias = "Mapping[tuple[str, ...], float]"

_EDGES: Final[tuple[float, ...]] = (0.0, *BOUNDS)
_LABELS: Final = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


@dataclass(frozen=True, slots=True)
class Row:
    """One series of one provider's key, and its sums: of each bucket of a window, or the one total."""

    provider: str
    key_id: str
    series: Series
    values: tuple[float, ...]

    @property
    def model(self) -> str:
        """The first label of every series."""
        return self.series.labels[0]


@dataclass(frozen=True, slots=True)
class Tally:
    """Figures of some requests. `reused` were answered without a call of their own, `bypassed` never asked the cache;
    the tokens are those that providers were asked for, costs are US dollars, `mean` and `p95` seconds from a request's
    coming to the end of its answer, None without requests.
    """

    requests: float = 0.0
    reused: float = 0.0
    bypassed: float = 0.0
    failures: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    tokens_saved: float = 0.0
    cost: float = 0.0
    cost_saved: float = 0.0
    mean: float | None = None
    p95: float | None = None

    @property
    def hit_ratio(self) -> float | None:
        """Of the requests that asked the cache those that were reused, None where none did."""
        asked = self.requests - self.bypassed
        return self.reused / asked if asked > 0 else None


def tally(rows: Iterable[Row]) -> Tally:
    """The figures of some rows."""
    sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for row in rows:
        sums[(row.series.name, *row.series.labels[1:])] += sum(row.values)
    requests, lasted = _sum(sums, REQUESTS), _sum(sums, DURATION_SUM)
    durations = [_sum(sums, DURATION, 2, (label,)) for label in _LABELS]
    counted = sum(durations)
    return Tally(
        requests=requests,
        reused=_sum(sums, REQUESTS, 1, ("hit", "stale", "collapsed")),
        bypassed=_sum(sums, REQUESTS, 1, ("bypass",)),
        failures=_sum(sums, FAILURES),
        input_tokens=sums.get((TOKENS_USED, "input"), 0.0),
        output_tokens=sums.get((TOKENS_USED, "output"), 0.0),
        tokens_saved=_sum(sums, TOKENS_SAVED),
        cost=_sum(sums, COST_USED),
        cost_saved=_sum(sums, COST_SAVED),
        mean=lasted / counted if counted > 0 else None,
        p95=find_quantile(0.95, durations),
    )


def tally_by(group: Group, rows: Iterable[Row]) -> list[tuple[tuple[str, ...], Tally]]:
    """The figures of each provider, of each of its keys or of each model, by name, most requests first."""
    grouped: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[_name(group, row)].append(row)
    told = [(names, tally(each)) for names, each in grouped.items()]
    return sorted(told, key=lambda each: (-each[1].requests, each[0]))


def find_quantile(share: float, counts: Sequence[float]) -> float | None:
    """The duration, in seconds, that `share` of the requests did not exceed, from the buckets of BOUNDS and the one
    above them, as histogram_quantile of Prometheus has it: linear within a bucket, and the last bound for all beyond
    it. None without requests.
    """
    total = sum(counts)
    if total <= 0:
        return None
    rank = share * total
    for (lower, upper), count, reached in zip(pairwise(_EDGES), counts, accumulate(counts), strict=False):
        if reached >= rank and count > 0:
            return lower + (upper - lower) * (rank - (reached - count)) / count
    return _EDGES[-1]


def _sum(sums: Sums, name: str, place: int = 0, labels: Sequence[str] = ()) -> float:
    """Of the series `name` all, or those with one of `labels` at `place`."""
    return sum(each for key, each in sums.items() if key[0] == name and (not labels or key[place] in labels))


def _name(group: Group, row: Row) -> tuple[str, ...]:
    if group == "model":
        return (row.model,)
    return (row.provider,) if group == "provider" else (row.provider, row.key_id)
