"""Collapsing across replicas, by real workers that share a store: one upstream call, whoever asks where; peers.py."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import httpx
import pytest

from coo_middleware.stores import open_store
from tests.asgi import ASK_STREAM, CHAT, ask
from tests.crowd import EVENTS
from tests.proof import choose, report
from tests.redis_server import HOST
from tests.replica_worker import DRAINED, KEY_ID, PHASES, Upstream, Worker, content

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

WORKERS, COUNT, JOINS = 4, choose(40, 1_000), 50
TURNS, SEEDS = choose(2, 20), choose(1, 25)
JSON = {"content-type": "application/json", "authorization": "Bearer sk-canary-1"}
KINDS = ["redis", "sqlite"]

Settings = dict[str, object]


@pytest.fixture
def make_config(redis_url: str, tmp_path: Path) -> Callable[[str], Settings]:
    """A configuration with a store of that kind without any data."""
    deadlines = {"read_deadline_seconds": 10, "write_deadline_seconds": 10}
    policy = {"metrics": {"flush_seconds": 0.01}, "cache": {"ttl_seconds": 600, "collapse_lease_seconds": 1}}

    def make(kind: str) -> Settings:
        place: Settings = {"path": str(tmp_path / f"{secrets.token_hex(4)}.db")}
        if kind == "redis":
            # Each of the requests at once looks for the entry.
            place = {"addr": redis_url, "key_prefix": f"{secrets.token_hex(8)}:", "max_connections": COUNT}
        return {"storage": {"runtime": {"type": kind, **place, **deadlines}}, "policy": policy}

    return make


@dataclass(slots=True)
class Got:
    """What a client has of an answer, and when each piece of it came."""

    body: bytes = b""
    mark: str = ""
    is_whole: bool = False
    times: list[float] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)


class Workers:
    """Workers over one store, in front of one upstream."""

    def __init__(self, workers: list[Worker], client: httpx.AsyncClient, upstream: Upstream) -> None:
        self.workers, self.client, self.upstream = workers, client, upstream

    async def ask(self, number: int, body: bytes, got: Got | None = None) -> Got:
        """Sends a request to one of them; a connection that breaks off ends it."""
        got = got or Got()
        try:
            async with self.client.stream("POST", self.url(number) + CHAT, content=body, headers=JSON) as response:
                assert 200 == response.status_code
                got.mark = response.headers["x-coo-cache"]
                async for chunk in response.aiter_raw():
                    got.body += chunk
                    got.times += [perf_counter()] * chunk.count(b"data: ")
                    if len(got.times) >= JOINS:
                        got.came.set()
            got.is_whole = True
        except httpx.TransportError:
            got.came.set()
        return got

    def url(self, number: int) -> str:
        return f"http://{HOST}:{self.workers[number % len(self.workers)].port}"

    def calls(self) -> list[str]:
        """The marks of all upstream calls."""
        return self.upstream.calls.read_text().split()

    async def drain(self) -> None:
        for number, worker in enumerate(self.workers):
            if worker.is_alive:
                (await self.client.post(self.url(number) + DRAINED)).raise_for_status()

    async def wait(self) -> None:
        """Returns when all of them answer."""
        async with asyncio.timeout(60):
            for number in range(len(self.workers)):
                while not await self._answers(number):  # noqa: ASYNC110 -- another process tells of nothing
                    await asyncio.sleep(0.02)

    async def _answers(self, number: int) -> bool:
        try:
            return (await self.client.post(self.url(number) + DRAINED)).is_success
        except httpx.TransportError:
            return False


@asynccontextmanager
async def working(config: Settings, upstream: Upstream, count: int = WORKERS) -> AsyncIterator[Workers]:
    """So many workers that answer."""
    workers = [Worker(config, upstream) for _ in range(count)]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    try:
        async with httpx.AsyncClient(timeout=60, trust_env=False, limits=limits) as client:
            group = Workers(workers, client, upstream)
            await group.wait()
            yield group
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_workers_share_one_call(
    kind: str, streamed: bool, make_config: Callable[[str], Settings], tmp_path: Path
) -> None:
    """Equal requests at once at four workers are one upstream call, which is counted once; all answers are equal."""
    config, upstream = make_config(kind), Upstream(tmp_path / "calls", silence=0.5)
    async with working(config, upstream) as group:
        body = ASK_STREAM if streamed else ask()
        answers = await asyncio.gather(*(group.ask(number, body) for number in range(COUNT)))
        await group.drain()
        (mark,) = group.calls()
    marks = Counter(each.mark for each in answers)
    report(f"{kind}: {COUNT} equal requests at {WORKERS} workers, one call: {dict(marks)}")

    assert {(content(mark, streamed=streamed), True)} == {(each.body, each.is_whole) for each in answers}
    assert (1, COUNT) == (marks["MISS"], marks.total())
    assert [1, 11, marks["COLLAPSED"], marks["HIT"], 11 * (COUNT - 1)] == await count(
        config, "req", "tokens", "collapsed", "cache_hits", "tokens_saved"
    )


async def count(config: Settings, *metrics: str) -> list[float]:
    """What was counted for the provider key that the upstream chose."""
    async with open_store(config["storage"]["runtime"]) as store:  # type: ignore[index]
        return [await store.get_total("openai", KEY_ID, metric) for metric in metrics]


@pytest.mark.proof
@pytest.mark.timeout(300)
async def test_a_late_follower_elsewhere_is_not_behind(make_config: Callable[[str], Settings], tmp_path: Path) -> None:
    """Who joins at another worker when 50 of 200 events are out gets all of them in order, the last one live."""
    lags = []
    async with working(make_config("redis"), Upstream(tmp_path / "calls", pause=0.005), 2) as group:
        for turn in range(TURNS):
            body = ask(f"turn {turn}", stream=True, stream_options={"include_usage": True})
            first = Got()
            leading = asyncio.create_task(group.ask(0, body, first))
            await first.came.wait()
            late = await group.ask(1, body)
            await leading
            lags.append(1000 * (late.times[-1] - first.times[-1]))
            mark = group.calls()[-1]
            assert turn + 1 == len(group.calls())
            assert ["MISS", "COLLAPSED"] == [first.mark, late.mark]
            assert [content(mark, streamed=True)] * 2 == [first.body, late.body]
            # It did not wait for the end: what it had missed came at once.
            assert late.times[JOINS] < first.times[-1]
    report(
        f"redis: last event of a follower at another worker that joined at event {JOINS} of {len(EVENTS)}, behind the "
        f"leader's: median {sorted(lags)[TURNS // 2]:.1f} ms, most {max(lags):.1f} ms ({TURNS} times)"
    )

    assert max(lags) < 1000


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_worker_that_is_killed(
    kind: str, phase: str, make_config: Callable[[str], Settings], tmp_path: Path
) -> None:
    """Whenever the worker that calls is killed, those who wait at others all end, soon: with a whole answer, or with a
    connection that is cut where they had the beginning of one. There are two upstream calls at most.
    """
    longest, ways = 0.0, Counter[str]()
    for seed in range(SEEDS):
        dice = random.Random(f"{kind} {phase} {seed}")  # noqa: S311 -- no secret
        streamed = dice.random() < 0.7
        upstream = Upstream(tmp_path / f"calls-{seed}", 0.2, dice.choice((0, 0.002)), phase, dice.choice((0, 0.01)))
        async with working(make_config(kind), upstream, 3) as group:
            body = ASK_STREAM if streamed else ask()
            asked = [asyncio.create_task(group.ask(0, body))]
            async with asyncio.timeout(20):
                while not upstream.calls.exists():  # noqa: ASYNC110 -- another process tells of nothing
                    await asyncio.sleep(0.001)
            asked += [asyncio.create_task(group.ask(number, body)) for number in (1, 2, 1, 2)]
            began = perf_counter()
            victim, *others = await asyncio.gather(*asked)
            longest = max(longest, perf_counter() - began)
            calls = group.calls()
            assert group.workers[0].has_died(10)
        whole = {content(mark, streamed=streamed) for mark in calls}
        ways.update("whole" if each.is_whole else "cut" for each in others)

        assert len(calls) <= 2
        assert all(each.body in whole for each in (victim, *others) if each.is_whole)
        assert all(any(one.startswith(each.body) for one in whole) for each in (victim, *others))
        assert all(each.is_whole or (kind == "redis" and each.mark == "COLLAPSED") for each in others)
    report(f"{kind}: {SEEDS} workers killed when {phase}: {dict(ways)}, the last end {longest:.1f} s later")

    assert longest < 20
