"""HTTPStore under what goes wrong: lost replies, cut connections, several processes, callers that give up."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import BlockingPortal

from coo_middleware.storage_api import storage_api
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.memory import MemoryStore
from tests.conftest import Serve
from tests.fault_proxy import HOST, FaultProxy
from tests.writer import REQ

KEY = "sk-proof-0123456789"
ROOT = Path(__file__).parent.parent
PROCESSES = 8
PROOF = "COO_PROOF" in os.environ
INCREMENTS = 10_000 if PROOF else 50
CANCELLATIONS = 100_000 if PROOF else 2_000


def run_writers(mode: str, url: str) -> int:
    """How many calls of the writers failed."""
    settings = json.dumps({"type": "http", "addr": url, "api_key": KEY})
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.writer", mode, settings, f"writer-{number}", str(INCREMENTS)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    return sum(int(writer.communicate()[0]) for writer in writers)


@pytest.fixture
def store() -> MemoryStore:
    """What is served. Its counters live longer than the longest proof."""
    return MemoryStore(usage_ttl_seconds=86_400)


@pytest.fixture
def url(store: MemoryStore, serve: Serve) -> str:
    return serve(storage_api(store, api_key=KEY))


async def read(store: MemoryStore) -> tuple[float, float, float]:
    return (
        await store.get_usage(*REQ),
        await store.get_usage_in_window(*REQ, 86_400),
        await store.get_total(*REQ),
    )


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["apply", "increment"])
async def test_eight_processes_count_exactly(mode: str, store: MemoryStore, url: str) -> None:
    """Each increment of eight processes counts once."""
    assert 0 == run_writers(mode, url)
    assert (PROCESSES * INCREMENTS,) * 3 == await read(store)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["apply", "increment"])
async def test_eight_processes_count_exactly_on_a_bad_network(
    mode: str, store: MemoryStore, url: str, portal: BlockingPortal
) -> None:
    """With replies lost and connections reset, a batch that is sent until it is acknowledged counts once, and a single
    increment that succeeded counts once.
    """
    proxy = FaultProxy(urlsplit(url).port or 0)
    proxy.lost_replies = proxy.resets = 0.01
    with portal.wrap_async_context_manager(proxy):
        failures = run_writers(mode, f"http://{HOST}:{proxy.port}")
    total = await store.get_total(*REQ)
    print(f"\n{mode}: {PROCESSES} x {INCREMENTS}, {proxy.faults} faults, {failures} failed calls, total {total:g}")

    assert 0 < proxy.faults
    assert PROCESSES * INCREMENTS - (failures if mode == "increment" else 0) <= total <= PROCESSES * INCREMENTS


async def give_up(store: HTTPStore, number: int, chance: random.Random) -> tuple[int, int]:
    """One operation, cancelled at a random moment: (whether it was, whether its reply was another's)."""
    key = f"key-{number % 50}"
    operations = [
        lambda: store.set_cache(key, key.encode() * 20, 600),
        lambda: store.get_cache(key),
        lambda: store.get_usage("openai", key, "req"),
        lambda: store.increment_usage(*REQ, 1),
    ]
    task = asyncio.ensure_future(operations[number % 4]())
    if chance.random() < 0.5:
        await asyncio.sleep(chance.random() * 0.01)
    else:
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
    task.cancel()
    (reply,) = await asyncio.gather(task, return_exceptions=True)
    is_own = isinstance(reply, asyncio.CancelledError) or reply in (None, 0.0, key.encode() * 20)
    return int(isinstance(reply, asyncio.CancelledError)), int(not is_own)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.timeout(1800)
async def test_cancellations_leave_nothing_behind(url: str) -> None:
    """Operations that are cancelled at random points never give another one's reply, and leak no connection: neither
    in the pool, nor in the process once the store is closed.
    """
    chance = random.Random(7)
    before = open_files()
    cancelled = wrong = rounds = 0
    store = HTTPStore(addr=url, api_key=KEY, max_connections=20)
    async with store:
        while cancelled < CANCELLATIONS:
            outcomes = await asyncio.gather(*(give_up(store, rounds * 20 + each, chance) for each in range(20)))
            cancelled += sum(each[0] for each in outcomes)
            wrong += sum(each[1] for each in outcomes)
            rounds += 1
        pool = store._channel._lane()._own._transport._pool
        await asyncio.wait(store._channel._lane()._tasks or [asyncio.ensure_future(asyncio.sleep(0))])
        busy = [each for each in pool.connections if not (each.is_idle() or each.is_closed())]
        assert ([], []) == (busy, pool._requests)
        await asyncio.gather(*(store.ping() for _ in range(20)))
    for _ in range(500):
        if open_files() <= before:
            break
        await asyncio.sleep(0.01)
    print(f"\n{cancelled} cancellations in {rounds * 20} calls: {wrong} wrong replies, {open_files() - before} open files more")

    assert (0, before) == (wrong, open_files())
