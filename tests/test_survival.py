"""Real servers: one that is killed again and again while its store is out of reach, and one of several workers."""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from anyio.from_thread import BlockingPortal

from coo_middleware.stores.redis import RedisStore
from coo_middleware.stores.sqlite import SqliteStore
from tests.asgi import CHAT, ask
from tests.fault_proxy import FaultProxy
from tests.processes import CONTEXT
from tests.proof import PROOF, choose, report
from tests.redis_server import HOST, find_port, start, wait_for
from tests.survivor import DRAINED, serve

KILLS = choose(5, 300)
PROMPTS = choose(40, 2_000)
WORKERS = 4
TOKENS = 11
JSON = {"content-type": "application/json"}


def configure(folder: Path, **runtime: object) -> str:
    """The path of a configuration whose store is `runtime`."""
    path = folder / "coo.yaml"
    policy = {"metrics": {"flush_seconds": 0.01}, "cache": {"ttl_seconds": 600}}
    path.write_text(yaml.safe_dump({"storage": {"runtime": runtime}, "policy": policy}))
    return str(path)


def answers(client: httpx.Client) -> bool:
    try:
        return client.post(DRAINED).is_success
    except httpx.TransportError:
        return False


class Survivor:
    """A server of uvicorn that is killed and started again; every request is for a provider key."""

    def __init__(self, config: str) -> None:
        self.config, self.port = config, find_port()
        self.dice = random.Random(13)  # noqa: S311 -- no secret
        self.asked: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[httpx.Client]:
        process = CONTEXT.Process(target=serve, args=(self.config, self.port))
        process.start()
        try:
            with httpx.Client(base_url=f"http://{HOST}:{self.port}", trust_env=False, timeout=60) as client:
                wait_for(lambda: answers(client))
                yield client
        finally:
            process.kill()
            process.join()

    def ask(self, client: httpx.Client, key_id: str) -> None:
        self.asked[key_id] += 1
        reply = client.post(CHAT, content=ask(f"prompt {self.asked.total()}"), headers=JSON | {"x-key": key_id})
        assert reply.is_success

    def live_and_die(self) -> None:
        """Some requests that are acknowledged, then some that are not, and the end at any moment."""
        with self.running() as client:
            for _ in range(self.dice.randrange(1, 6)):
                self.ask(client, "acknowledged")
            client.post(DRAINED).raise_for_status()
            for _ in range(self.dice.randrange(4)):
                self.ask(client, "open")


@pytest.mark.proof
@pytest.mark.timeout(60 + 30 * PROOF)
def test_kill_9_without_the_store_loses_and_doubles_nothing(tmp_path: Path, portal: BlockingPortal) -> None:
    """What the journal had when the server was killed, with the store out of reach, is counted once by those that are
    started after it; what it did not have yet is counted once or not at all.
    """
    with start(tmp_path) as server, portal.wrap_async_context_manager(FaultProxy(server.port)) as proxy:
        addr, journal = f"{HOST}:{proxy.port}", str(tmp_path / "journal")
        survivor = Survivor(configure(tmp_path, type="redis", addr=addr, journal=journal, probe_seconds=0.02))
        for _ in range(KILLS):
            # One time in four the store is there, and the end comes while the journal is sent.
            away = survivor.dice.random() < 0.75
            if away:
                portal.call(proxy.refuse)
            survivor.live_and_die()
            if away:
                portal.call(proxy.accept)
        waiting = len([*Path(journal).iterdir()])
        with survivor.running() as client:
            wait_for(lambda: counted(server.addr, "acknowledged")[0] >= survivor.asked["acknowledged"])
            client.post(DRAINED).raise_for_status()
        exact, other = counted(server.addr, "acknowledged"), counted(server.addr, "open")
    report(
        f"journal, redis out of reach: {KILLS} kills of uvicorn, {survivor.asked['acknowledged']:,} requests "
        f"acknowledged, {exact[0]:,.0f} counted; {survivor.asked['open']:,} not acknowledged, {other[0]:,.0f} counted"
    )

    assert 0 < waiting
    assert [survivor.asked["acknowledged"], TOKENS * survivor.asked["acknowledged"]] == exact
    assert other[0] <= survivor.asked["open"]
    assert TOKENS * other[0] == other[1]


def counted(addr: str, key_id: str) -> list[float]:
    """Requests and tokens in a Redis."""

    async def read() -> list[float]:
        async with RedisStore(addr=addr) as store:
            return [await store.get_total("openai", key_id, metric) for metric in ("req", "tokens")]

    return asyncio.run(read())


@contextmanager
def workers(config: str) -> Iterator[httpx.Client]:
    """The command `uvicorn --workers 4`, ended as a service manager ends it. Each request has its own connection."""
    port = find_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "tests.survivor:make_app", "--log-level", "warning"]
    process = subprocess.Popen(
        [*command, "--workers", str(WORKERS), "--port", str(port)],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"COO_CONFIG": config},
    )
    limits = httpx.Limits(max_keepalive_connections=0)
    try:
        with httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=60, limits=limits) as client:
            wait_for(lambda: answers(client))
            yield client
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.proof
@pytest.mark.timeout(60 + 30 * PROOF)
def test_workers_share_totals_and_responses(tmp_path: Path) -> None:
    """Four workers over one sqlite file: every request counts once, and what one has stored another one serves."""
    path = str(tmp_path / "data.db")
    makers: dict[int, str] = {}
    seen: Counter[str] = Counter()

    def send(client: httpx.Client, number: int) -> bool:
        """Whether the response came from a worker that had not made it."""
        reply = client.post(CHAT, content=ask(f"prompt {number}"), headers=JSON | {"x-key": "key1"})
        assert reply.is_success
        worker, status = reply.headers["x-worker"], reply.headers["x-coo-cache"]
        is_shared = makers.setdefault(number, worker) != worker and status == "HIT"
        seen[status] += 1
        seen["shared"] += is_shared
        return is_shared

    settings = configure(tmp_path, type="sqlite", path=path, read_deadline_seconds=10, write_deadline_seconds=10)
    with workers(settings) as client, ThreadPoolExecutor(8) as pool:
        # Those workers that are up; the others come while the same is asked again.
        assert not any(pool.map(lambda number: send(client, number), range(PROMPTS)))
        wait_for(lambda: any([*pool.map(lambda number: send(client, number), range(PROMPTS))]))

    async def read() -> list[float]:
        async with SqliteStore(path=path) as store:
            metrics = ("req", "tokens", "cache_hits", "tokens_saved")
            return [await store.get_total("openai", "key1", metric) for metric in metrics]

    totals = asyncio.run(read())
    report(
        f"{WORKERS} workers, sqlite: {seen['MISS']:,} misses and {seen['HIT']:,} hits, "
        f"{seen['shared']:,} in another worker; counted {totals[0]:,.0f} and {totals[2]:,.0f}"
    )
    assert {"MISS", "HIT", "shared"} == set(seen)
    assert [seen["MISS"], TOKENS * seen["MISS"], seen["HIT"], TOKENS * seen["HIT"]] == totals
