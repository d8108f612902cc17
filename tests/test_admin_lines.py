"""admin/lines.py: `GET /series`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.admin import create_admin
from coo_middleware.core.record import Record
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import READ, RECORDS, fill, look, see

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@pytest.fixture
async def admin() -> ASGIApp:
    store = MemoryStore()
    await fill(store, *RECORDS)
    return create_admin(store=store, read_token=READ)


async def lines(admin: ASGIApp, query: str) -> dict[str, float]:
    """The sum of each line by its label."""
    told = await see(admin, f"/series?{query}")
    assert all(len(each["values"]) == len(told["times"]) for each in told["lines"])
    return {each["label"]: sum(filter(None, each["values"])) for each in told["lines"]}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"requests": 4}),
        ("metric=requests&by=cache", {"miss": 2, "hit": 1, "bypass": 1}),
        ("by=status_class", {"2xx": 3, "5xx": 1}),
        ("by=provider&window=60", {"openai": 3, "evil": 1}),
        ("by=key&provider=openai", {"openai/one": 2, "openai/two": 1}),
        ("by=model&model=gpt-5", {"gpt-5": 1}),
        ("metric=tokens_used", {"tokens_used": 131}),
        ("metric=tokens_used&by=key", {"openai/one": 11, "openai/two": 120}),
        ("metric=tokens_used&by=type", {"input": 109, "output": 22, "reasoning": 7}),
        ("metric=tokens_not_used", {"tokens_not_used": 11}),
        ("metric=cost_used", {"cost_used": 2.5}),
        ("metric=cost_not_used&by=provider", {"openai": 0.5}),
        ("metric=failures&by=error_type", {"status": 1}),
        ("metric=duration&key=one", {"p50": 0.0025, "p95": 1.216}),
        ("metric=first_chunk", {"p50": 0.24, "p95": 0.312}),
        ("metric=requests&model=none", {}),
        ("metric=duration&model=none", {}),
    ],
)
async def test_lines_add_up(admin: ASGIApp, query: str, expected: dict[str, float]) -> None:
    """Each metric, in a line for each of what tells its counts apart."""
    assert expected == pytest.approx(await lines(admin, query))


async def test_the_largest_come_first(admin: ASGIApp) -> None:
    """So that a legend begins with what counts."""
    told = await see(admin, "/series?metric=tokens_used&by=key")

    assert ["openai/two", "openai/one"] == [each["label"] for each in told["lines"]]


async def test_steps_are_told(admin: ASGIApp) -> None:
    """When each begins, and how long it is; what has no request is unknown in a line of times."""
    told = await see(admin, "/series?metric=duration&window=60")

    assert (1, told["begins"], 60) == (told["step_seconds"], told["times"][0], told["times"][-1] - told["times"][0])
    assert {None} == set(told["lines"][0]["values"][:50])


async def test_beyond_twenty_lines_there_is_one_for_the_others() -> None:
    """Nothing is lost of the sum."""
    store = MemoryStore()
    await fill(store, *(Record("p", "k", "chat", f"m{n}", 200, "miss", None, 1.0, "", "") for n in range(30)))
    told = await lines(create_admin(store=store, read_token=READ), "by=model")

    assert (21, 10, 30) == (len(told), told["other"], sum(told.values()))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("metric=canary", "metric"),
        ("metric=duration_sum", "metric"),
        ("metric=latency", "metric"),
        ("by=canary", "by"),
        ("by=type", "by"),
        ("metric=duration&by=cache", "by"),
        ("window=0", "window"),
        ("canary=1", "query"),
    ],
)
async def test_what_cannot_be_asked_is_refused(admin: ASGIApp, query: str, field: str) -> None:
    """The parameter is named, its value is not shown."""
    answer = await look(admin, f"/series?{query}")
    text = str(answer.document)

    assert 422 == answer.status
    assert text.startswith(f"{{'error': \"{field}: " if '"' in text else f"{{'error': '{field}: ")
    assert "canary" not in text
