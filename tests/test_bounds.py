"""However many callers and prompts come by, what this process keeps stays within the configured bounds."""

import asyncio
import gc
import sys

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import (
    ANSWER,
    ASK_STREAM,
    CHUNKS,
    JSON_FIELD,
    Script,
    again,
    answer,
    ask,
    call,
    make_scope,
    stream,
    total,
)
from tests.proof import choose, report

COUNT = choose(8_000, 100_000)
MAX_BYTES, MAX_ENTRIES, MAX_KEYS = 262_144, 200, 50
METRICS, MAX_PLANS = 8, 100
# Of one model: 18 buckets for each of two durations, their sums, requests, tokens by type.
SERIES = 2 * (18 + 1) + 3
SETTINGS = {
    "storage": {"runtime": {"max_bytes": MAX_BYTES, "max_entries": MAX_ENTRIES}},
    "policy": {"metrics": {"max_keys": MAX_KEYS}},
}


async def send(middleware: COOMiddleware, app: Script, numbers: range) -> None:
    """Requests that have no prompt and no credential in common, every fourth of them streamed."""
    for number in numbers:
        scope = make_scope(headers=(JSON_FIELD, (b"authorization", b"Bearer sk-%d" % number)))
        streams = number % 4 == 0
        app.steps = stream(*CHUNKS) if streams else answer(ANSWER)
        await call(middleware, ask(f"prompt {number}", **({"stream": True} if streams else {})), scope)
        app.received.clear()
        if number % 50 == 0:
            await middleware.drain()
    await middleware.drain()
    gc.collect()


@pytest.mark.proof
@pytest.mark.timeout(1800)
async def test_unique_prompts_and_callers_fill_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """After many requests that are all new, the store, the counters and the keys are within their bounds, the second
    half of them has left less than one object for two requests, no task is left, and no request was lost.
    """
    # So that a memo of plans is full after the first half of a small count too.
    monkeypatch.setattr("coo_middleware.core.memo.MAX_PLANS", MAX_PLANS)
    monkeypatch.setattr("coo_middleware.core.memo._MOST_ENVELOPES", MAX_PLANS)
    tasks = asyncio.all_tasks()
    app = Script()
    middleware = COOMiddleware(app, SETTINGS)
    store = middleware.store
    assert isinstance(store, MemoryStore)
    await send(middleware, app, range(COUNT // 2))
    blocks = sys.getallocatedblocks()
    await send(middleware, app, range(COUNT // 2, COUNT))
    growth = sys.getallocatedblocks() - blocks

    report(f"{COUNT:,} requests, none like another: the second half left {growth:,} objects")
    assert COUNT // 4 > growth
    assert MAX_BYTES >= store._responses.size
    assert MAX_ENTRIES >= len(store._responses)
    assert (MAX_KEYS + 1) * (METRICS + SERIES) >= len(store._counters)
    assert MAX_KEYS == len(middleware._recorder._keys)
    assert tasks == asyncio.all_tasks()
    assert {"misses": COUNT} == middleware.counts
    assert COUNT == await total(middleware, "req") + await store.get_total("other", "other", "req")


async def test_refusals_and_bypasses_have_few_names() -> None:
    """What callers send never becomes the name of a counter."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app, SETTINGS)
    for number in range(100):
        await again(middleware, b'{"model":"m%d","stream":%d}' % (number, number))
        await again(middleware, b'{"model":"m","a%d":NaN}' % number)
        app.steps = answer(b'{"error":{"code":%d}}' % number)
        await again(middleware, ask(f"prompt {number}"))
        app.steps = answer(ANSWER)
        await again(middleware, ASK_STREAM + b" " * number)

    assert {
        "misses",
        "bypass.stream",
        "bypass.not-a-number",
        "unstored.incomplete",
        "unstored.content-type",
    } == set(middleware.counts)
