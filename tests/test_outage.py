"""The whole middleware over a real Redis that goes away and comes back while fifty clients ask."""

import asyncio
import random
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Self, cast

import pytest
from anyio.from_thread import BlockingPortal
from starlette.types import Message, Receive, Scope, Send

from coo_middleware import COOMiddleware
from coo_middleware.stores.redis import RedisStore
from tests.asgi import ANSWER, Client, ask, content, make_scope, read_all
from tests.asgi import answer as steps
from tests.fault_proxy import FaultProxy
from tests.proof import choose, report
from tests.redis_server import HOST, Server, find_port, start

if TYPE_CHECKING:
    from coo_middleware.stores.guard import Guard

CLIENTS = 50
# Requests of each client: with the store, without it, and with it again.
REQUESTS = choose(3, 60)
# Seconds between one client's requests, on average: the waits shall be the store's and not those of a full processor.
PAUSE = choose(2, 10) / 100
PROBE_SECONDS = choose(1, 10) / 10
# In the proof, which has the machine for itself, the default; else so long that a busy machine is no outage.
DEADLINE = choose(5, 1) / 10
TOKENS = 11
KEY = ("openai", "key1")
ANSWERS: list[Message] = steps(ANSWER)


class App:
    """An upstream that answers at once, with a lifespan as a server drives it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        await read_all(receive)
        scope["state"]["coo"].provider, scope["state"]["coo"].key_id = KEY
        for message in ANSWERS:
            await send(message)


class Place:
    """A server that keeps what it acknowledged, behind a proxy; what may happen to them, and how it ends."""

    def __init__(self, folder: Path, portal: BlockingPortal, stack: ExitStack) -> None:
        self.folder, self.portal, self.stack = folder, portal, stack
        self.port = find_port()
        self.prefix = f"{secrets.token_hex(8)}:"
        self.proxy = FaultProxy(self.port)
        self.proxy.marker = self.prefix.encode()
        self.start()
        stack.enter_context(portal.wrap_async_context_manager(self.proxy))

    def start(self) -> None:
        options = ("--appendonly", "yes", "--appendfsync", "no")
        self.server: Server = self.stack.enter_context(start(self.folder, *options, port=self.port))

    def kill(self) -> None:
        self.server.process.kill()
        self.server.process.wait()

    def begin(self, outage: str) -> None:
        if outage == "stopped":
            self.server.process.send_signal(signal.SIGSTOP)
        elif outage == "blackholed":
            self.proxy.swallows = True
        else:
            self.kill()
        if outage == "refused":
            self.portal.call(self.proxy.refuse)

    def end(self, outage: str) -> None:
        if outage == "stopped":
            self.server.process.send_signal(signal.SIGCONT)
        elif outage == "blackholed":
            self.proxy.swallows = False
        else:
            self.start()
        if outage == "refused":
            self.portal.call(self.proxy.accept)

    def settings(self, deadline: float = DEADLINE) -> dict[str, object]:
        runtime = {
            "type": "redis",
            "addr": f"{HOST}:{self.proxy.port}",
            "key_prefix": self.prefix,
            "usage_ttl_seconds": 86_400,
            "max_connections": CLIENTS * 2,
            "probe_seconds": PROBE_SECONDS,
            "timeout_seconds": 30,
            "read_deadline_seconds": deadline,
            "write_deadline_seconds": deadline * 2.5,
        }
        return {"storage": {"runtime": runtime}}

    async def read(self) -> list[float]:
        """Requests and tokens, as counters and as totals."""
        async with RedisStore(addr=self.server.addr, key_prefix=self.prefix) as store:
            return [
                await read(*KEY, metric) for read in (store.get_usage, store.get_total) for metric in ("req", "tokens")
            ]


@pytest.fixture
def place(tmp_path: Path, portal: BlockingPortal) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path, portal, stack)


@asynccontextmanager
async def living(middleware: COOMiddleware) -> AsyncIterator[None]:
    """The app's lifespan, as a server drives it."""
    events: asyncio.Queue[Message] = asyncio.Queue()
    client = Client()
    events.put_nowait({"type": "lifespan.startup"})
    life = asyncio.ensure_future(middleware({"type": "lifespan"}, events.get, client.send))
    await client.wait_for(1)
    yield
    events.put_nowait({"type": "lifespan.shutdown"})
    await life


class Load:
    """Fifty clients; no two requests are alike, so that each has to look in the store."""

    def __init__(self, middleware: COOMiddleware) -> None:
        self.middleware, self.guard = middleware, cast("Guard", middleware._backing.guarded)
        self.dice = random.Random(11)  # noqa: S311 -- no secret
        self.sent = self.failed = 0

    async def ask_once(self) -> float:
        """One request, and how long it took."""
        self.sent += 1
        client = Client(*content(ask(f"prompt {self.sent}")))
        began = perf_counter()
        await self.middleware(make_scope(), client.receive, client.send)
        took = perf_counter() - began
        self.failed += (200, ANSWER) != (client.status, client.body)
        return took

    async def ask_many(self, state: bool | None = None) -> list[float]:
        """Each client asks REQUESTS times, and on until the store's being up is `state`; how long each request took."""
        waits = []

        async def run() -> None:
            for _ in range(REQUESTS):
                waits.append(await self.ask_once())
                await asyncio.sleep(self.dice.uniform(0, 2 * PAUSE))

        await asyncio.gather(*(run() for _ in range(CLIENTS)))
        while state is not None and state != self.guard.is_up:
            waits.append(await self.ask_once())
            await asyncio.sleep(PAUSE)
        return waits

    async def settle(self) -> None:
        """Returns when the store has everything."""
        await self.middleware.drain()
        while self.middleware._backing.outbox:
            await asyncio.sleep(PAUSE)
            await self.middleware.drain()

    async def recover(self) -> float:
        """Asks on until the store is up again; how long that took."""
        began = perf_counter()
        while not self.guard.is_up:
            await asyncio.gather(*(self.ask_once() for _ in range(CLIENTS)))
            await asyncio.sleep(PAUSE)
        return perf_counter() - began


