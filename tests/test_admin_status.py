"""admin/status.py: `GET /health`, `/ready` and `/cache`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coo_middleware.admin import create_admin, open_admin, status
from coo_middleware.config import make_config
from coo_middleware.stores import StoreError
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import READ, see
from tests.storage_server import ask


class Away(MemoryStore):
    """Does not answer: it fails, or hangs where it is told to."""

    hangs = False

    async def ping(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        raise StoreError("gone")


def closed(*rules: dict[str, object]) -> dict[str, Any]:
    """A configuration that refuses what has limits while the store is away."""
    return {"policy": {"limits": {"on_store_error": "closed", "rules": rules}}}


ALL = {"name": "all", "requests": 1}
SOME = {"name": "some", "requests": 1, "model": "gpt-*"}


async def test_health_without_a_token_says_that_it_answers_and_no_more() -> None:
    """Whatever the store does."""
    answer = await ask(create_admin(store=Away(), read_token=READ), "GET", "/health", headers=())

    assert (200, {"status": "ok"}) == (answer.status, answer.document)


async def test_health_with_a_token_tells_of_the_store() -> None:
    """Which it is, whether it answers, and how fast."""
    well = (await see(create_admin(store=MemoryStore(), read_token=READ), "/health"))["store"]
    ill = (await see(create_admin(store=Away(), read_token=READ), "/health"))["store"]

    assert ("MemoryStore", "ok", True) == (well["type"], well["status"], well["seconds"] < 1)
    assert {"type": "Away", "status": "away", "seconds": None} == ill


@pytest.mark.parametrize(
    ("store", "config", "expected"),
    [
        (MemoryStore(), None, (200, "ok")),
        (MemoryStore(), closed(ALL), (200, "ok")),
        (Away(), None, (200, "degraded")),
        (Away(), {"policy": {"limits": {"rules": [ALL]}}}, (200, "degraded")),
        (Away(), closed(SOME), (200, "degraded")),
        (Away(), closed(SOME, ALL), (503, "unavailable")),
    ],
)
async def test_it_is_ready_while_anything_can_be_served(
    store: MemoryStore, config: dict[str, Any] | None, expected: tuple[int, str]
) -> None:
    """Without the store requests are forwarded; only limits that cover everything can refuse everything."""
    answer = await ask(create_admin(config, store=store, read_token=READ), "GET", "/ready", headers=())

    assert (expected[0], {"status": expected[1]}) == (answer.status, answer.document)


async def test_a_store_that_hangs_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe waits for a second at most."""
    monkeypatch.setattr(status, "_PING_SECONDS", 0.01)
    store = Away()
    store.hangs = True
    answer = await ask(create_admin(store=store, read_token=READ), "GET", "/ready", headers=())

    assert {"status": "degraded"} == answer.document


async def test_cache_tells_what_this_process_counted() -> None:
    """Reused ones against those that could have been."""
    config = make_config({"admin": {"enabled": True, "read_token": READ}})
    counts = {"hits": 2, "stale": 1, "collapsed": 3, "misses": 6, "bypass.random": 9}
    told = await see(open_admin(config, MemoryStore(), lambda: counts), "/coo/cache")

    assert (counts, 0.5, {"count": 0, "is_complete": True}) == (told["process"], told["hit_ratio"], told["entries"])


async def test_apart_from_the_middleware_there_are_no_counts() -> None:
    """Nothing is not zero."""
    told = await see(create_admin(store=MemoryStore(), read_token=READ), "/cache")

    assert ({}, None) == (told["process"], told["hit_ratio"])
