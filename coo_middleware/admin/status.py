"""`GET /health`, `/ready` and `/cache`: how this process and its store are."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from coo_middleware.admin.entries import count_entries
from coo_middleware.admin.room import encode
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.admin.room import Asked, Room
    from coo_middleware.config import Policy

_PING_SECONDS: Final = 1.0


async def answer_health(room: Room, asked: Asked) -> Mapping[str, object]:
    """That this process answers; with a token also how its store is, and in how many seconds that answered."""
    if asked.right == "none":
        return {"status": "ok"}
    seconds = await _ping(room)
    state = "away" if seconds is None else "ok"
    return {"status": "ok", "store": {"type": _name_store(room), "status": state, "seconds": seconds}}


async def answer_ready(room: Room, _asked: Asked) -> Mapping[str, object] | Response:
    """Whether requests can be served: while the store is away they are, without it; 503 only where limits refuse them
    all then.
    """
    if await _ping(room) is not None:
        return {"status": "ok"}
    if _refuses_all(room.config.policy):
        return Response(encode({"status": "unavailable"}), 503, media_type="application/json")
    return {"status": "degraded"}


async def answer_cache(room: Room, _asked: Asked) -> Mapping[str, object]:
    """This process's own counts, and how many responses are stored. Raises StoreError."""
    counts = room.counts()
    reused = sum(counts.get(name, 0) for name in ("hits", "stale", "collapsed"))
    asked = reused + counts.get("misses", 0)
    return {
        "process": dict(counts),
        "hit_ratio": reused / asked if asked else None,
        "entries": await count_entries(room),
    }


async def _ping(room: Room) -> float | None:
    """How long the store took to answer, in seconds, None when it did not."""
    begun = perf_counter()
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await room.store.ping()
    except (StoreError, TimeoutError):
        return None
    return perf_counter() - begun


def _refuses_all(policy: Policy) -> bool:
    everything = any({rule.path, rule.model, rule.provider} == {"*"} for rule in policy.limits.rules)
    return policy.limits.on_store_error == "closed" and everything


def _name_store(room: Room) -> str:
    return type(room.store).__name__
