"""What a window costs does not grow with the increments: memory, file and http. Redis and sqlite prove their own."""

from __future__ import annotations

from contextlib import AsyncExitStack
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from coo_middleware.storage_api import storage_api
from coo_middleware.stores import Increment, RuntimeStore
from coo_middleware.stores.file import FileStore
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import Clock
from tests.proof import FULL, PROOF, choose, report
from tests.storage_server import KEY
from tests.writer import REQ

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve

SECONDS = choose(20, 1_000)
FEW, MANY = 1_000, choose(20_000, 1_000_000)


def make(kind: str, path: Path, serve: Serve, clock: Clock) -> RuntimeStore:
    if kind == "file":
        return FileStore(path=path, clock=clock)
    memory = MemoryStore(clock=clock)
    return HTTPStore(addr=serve(storage_api(memory, api_key=KEY)), api_key=KEY) if kind == "http" else memory


async def fill(store: RuntimeStore, clock: Clock, increments: int) -> None:
    """So many increments, even over SECONDS."""
    for second in range(SECONDS):
        clock.advance(1)
        await store.apply("writer", second + 1, [Increment(*REQ, 1)] * (increments // SECONDS))
    assert increments == await store.get_total(*REQ)


async def measure(store: RuntimeStore, window: int) -> float:
    """Microseconds that one look at a window takes."""
    began = perf_counter()
    for _ in range(100):
        await store.get_usage_in_window(*REQ, window)
    return (perf_counter() - began) * 1e4


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["memory", "file", "http"])
async def test_window_costs_the_same_after_many_increments(kind: str, tmp_path: Path, serve: Serve) -> None:
    """After a thousand increments and after a million a window of an hour takes as long, within a fifth; both are
    measured in turn, and the quickest counts.
    """
    stores = []
    async with AsyncExitStack() as stack:
        for increments in (FEW, MANY):
            clock = Clock()
            stores.append(await stack.enter_async_context(make(kind, tmp_path / f"{increments}.json", serve, clock)))
            await fill(stores[-1], clock, increments)
        assert [FEW, MANY] == [await store.get_usage_in_window(*REQ, 3_600) for store in stores]
        costs = [[await measure(store, 3_600) for store in stores] for _ in range(choose(3, 20))]
    few, many = (min(each) for each in zip(*costs, strict=True))
    report(f"{kind}: a window after {FEW:,} increments {few:.1f} us, after {MANY:,} {many:.1f} us")

    if PROOF >= FULL:
        assert many <= 1.2 * few