class Pulse:
    """The longest that the event loop itself was held up, in seconds: by the machine, not by a store."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _beat(self) -> None:
        while True:
            began = perf_counter()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, perf_counter() - began)


def transitions(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the guard has logged, up to the reason."""
    return [record.getMessage().partition(",")[0] for record in caplog.records if record.module == "guard"]


def p99(waits: list[float]) -> float:
    return sorted(waits)[len(waits) * 99 // 100]


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("outage", ["stopped", "refused", "killed", "blackholed"])
async def test_outage_fails_no_request_and_loses_no_count(
    place: Place, outage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every request is answered, once the breaker is open none touches the store, and afterwards each has counted
    once; the log has one line for each end of the store and one for each return.
    """
    floor = await Load(COOMiddleware(App())).ask_many()
    middleware = COOMiddleware(App(), place.settings())
    load = Load(middleware)
    async with living(middleware):
        await load.ask_many()
        calm = await load.ask_many()
        place.begin(outage)
        async with Pulse() as pulse:
            falling = await load.ask_many(state=False)
            await middleware.drain()
            touched = place.proxy.marked
            down = await load.ask_many()
        await middleware.drain()
        assert not load.guard.is_up
        assert touched == place.proxy.marked
        place.end(outage)
        recovery = await load.recover()
        await load.ask_many()
        await load.settle()
        worst, added = max(falling + down) - median(calm), p99(down) - p99(floor)
        report(
            f"{outage}: {load.sent:,} requests, {load.failed} failed; worst added wait {worst * 1e3:.0f} ms "
            f"(loop held up for {pulse.longest * 1e3:.0f} ms at most); 99th "
            f"percentile without the store {p99(down) * 1e3:.1f} ms, which is {added * 1e3:+.1f} ms beside a process "
            f"that needs none ({p99(calm) * 1e3:.1f} ms with the store); up again after {recovery:.2f} s"
        )
        totals = await place.read()

    assert 0 == load.failed
    assert [load.sent, TOKENS * load.sent] * 2 == totals
    assert {"misses": load.sent} == {name: count for name, count in middleware.counts.items() if name != "store_errors"}
    outages = load.guard._breaker.epoch // 2
    assert ["the store is out of reach", "the store is back"] * outages == transitions(caplog)


@pytest.mark.proof
async def test_restart_loses_no_count(place: Place) -> None:
    """A server that is killed and at once started again costs no request and no count, whether the breaker saw it or
    not.
    """
    middleware = COOMiddleware(App(), place.settings())
    load = Load(middleware)
    async with living(middleware):
        await load.ask_many()
        asking = asyncio.ensure_future(load.ask_many(state=True))
        await asyncio.sleep(0)
        place.kill()
        await asyncio.to_thread(place.start)
        await asking
        await load.recover()
        await load.ask_many()
        await load.settle()
        totals = await place.read()
        report(f"restarted: {load.sent:,} requests, {load.failed} failed, counted {totals[2]:,.0f}")

    assert 0 == load.failed
    assert [load.sent, TOKENS * load.sent] * 2 == totals


@pytest.mark.proof
async def test_app_starts_without_its_store(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """With the store away from the beginning every request is answered, none touches it, and when it appears all is
    counted.
    """
    place.begin("refused")
    middleware = COOMiddleware(App(), place.settings())
    load = Load(middleware)
    async with living(middleware):
        waits = await load.ask_many()
        assert not load.guard.is_up
        assert 0 == place.proxy.marked
        place.end("refused")
        recovery = await load.recover()
        await load.settle()
        totals = await place.read()
        report(
            f"down at start: {load.sent:,} requests, {load.failed} failed, 99th percentile {p99(waits) * 1e3:.1f} ms, "
            f"up after {recovery:.2f} s"
        )

    assert 0 == load.failed
    assert [load.sent, TOKENS * load.sent] * 2 == totals
    assert load.guard._breaker.epoch == len(transitions(caplog))


@pytest.mark.proof
@pytest.mark.parametrize("deadline", [0.1, 0.5])
async def test_deadline_is_what_a_request_waits(place: Place, deadline: float) -> None:
    """The first request into a network that swallows everything waits for the deadline that is set, no less and not
    much more: another deadline, another wait.
    """
    middleware = COOMiddleware(App(), place.settings(deadline))
    load = Load(middleware)
    async with living(middleware):
        await load.ask_once()
        place.begin("blackholed")
        wait = await load.ask_once()
        place.end("blackholed")
        report(f"deadline {deadline * 1e3:.0f} ms: the first request waited {wait * 1e3:.0f} ms")

    assert 0 == load.failed
    assert deadline <= wait < deadline + 2
