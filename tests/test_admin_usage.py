"""admin/usage.py: `GET /usage`, `/usage/window` and `/totals`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.admin import create_admin, usage
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import HOSTILE, READ, RECORDS, fill, look, see

if TYPE_CHECKING:
    import pytest

ONE = {
    "req": 1.0,
    "input_tokens": 9.0,
    "output_tokens": 2.0,
    "tokens": 11.0,
    "cost": 0.5,
    "latency": 700.0,
    "cache_hits": 1.0,
    "tokens_saved": 11.0,
    "cost_saved": 0.5,
}


async def test_the_current_period_is_told() -> None:
    """The metrics of the guide of each key, none that is 0."""
    now = [1000.0]
    store = MemoryStore(clock=lambda: now[0])
    await fill(store, *RECORDS)
    told = await see(create_admin(store=store, read_token=READ), "/usage?key=one")
    now[0] += 61
    later = await see(create_admin(store=store, read_token=READ), "/usage")

    assert {"usage": [{"provider": "openai", "key": "one", "metrics": ONE}], "is_complete": True} == told
    assert [] == later["usage"]


async def test_a_window_is_told() -> None:
    """As long as it is, whatever the period."""
    now = [1_000_000.0]
    store = MemoryStore(clock=lambda: now[0])
    await fill(store, *RECORDS)
    now[0] += 61
    admin = create_admin(store=store, read_token=READ)
    long, short = await see(admin, "/usage/window?seconds=100&key=one"), await see(admin, "/usage/window")

    assert (100, [{"provider": "openai", "key": "one", "metrics": ONE}]) == (long["window_seconds"], long["usage"])
    assert (60, []) == (short["window_seconds"], short["usage"])


async def test_totals_are_told_with_their_labels() -> None:
    """Metrics of the guide have none."""
    store = MemoryStore()
    await fill(store, *RECORDS)
    told = await see(create_admin(store=store, read_token=READ), "/totals?provider=evil")
    plain = {each["metric"]: each["value"] for each in told["totals"] if not each["labels"]}
    labels = {each["metric"]: each["labels"] for each in told["totals"] if each["labels"]}

    assert {"req": 1.0, "errors": 1.0, "latency": 1800.0} == plain
    assert {"model": HOSTILE, "cache": "miss", "status_class": "5xx"} == labels["requests"]
    assert {"model": HOSTILE, "error_type": "status"} == labels["failures"]
    assert {"<script>"} == {each["key"] for each in told["totals"]}


async def test_a_model_has_its_series_and_no_other_s() -> None:
    """Metrics that have no model stay."""
    store = MemoryStore()
    await fill(store, *RECORDS)
    told = await see(create_admin(store=store, read_token=READ), "/totals?model=gpt-5")

    assert {"gpt-5"} == {each["labels"]["model"] for each in told["totals"] if each["labels"]}
    assert "req" in {each["metric"] for each in told["totals"]}


async def test_no_more_than_so_many_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is told that there are more."""
    monkeypatch.setattr(usage, "MOST_READ", 1)
    store = MemoryStore()
    await fill(store, *RECORDS)
    told = await see(create_admin(store=store, read_token=READ), "/usage")

    assert (1, False) == (len(told["usage"]), told["is_complete"])


async def test_seconds_are_seconds() -> None:
    """The parameter is named."""
    answer = await look(create_admin(store=MemoryStore(), read_token=READ), "/usage/window?seconds=x")

    assert 422 == answer.status
    assert "seconds: must be" in str(answer.document)
