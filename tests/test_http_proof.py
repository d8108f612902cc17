"""HTTPStore while things go wrong: lost replies, cut connections, several processes, callers that give up."""

import asyncio
import os
import random
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import BlockingPortal

from coo_middleware.storage_api import storage_api
from coo_middleware.stores import StoreError
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.memory import MemoryStore
from tests.conftest import Serve
from tests.fault_proxy import HOST, FaultProxy
from tests.proof import choose, report
from tests.storage_server import KEY
from tests.writer import REQ, run_writers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.writer import Mode

PROCESSES = 8
INCREMENTS = choose(50, 10_000)
CANCELLATIONS = choose(2_000, 100_000)
MADE = PROCESSES * INCREMENTS
# Odd, so that what one operation stores another one asks for.
KEYS = 51


@pytest.fixture
def served() -> MemoryStore:
    """The store at the other end. Its counters outlive the longest proof."""
    return MemoryStore(usage_ttl_seconds=86_400)


@pytest.fixture
def url(served: MemoryStore, serve: Serve) -> str:
    return serve(storage_api(served, api_key=KEY))


def write(mode: "Mode", url: str) -> int:
    # A machine that is busy with nine processes is no fault of the network's.
    settings = {"type": "http", "addr": url, "api_key": KEY, "timeout_seconds": 30.0}
    return run_writers(mode, settings, PROCESSES, INCREMENTS)


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["apply", "increment"])
async def test_several_processes_count_exactly(mode: "Mode", served: MemoryStore, url: str) -> None:
    """Each increment of eight processes counts once, in the counter, the window and the total. On a slow machine one
    may come too late, and then nobody knows.
    """
    failed = write(mode, url)
    total = await served.get_total(*REQ)
    report(f"http, {mode}: {PROCESSES} processes x {INCREMENTS:,} increments, {failed} too late, total {total:,.0f}")

    assert MADE - (failed if mode == "increment" else 0) <= total <= MADE
    assert [total] * 2 == [await served.get_usage(*REQ), await served.get_usage_in_window(*REQ, 86_400)]


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["apply", "increment"])
async def test_a_bad_network_changes_no_count(
    mode: "Mode", served: MemoryStore, url: str, portal: BlockingPortal
) -> None:
    """With one reply in a hundred lost and one connection in a hundred reset, a batch that is sent until it is
    acknowledged counts once, and so does a single increment unless it failed.
    """
    proxy = FaultProxy(urlsplit(url).port or 0)
    proxy.lost_replies = proxy.resets = 0.01
    with portal.wrap_async_context_manager(proxy):
        failed = write(mode, f"http://{HOST}:{proxy.port}")
    total = await served.get_total(*REQ)
    report(f"http, {mode}: {MADE:,} increments, {proxy.faults} faults, {failed} calls failed, total {total:,.0f}")

    assert 0 < proxy.faults
    if mode == "apply":
        assert MADE == total
    else:
        assert MADE - failed <= total <= MADE


async def give_up(store: HTTPStore, number: int, dice: random.Random) -> str:
    """What became of one operation that was cancelled at a random moment, in a word."""
    key = f"key-{number % KEYS}"
    value = key.encode() * 20
    operations: list[tuple[Callable[[], Awaitable[object]], tuple[object, ...]]] = [
        (lambda: store.set_cache(key, value, 600), (None,)),
        (lambda: store.get_cache(key), (None, value)),
        (lambda: store.get_usage("openai", key, "req"), (number % KEYS,)),
        (lambda: store.increment_usage(*REQ, 1), (None,)),
    ]
    operation, own = operations[number % 4]
    task = asyncio.ensure_future(operation())
    if dice.random() < 0.5:
        await asyncio.sleep(dice.random() * 0.03)
    else:
        for _ in range(dice.randrange(40)):
            await asyncio.sleep(0)
    task.cancel()
    (reply,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(reply, asyncio.CancelledError):
        return "cancelled"
    if isinstance(reply, StoreError):
        return "failed"
    return "answered" if reply in own else "wrong"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a count


@pytest.mark.proof
@pytest.mark.timeout(1800)
async def test_cancellations_leave_nothing_behind(url: str) -> None:
    """Operations that are cancelled at random points never give another one's reply, and leak no connection: neither
    in the client's pool, nor in the process once the store is closed.
    """
    dice = random.Random(7)  # noqa: S311 -- not for secrets
    files = open_files()
    outcomes: Counter[str] = Counter()
    async with HTTPStore(addr=url, api_key=KEY, max_connections=20, timeout_seconds=20) as store:
        for number in range(KEYS):
            await store.set_usage("openai", f"key-{number}", "req", number)
        while outcomes["cancelled"] < CANCELLATIONS:
            calls = outcomes.total()
            outcomes.update(await asyncio.gather(*(give_up(store, calls + each, dice) for each in range(20))))
        lane = store._channel._lane()
        while lane._tasks:
            await asyncio.wait(lane._tasks)
        pool = lane._client._transport._pool  # type: ignore[attr-defined] # of httpx.AsyncClient
        assert [] == [each for each in pool.connections if not (each.is_idle() or each.is_closed())]
        await asyncio.gather(*(store.ping() for _ in range(20)))
    async with asyncio.timeout(5):
        while open_files() > files:  # noqa: ASYNC110 -- the server's end closes a moment later
            await asyncio.sleep(0.01)
    report(f"http: of {outcomes.total():,} calls {dict(outcomes)}, {outcomes['wrong']} wrong replies, 0 leaked sockets")

    assert 0 == outcomes["wrong"]
    assert 0 < outcomes["answered"]


async def test_a_caller_that_gives_up_frees_its_connection(
    served: MemoryStore, url: str, portal: BlockingPortal
) -> None:
    """While the server swallows everything, callers that are cancelled or too late do not use up the pool: the next
    ones are served as soon as it answers again.
    """
    proxy = FaultProxy(urlsplit(url).port or 0)
    with portal.wrap_async_context_manager(proxy):
        async with HTTPStore(
            addr=f"http://{HOST}:{proxy.port}", api_key=KEY, max_connections=2, timeout_seconds=20
        ) as store:
            proxy.swallows = True
            for _ in range(10):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(store.ping(), 0.02)
            proxy.swallows = False
            await asyncio.gather(store.ping(), store.ping())
