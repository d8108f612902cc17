"""What a cache would have saved, from requests that are replayed in the order of their coming."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from coo_middleware.core.entry import Entry
from coo_middleware.core.freshness import judge
from coo_middleware.core.outcome import Usage
from coo_middleware.core.plan import Plan
from coo_middleware.core.steering import AnswerWishes, effective_grace

Fate: TypeAlias = Literal["hit", "stale", "collapsed", "miss", "bypass"]

# How often what can be of no use any more is let go.
_SWEPT_CALLS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Call:
    """A recorded request: it came at `time`, in seconds since 1970, and was answered `duration` seconds later with what
    may be stored for `ttl` seconds, 0 where it may not. `cost` is what its usage costs, in US dollars.
    """

    plan: Plan
    time: float
    duration: float
    ttl: float
    usage: Usage | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Saving:
    """What some requests would have come to. `tokens` and `cost` are those of all of them without a cache, `unmeasured`
    the requests whose usage is not known, `unpriced` those whose cost is not.
    """

    requests: int = 0
    hits: int = 0
    stale: int = 0
    collapsed: int = 0
    misses: int = 0
    bypassed: int = 0
    unmeasured: int = 0
    unpriced: int = 0
    tokens: int = 0
    tokens_saved: int = 0
    cost: float = 0.0
    cost_saved: float = 0.0

    @property
    def hit_ratio(self) -> float | None:
        """Of the requests that asked the cache those that it would have answered, None where none did."""
        asked = self.requests - self.bypassed
        return (self.hits + self.stale + self.collapsed) / asked if asked else None

    def add(self, call: Call, fate: Fate) -> Saving:
        """This and one more request."""
        saves = fate in ("hit", "collapsed")
        tokens, cost = call.usage.tokens if call.usage else 0, call.cost or 0.0
        return Saving(
            requests=self.requests + 1,
            hits=self.hits + (fate == "hit"),
            stale=self.stale + (fate == "stale"),
            collapsed=self.collapsed + (fate == "collapsed"),
            misses=self.misses + (fate == "miss"),
            bypassed=self.bypassed + (fate == "bypass"),
            unmeasured=self.unmeasured + (call.usage is None),
            unpriced=self.unpriced + (call.cost is None),
            tokens=self.tokens + tokens,
            tokens_saved=self.tokens_saved + tokens * saves,
            cost=self.cost + cost,
            cost_saved=self.cost_saved + cost * saves,
        )

    def join(self, other: Saving) -> Saving:
        """Both together."""
        return Saving(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class _Kept:
    """The last call for a key, under way until `ends`, and what is stored then or was before."""

    began: float
    ends: float
    entry: Entry | None


class Replay:
    """Says of one request after the other what a cache without bounds would have done. It holds what can still be of
    use, so a record may be of any length.
    """

    def __init__(self) -> None:
        self._kept: dict[bytes, _Kept] = {}
        self._calls = 0

    def add(self, call: Call) -> Fate:
        """The fate of the next request, which must not be earlier than the one before."""
        plan = call.plan
        if not plan.digest:
            return "bypass"
        self._sweep(call.time)
        kept = self._kept.get(plan.digest)
        if kept is None or plan.directives.no_cache:
            return self._ask(call, kept.entry if kept else None)
        if call.time < kept.ends and plan.policy.collapse:
            return "collapsed"
        if kept.entry is not None and call.time >= kept.entry.created:
            verdict = judge(kept.entry, plan.directives, call.time)
            if verdict.serves:
                return self._refresh(call, kept.entry) if verdict.revalidates else "hit"
        return self._ask(call, kept.entry)

    def _ask(self, call: Call, known: Entry | None) -> Fate:
        ends = call.time + call.duration
        entry = _make_entry(call, ends) if call.ttl > 0 else known
        self._kept[call.plan.digest] = _Kept(call.time, ends, entry)
        return "miss"

    def _refresh(self, call: Call, known: Entry) -> Fate:
        """A stale response answers at once, and what it spares the caller is spent on the call in its wake."""
        self._ask(replace(call, duration=0.0), known)
        return "stale"

    def _sweep(self, now: float) -> None:
        self._calls += 1
        if self._calls % _SWEPT_CALLS == 0:
            self._kept = {key: kept for key, kept in self._kept.items() if _is_of_use(kept, now)}


def _make_entry(call: Call, created: float) -> Entry:
    plan = call.plan
    entry = Entry(plan.digest, created, call.ttl, "", "", "", "", plan.shape, None, (), b"")
    swr, sie = effective_grace(plan.policy, AnswerWishes(), revalidate=None, error=None)
    return replace(entry, stale_while_revalidate=swr, stale_if_error=sie)


def _is_of_use(kept: _Kept, now: float) -> bool:
    entry = kept.entry
    return now < kept.ends or (entry is not None and now < entry.created + entry.ttl + entry.grace)
