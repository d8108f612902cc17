"""Whatever fifty tenants do at once, none of them ever gets a byte of another's answer."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, CHUNKS, JSON_FIELD, Client, answer, ask, content, make_scope, read_all, stream
from tests.proof import choose, report

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

TENANTS, PROMPTS = 50, 3
COUNT = choose(2_000, 100_000)
BATCH = 200
MARK = b"Hello"


def watermark(tenant: int, prompt: str) -> bytes:
    return f"[{tenant:02}:{prompt}]".encode()


async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with who asked and what; a request in ten fails, somewhere."""
    document = json.loads(await read_all(receive))
    tenant = int(dict(scope["headers"])[b"authorization"].removeprefix(b"Bearer sk-"))
    mark = watermark(tenant, document["messages"][0]["content"])
    dice = random.Random(random.random())  # noqa: S311 -- no secret
    if document.get("stream"):
        messages = stream(*(chunk.replace(b"Hel", mark) for chunk in CHUNKS))
    else:
        messages = answer(ANSWER.replace(MARK, mark))
    fails = dice.randrange(len(messages)) if dice.random() < 0.1 else -1
    for place, message in enumerate(messages):
        if place == fails:
            raise LookupError
        await asyncio.sleep(0)
        await send(message)


class Tenant:
    """One request of a tenant, which may be cancelled or hang up anywhere."""

    def __init__(self, middleware: COOMiddleware, dice: random.Random) -> None:
        self.number, self.prompt = dice.randrange(TENANTS), f"p{dice.randrange(PROMPTS)}"
        body = ask(self.prompt, **({"stream": True} if dice.random() < 0.5 else {}))
        self.client = Client(*content(body))
        self.scope = make_scope(headers=(JSON_FIELD, (b"authorization", b"Bearer sk-%d" % self.number)))
        self.middleware = middleware
        self.fate = dice.random()
        self.patience = dice.randrange(6)

    async def run(self) -> None:
        task = asyncio.create_task(self.middleware(self.scope, self.client.receive, self.client.send))
        for _ in range(self.patience):
            await asyncio.sleep(0)
        if self.fate < 0.1:
            task.cancel()
        elif self.fate < 0.2:
            self.client.leave()
        await asyncio.gather(task, return_exceptions=True)

    def foreign(self) -> int:
        """The bytes in the answer that belong to another tenant or another prompt."""
        marks = [part.partition(b"]")[0] for part in self.client.body.split(b"[") if part[2:4] == b":p"]
        own = watermark(self.number, self.prompt)[1:-1]
        return sum(len(mark) for mark in marks if mark != own)


async def run(middleware: COOMiddleware, count: int) -> list[Tenant]:
    dice = random.Random(50)  # noqa: S311 -- no secret
    served: list[Tenant] = []
    for _ in range(count // BATCH):
        tenants = [Tenant(middleware, dice) for _ in range(BATCH)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(tenant.run() for tenant in tenants))
        served += tenants
    await middleware.drain()
    return served


@pytest.mark.proof
@pytest.mark.timeout(3_600)
async def test_no_tenant_gets_anothers_bytes() -> None:
    """Over random interleavings of streams, bodies, failures, cancellations and disconnects, every answer carries its
    own tenant's watermark and no other.
    """
    config = {"policy": {"cache": {"ttl_seconds": 0.05, "stale_while_revalidate_seconds": 0.05}}}
    middleware = COOMiddleware(upstream, config)
    served = await run(middleware, COUNT)
    counts = middleware.counts
    report(
        f"{TENANTS} tenants: {COUNT:,} requests, {sum(tenant.foreign() for tenant in served)} foreign bytes; "
        f"{counts['misses']:,} misses, {counts['collapsed']:,} collapsed, {counts['hits']:,} hits, "
        f"{counts.get('stale', 0):,} stale"
    )

    assert 0 == sum(tenant.foreign() for tenant in served)
    assert COUNT // 2 < sum(bool(tenant.client.body) for tenant in served)
    assert min(counts["misses"], counts["collapsed"], counts["hits"]) > 0
    assert not middleware._flights._aloft
    assert not middleware._flights._table


async def test_a_foreign_byte_would_be_seen() -> None:
    """The watermark check can fail: with a shared scope tenants do get each other's answers."""
    config = {"policy": {"cache": {"scope": "shared"}}}
    served = await run(COOMiddleware(upstream, config), BATCH)

    assert 0 < sum(tenant.foreign() for tenant in served)
