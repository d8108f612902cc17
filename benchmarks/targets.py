"""What the figures ought to reach, each a ratio within one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks import contenders
from benchmarks.results import Table

Figures = Mapping[str, float]

_OURS: Final = contenders.OURS.name
_COLD: Final = contenders.COLD.name
_WHOLE: Final = contenders.WHOLE.name
_PEERS: Final = tuple(peer.name for peer in contenders.PEERS)
_SIZES: Final = ("200 B", "4 KB", "100 KB")


@dataclass(frozen=True, slots=True)
class _Target:
    """`reach` finds the figure and raises KeyError where it was not measured."""

    what: str
    bound: float
    reach: Callable[[Figures], float]
    at_least: bool = False


def _find(name: str) -> Callable[[Figures], float]:
    return lambda figures: figures[name]


def _to(mode: str, part: str, other: str) -> Callable[[Figures], float]:
    """Ours to another's."""
    return lambda figures: figures[f"{mode}/{_OURS}/{part}"] / figures[f"{mode}/{other}/{part}"]


def _to_peers(mode: str, part: str, best: Callable[[list[float]], float] = min) -> Callable[[Figures], float]:
    """Ours to the best peer's."""

    def reach(figures: Figures) -> float:
        own = figures[f"{mode}/{_OURS}/{part}"]
        names = [f"{mode}/{peer}/{part}" for peer in _PEERS]
        return own / best([figures[name] for name in names if name in figures] or [own])

    return reach


_TARGETS: Final = (
    *(_Target(f"hit, {size}: to (c3)", 1.3, _to(f"hit/{size}", "µs", _WHOLE)) for size in _SIZES),
    *(
        _Target(f"hit, {size}: to the best peer", bound, _to_peers(f"hit/{size}", "µs"))
        for size, bound in zip(_SIZES, (1 / 4, 1 / 4, 1 / 3), strict=True)
    ),
    *(
        _Target(f"hit, written differently, {size}: to (c)", 1.3, _find(f"hit, written differently/{size}/{_OURS}/x"))
        for size in _SIZES
    ),
    *(_Target(f"miss over (b), {size}: to (c3)", 1.3, _to(f"miss/{size}", "over", _WHOLE)) for size in _SIZES[:2]),
    *(
        _Target(f"miss over (b), {size}: to the best peer", bound, _to_peers(f"miss/{size}", "over"))
        for size, bound in zip(_SIZES, (0.5, 0.5, 0.9), strict=True)
    ),
    _Target("all work of a miss over (b), 4 KB: to (c3)", 1.3, _to("miss/4 KB", "all over", _WHOLE)),
    _Target("all work of a miss over (b), 4 KB: to the best peer", 0.6, _to_peers("miss/4 KB", "all over")),
    _Target("streamed miss, µs an event over (b)", 0.5, _find(f"streamed miss/4 KB/{_OURS}/event over")),
    _Target("streamed miss, first event: to (b)", 1.05, _find(f"streamed miss/4 KB/{_OURS}/first x")),
    _Target(
        "streamed miss over sockets, first event: to (b)",
        1.05,
        _to("sockets, streamed miss, 2 ms an event/4 KB", "first p50 ms", contenders.PASS.name),
    ),
    _Target("streamed hit, 4 KB: to (c3)", 1.3, _to("streamed hit/4 KB", "µs", _WHOLE)),
    _Target("streamed hit, 4 KB: to the peer", 1 / 40, _to_peers("streamed hit/4 KB", "µs")),
    *(
        _Target(f"calls for {crowd} identical at once, {kind}", 1.0, _find(f"crowd/{kind}, {crowd}/{_OURS}/calls"))
        for kind in ("memory", "redis")
        for crowd in ("50", "1,000")
    ),
    _Target("Redis hit, first level: to (c3)", 1.3, _to("redis hit/4 KB", "x", _WHOLE)),
    _Target("Redis hit, first level: trips", 0.0, _find(f"redis hit, in the way/4 KB/{_OURS}/trips")),
    _Target("Redis hit, cold: to (c)", 1.1, _find(f"redis hit/4 KB/{_COLD}/x")),
    _Target("Redis hit, cold: trips", 1.0, _find(f"redis hit, in the way/4 KB/{_COLD}/trips")),
    _Target("Redis miss: to (c)", 0.75, _find(f"redis miss/4 KB/{_OURS}/x")),
    _Target("Redis miss: trips in the way", 1.0, _find(f"redis miss, in the way/4 KB/{_OURS}/trips")),
    _Target("Redis miss: trips after", 1.0, _find(f"redis miss, after/4 KB/{_OURS}/trips")),
    _Target("sqlite hit: to (c)", 1.3, _find(f"sqlite hit/4 KB/{_OURS}/x")),
    _Target("bytes of an entry, to its answer", 1.25, _find(f"scale/{_OURS}/bytes over answer")),
    _Target("hit among the most entries, to the fewest", 1.5, _find(f"scale/{_OURS}/hit x")),
    _Target("collection with up to 100,000 entries, to the fewest", 1.5, _find(f"scale/{_OURS}/pause x")),
    _Target("window in memory after the most increments, to the fewest", 1.2, _find("window/memory/most/x")),
    _Target("window in memory, µs", 2.0, _find("window/memory/most/µs")),
    _Target("window in Redis after the most increments, to the fewest", 1.2, _find("window/redis/most/x")),
    _Target("sockets, hit, 4 KB: req/s to (c)", 1.25, _find(f"sockets, hit/4 KB/{_OURS}/x (c)"), at_least=True),
    _Target(
        "sockets, hit, 4 KB: req/s to the bare handler", 1.3, _find(f"sockets, hit/4 KB/{_OURS}/x bare"), at_least=True
    ),
    _Target(
        "sockets, hit, 4 KB: req/s to LiteLLM", 100.0, _to("sockets, hit/4 KB", "req/s", "LiteLLM proxy"), at_least=True
    ),
    _Target("sockets, miss, 4 KB: req/s to (c)", 0.9, _find(f"sockets, miss/4 KB/{_OURS}/x (c)"), at_least=True),
    _Target("sockets, miss, 4 KB: p99 to (b)", 2.0, _to("sockets, miss/4 KB", "p99 ms", contenders.PASS.name)),
)
_NOTE: Final = "Of what was measured in this run."


def judge(figures: Figures) -> Table:
    """Which targets are met."""
    rows = []
    for target in _TARGETS:
        try:
            reached = target.reach(figures)
        except KeyError:
            continue
        met = reached >= target.bound if target.at_least else reached <= target.bound
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:.3g}"
        rows.append((target.what, bound, reached, "yes" if met else "no"))
    return Table("Targets", _NOTE, ("what", "target", "reached", "met"), tuple(rows))
