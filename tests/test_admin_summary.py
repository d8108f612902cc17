"""admin/summary.py: `GET /summary`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.admin import create_admin
from coo_middleware.core.record import Record
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import HOSTILE, READ, RECORDS, fill, look, see
from tests.asgi import ANSWER, Script, again, answer, call

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@pytest.fixture
async def admin() -> ASGIApp:
    store = MemoryStore()
    await fill(store, *RECORDS)
    return create_admin(store=store, read_token=READ)


async def test_it_counts_what_the_middleware_did() -> None:
    """One miss and one hit of a real middleware are two requests, one of them reused."""
    store = MemoryStore()
    middleware = COOMiddleware(Script(*answer(ANSWER)), store=store)
    await call(middleware)
    await again(middleware)
    await middleware.drain()
    told = (await see(create_admin(store=store, read_token=READ), "/summary?window=60"))["all"]

    assert (2, 1, 1, 0.5) == tuple(told[name] for name in ("requests", "hits", "misses", "hit_ratio"))
    assert ([11, 11], 2) == ([told["tokens"], told["tokens_saved"]], told["duration"]["count"])


async def test_each_provider_key_and_model_has_a_row(admin: ASGIApp) -> None:
    """The one with most requests comes first, and names are as they came."""
    told = await see(admin, "/summary")

    assert 4 == told["all"]["requests"]
    assert [("openai", 3), ("evil", 1)] == [(row["provider"], row["requests"]) for row in told["providers"]]
    assert ("openai", "one", 2) == tuple(told["keys"][0][name] for name in ("provider", "key", "requests"))
    assert {("two", 1), ("<script>", 1)} == {(row["key"], row["requests"]) for row in told["keys"][1:]}
    assert {"gpt-5-mini": 2, "gpt-5": 1, HOSTILE: 1} == {row["model"]: row["requests"] for row in told["models"]}


async def test_a_filter_narrows_figures_and_no_choices(admin: ASGIApp) -> None:
    """What may be chosen stays in sight."""
    told = await see(admin, "/summary?provider=openai&key=one")

    assert (2, 1) == (told["all"]["requests"], len(told["keys"]))
    assert {
        "providers": ["evil", "openai"],
        "keys": [
            {"provider": "evil", "key": "<script>"},
            {"provider": "openai", "key": "one"},
            {"provider": "openai", "key": "two"},
        ],
        "models": [HOSTILE, "gpt-5", "gpt-5-mini"],
    } == told["choices"]


async def test_what_did_nothing_lately_has_no_row() -> None:
    """Counters outlive their windows; tables do not show them."""
    now = [1_000_000.0]
    store = MemoryStore(clock=lambda: now[0])
    await fill(store, *RECORDS)
    now[0] += 1000
    told = await see(create_admin(store=store, read_token=READ), "/summary?window=60")

    assert (0, [], [], []) == (told["all"]["requests"], told["providers"], told["keys"], told["models"])
    assert 2 == len(told["choices"]["providers"])


async def test_tables_are_bounded() -> None:
    """A hundred rows at most, however many keys there are."""
    store = MemoryStore()
    await fill(store, *(Record("p", f"k{n}", "chat", "m", 200, "miss", None, 1.0, "", "") for n in range(150)))
    told = await see(create_admin(store=store, read_token=READ), "/summary")

    assert (150, 100) == (told["all"]["requests"], len(told["keys"]))


async def test_an_empty_store_has_empty_figures() -> None:
    """No steps, no rows."""
    told = await see(create_admin(store=MemoryStore(), read_token=READ), "/summary")

    assert (None, 0, 0, []) == (told["begins"], told["step_seconds"], told["all"]["requests"], told["models"])


async def test_a_window_must_be_one(admin: ASGIApp) -> None:
    """The parameter is named."""
    answer = await look(admin, "/summary?window=canary")

    assert (422, "window: must be a whole number from 1 to 3024000, which is 35 days") == (
        answer.status,
        dict(answer.document)["error"],  # type: ignore[call-overload]
    )
