"""Who is compared: the floors, ours and the peers, each before the same endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import peers
from benchmarks.contents import PassThrough
from benchmarks.handler import Upstream, make_app
from benchmarks.places import Place
from benchmarks.running import TTL_SECONDS, Running, rest
from coo_middleware import COOMiddleware

if TYPE_CHECKING:
    from benchmarks.shelves import Shelf


@dataclass(frozen=True, slots=True)
class Contender:
    """One who is compared. `make` builds it before a provider, with its entries in a place. `stores`: where it can have
    them. `caches`, `streams`, `reads`: whether it keeps answers, keeps streams, and knows a request in another
    spelling. `program`: what starts it where it is no app of ours.
    """

    name: str
    make: Callable[[Upstream, Place], Running]
    stores: frozenset[str]
    caches: bool = True
    streams: bool = True
    reads: bool = False
    program: str = ""


def _bare(upstream: Upstream, _place: Place) -> Running:
    return Running(make_app(upstream), upstream, caches=False)


def _pass_through(upstream: Upstream, _place: Place) -> Running:
    return Running(PassThrough(make_app(upstream)), upstream, caches=False)


def _least(upstream: Upstream, place: Place) -> Running:
    from benchmarks.floors import Least

    shelf = _open_shelf(place)
    return Running(Least(make_app(upstream), shelf), upstream, close=rest if shelf is None else shelf.close)


def _whole(upstream: Upstream, place: Place) -> Running:
    from benchmarks.floors import LeastWhole

    floor = LeastWhole(make_app(upstream), _open_shelf(place))
    return Running(floor, upstream, floor.drain, floor.close)


def _open_shelf(place: Place) -> Shelf | None:
    from benchmarks.shelves import RedisShelf, SqliteShelf

    if place.kind == "memory":
        return None
    return RedisShelf(place.url) if place.kind == "redis" else SqliteShelf(place.new_file())


def _ours(*, metrics: bool = True, local: bool = True) -> Callable[[Upstream, Place], Running]:
    def make(upstream: Upstream, place: Place) -> Running:
        policy: dict[str, dict[str, object]] = {"cache": {"ttl_seconds": TTL_SECONDS}}
        if not local:
            policy["cache"]["local_max_bytes"] = 0
        if not metrics:
            policy["metrics"] = {"enabled": False}
        runtime = {**place.runtime(), **(_ROOMY if place.kind == "memory" else {})}
        middleware = COOMiddleware(make_app(upstream), {"storage": {"runtime": runtime}, "policy": policy})
        return Running(middleware, upstream, middleware.drain, partial(_close, middleware))

    return make


async def _close(middleware: COOMiddleware) -> None:
    """A figure of ours counts only if nothing went wrong on the way."""
    await middleware.close()
    faults = {name: count for name, count in middleware.counts.items() if name.endswith("_errors")}
    if faults:
        raise RuntimeError(f"coo_middleware had faults: {faults}")


_ROOMY: Final = {"max_entries": 10_000_000, "max_bytes": 1 << 40}
_ALL: Final = frozenset({"memory", "sqlite", "redis"})
_MEMORY: Final = frozenset({"memory"})
_BOTH: Final = frozenset({"memory", "redis"})

BARE: Final = Contender("bare handler", _bare, _ALL, caches=False)
PASS: Final = Contender("pass-through (b)", _pass_through, _ALL, caches=False)
LEAST: Final = Contender("least cache (c)", _least, _ALL, reads=True)
WHOLE: Final = Contender("least cache, whole (c3)", _whole, _ALL, reads=True)
OURS: Final = Contender("coo_middleware", _ours(), _ALL, reads=True)
UNMETERED: Final = Contender("coo_middleware, metrics off", _ours(metrics=False), _ALL, reads=True)
COLD: Final = Contender(
    "coo_middleware, no first level", _ours(local=False), frozenset({"redis", "sqlite"}), reads=True
)
HISHEL: Final = Contender("hishel", peers.hishel, _ALL)
FASTAPI_CACHE: Final = Contender("fastapi-cache2", peers.fastapi_cache, _BOTH, streams=False)
AIOCACHE: Final = Contender("aiocache", peers.aiocache, _BOTH, streams=False)
STAMPEDE: Final = Contender("aiocache, stampede", peers.aiocache_stampede, _BOTH, streams=False)
CASHEWS: Final = Contender("cashews", peers.cashews, _BOTH, streams=False)
LOCKED: Final = Contender("cashews, lock", peers.cashews_lock, _BOTH, streams=False)

PEERS: Final = (HISHEL, FASTAPI_CACHE, AIOCACHE, STAMPEDE, CASHEWS, LOCKED)
ALL: Final = (BARE, PASS, LEAST, WHOLE, OURS, UNMETERED, COLD, *PEERS)
