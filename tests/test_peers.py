"""peers.py: what flights of two replicas are to each other, each replica a middleware over one store."""

from __future__ import annotations

import asyncio
import gzip
import secrets
from contextlib import AsyncExitStack
from time import time
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from coo_middleware import COOMiddleware
from coo_middleware.follower import FollowError
from coo_middleware.stores import open_store
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import ANSWER, ASK_STREAM, JSON_FIELD, KEY, SSE_FIELD, Script, answer, ask, call, stream, total
from tests.crowd import EVENTS, Crowd, gated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.types import ASGIApp

DEADLINES = {"read_deadline_seconds": 10, "write_deadline_seconds": 10}


class Pair:
    """Two replicas that share a store, with the app of each."""

    def __init__(self, runtime: dict[str, object], stack: AsyncExitStack) -> None:
        self.runtime, self.stack = {**runtime, **DEADLINES}, stack

    def mount(self, *apps: ASGIApp, **policy: object) -> list[Crowd]:
        """A replica for each app, with settings under `policy`."""
        config = {"storage": {"runtime": self.runtime}, "policy": {"metrics": {"flush_seconds": 0.01}, **policy}}
        crowds = [Crowd(COOMiddleware(app, config)) for app in apps]
        for each in crowds:
            self.stack.push_async_callback(each.middleware.close)
        return crowds

    def keys(self, part: str = "") -> list[bytes]:
        """The names in the Redis that have that part."""
        with Redis.from_url(str(self.runtime["addr"])) as client:
            found = client.keys(f"{self.runtime['key_prefix']}*{part}*")
        assert isinstance(found, list)
        return found


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def live(redis_url: str, stack: AsyncExitStack) -> Pair:
    """Two replicas over a store with logs."""
    return Pair({"type": "redis", "addr": redis_url, "key_prefix": f"{secrets.token_hex(8)}:"}, stack)


@pytest.fixture
def still(tmp_path: Path, stack: AsyncExitStack) -> Pair:
    """Two replicas over a store without."""
    return Pair({"type": "sqlite", "path": str(tmp_path / "data.db")}, stack)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- nothing tells of what is inside
            await asyncio.sleep(0.005)


async def follow(crowds: list[Crowd], app: Script, body: bytes = b"") -> None:
    """The first replica calls, and then the second one asks for the same and has asked the first."""
    crowds[0].send(body)
    await until(lambda: app.received)
    crowds[1].send(body)
    flights = crowds[0].middleware._flights
    await until(lambda: any(each.lead and each.lead.is_followed for each in flights._aloft))


async def test_a_follower_elsewhere_costs_nothing(live: Pair) -> None:
    """Another replica's clients, the first of them too, get the same events, and count as collapsed under the key that
    the call was made with; nothing is left that says who leads.
    """
    app, gate = gated(b"", streamed=True, after=3)
    first, second = crowds = live.mount(app, Script())
    await follow(crowds, app, ASK_STREAM)
    second.send(ASK_STREAM)
    gate.set()
    assert [None] * 3 == await first.end() + await second.end()
    one, (other, third) = first.clients[0], second.clients

    assert [b"".join(EVENTS)] * 3 == [one.body, other.body, third.body]
    assert b"coo; fwd=miss; collapsed" == other.fields[b"cache-status"] == third.fields[b"cache-status"]
    assert {b"content-type", b"cache-status", b"x-coo-cache"} == set(other.fields)
    assert ([b"MISS"], [b"COLLAPSED"] * 2) == (first.marks(), second.marks())
    assert {"collapsed": 2} == second.middleware.counts
    assert (1, 2, 22) == (
        await total(first.middleware, "req"),
        await total(second.middleware, "collapsed"),
        await total(second.middleware, "tokens_saved"),
    )
    assert [] == live.keys("claim:")


async def test_an_entry_that_another_replica_stores_is_a_hit(still: Pair) -> None:
    """Where the store has no logs, those who wait elsewhere get the entry, each as it wants it."""
    app, gate = gated(ANSWER, streamed=False, after=1)
    first, second = still.mount(app, Script())
    first.send()
    await until(lambda: app.received)
    for _ in range(2):
        second.send()
    await asyncio.sleep(0.1)
    gate.set()
    assert [None] * 3 == await first.end() + await second.end()

    assert [ANSWER] * 2 == [client.body for client in second.clients]
    assert ([b"HIT"] * 2, {"hits": 2}) == (second.marks(), second.middleware.counts)


UNSHARED = [(b"set-cookie", b"session=1"), (b"cache-control", b"no-store"), (b"vary", b"*")]


@pytest.mark.parametrize("field", UNSHARED, ids=["set-cookie", "no-store", "vary"])
async def test_an_answer_for_one_stays_in_its_replica(live: Pair, field: tuple[bytes, bytes]) -> None:
    """Another replica's client does not get it, nor does the store, and is forwarded at once."""
    gate, never = asyncio.Event(), asyncio.Event()
    app = Script(gate, *answer(b"canary", headers=(JSON_FIELD, field))[:1], never)
    own = Script(*answer(ANSWER))
    first, second = crowds = live.mount(app, own)
    await follow(crowds, app)
    gate.set()
    await second.tasks[0]
    never.set()
    await first.end()

    assert ([b"MISS"], ANSWER, 1) == (second.marks(), second.clients[0].body, len(own.received))


async def test_an_error_with_a_status_goes_to_all(live: Pair) -> None:
    """An answer is an answer: another replica's client gets the 429 too."""
    app, gate = gated(b"{}", streamed=False, after=0)
    app.steps = [gate, *answer(b"{}", status=429, headers=(JSON_FIELD, (b"retry-after", b"7")))]
    first, second = crowds = live.mount(app, Script())
    await follow(crowds, app)
    gate.set()
    await first.end()
    await second.end()

    assert (429, b"{}", b"7") == (*_told(second), second.clients[0].fields[b"retry-after"])


def _told(crowd: Crowd) -> tuple[int, bytes]:
    return crowd.clients[0].status, crowd.clients[0].body


@pytest.mark.parametrize("has_logs", [False, True])
async def test_a_call_that_fails_is_made_once_more_elsewhere(has_logs: bool, live: Pair, still: Pair) -> None:
    """Before the first byte another replica takes over, and its client has a whole answer."""
    pair = live if has_logs else still
    gate = asyncio.Event()
    failing, working = Script(gate, LookupError("down")), Script(*answer(ANSWER))
    first, second = pair.mount(failing, working)
    first.send()
    await until(lambda: failing.received)
    second.send()
    await asyncio.sleep(0.1)
    gate.set()
    ends = await first.end() + await second.end()

    assert [LookupError, type(None)] == [type(each) for each in ends]
    assert (ANSWER, b"MISS") == (second.clients[0].body, second.clients[0].fields[b"x-coo-cache"])


async def test_a_second_failure_is_that_of_all(live: Pair) -> None:
    """Two replicas' calls have failed: a third one that waited for them makes none."""
    gates = [asyncio.Event(), asyncio.Event()]
    apps = [Script(gate, LookupError("down")) for gate in gates]
    idle = Script(*answer(ANSWER))
    first, second, third = live.mount(*apps, idle)
    first.send()
    await until(lambda: apps[0].received)
    second.send()
    await asyncio.sleep(0.1)
    gates[0].set()
    await until(lambda: apps[1].received)
    third.send()
    flights = second.middleware._flights
    await until(lambda: any(each.lead and each.lead.is_followed for each in flights._aloft))
    gates[1].set()
    ends = await first.end() + await second.end() + await third.end()

    assert [LookupError, LookupError, FollowError] == [type(each) for each in ends]
    assert [] == idle.received


async def test_an_answer_that_breaks_off_does_so_for_all(live: Pair) -> None:
    """After the first byte all have the same beginning and a connection that is cut."""
    gate = asyncio.Event()
    app = Script(*stream(*EVENTS)[:3], gate, LookupError("down"))
    first, second = crowds = live.mount(app, Script(*answer(ANSWER)))
    await follow(crowds, app, ASK_STREAM)
    await second.clients[0].wait_for(3)
    gate.set()
    ends = await first.end() + await second.end()

    assert [LookupError, FollowError] == [type(each) for each in ends]
    assert b"".join(EVENTS[:2]) == second.clients[0].body


async def test_a_coded_answer_goes_to_who_can_read_it(live: Pair) -> None:
    """A client elsewhere that takes other content codings is forwarded, one that takes the same ones follows."""
    gate = asyncio.Event()
    coded = gzip.compress(ANSWER)
    app = Script(gate, *answer(coded, headers=(JSON_FIELD, (b"content-encoding", b"gzip"))))
    own = Script(*answer(ANSWER))
    first, second, third = crowds = live.mount(app, Script(), own)
    gzips = (JSON_FIELD, KEY, (b"accept-encoding", b"gzip"))
    first.send(fields=gzips)
    await until(lambda: app.received)
    second.send(fields=gzips)
    third.send()
    await asyncio.sleep(0.2)
    gate.set()
    for each in crowds:
        await each.end()

    assert [coded, ANSWER] == [second.clients[0].body, third.clients[0].body]
    assert ([b"COLLAPSED"], [b"MISS"]) == (second.marks(), third.marks())


async def test_a_purge_is_not_outlived_elsewhere(live: Pair) -> None:
    """Who asks after a purge follows no call from before it, in whichever replica that is."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    own = Script(*answer(ANSWER))
    first, second = live.mount(app, own)
    first.send()
    await until(lambda: app.received)
    async with open_store(live.runtime) as store:
        await store.purge(["all"])
    second.send()
    await second.end()
    gate.set()
    await first.end()

    assert ([b"MISS"], 1) == (second.marks(), len(own.received))


@pytest.mark.parametrize("wish", [b"no-cache", b"max-age=5"])
async def test_a_request_for_something_new_follows_nobody(live: Pair, wish: bytes) -> None:
    """How old another replica's call is nobody knows here."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    own = Script(*answer(ANSWER))
    first, second = live.mount(app, own)
    first.send()
    await until(lambda: app.received)
    second.send(fields=(JSON_FIELD, KEY, (b"cache-control", wish)))
    await second.end()
    gate.set()
    await first.end()

    assert 1 == len(own.received)


async def test_a_call_that_is_followed_elsewhere_outlives_its_client(live: Pair) -> None:
    """Though calls without a client are to be cancelled, this one has one in another replica."""
    app, gate = gated(b"", streamed=True, after=3)
    first, second = crowds = live.mount(app, Script(), on_disconnect="cancel")
    await follow(crowds, app, ASK_STREAM)
    await second.clients[0].wait_for(3)
    first.clients[0].leave()
    await first.tasks[0]
    gate.set()
    await second.end()

    assert b"".join(EVENTS) == second.clients[0].body


async def test_a_client_that_leaves_while_another_replica_calls_leaves_nothing(live: Pair) -> None:
    """There is nothing here to be finished: no call, no task, no record."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    own = Script(*answer(ANSWER))
    first, second = crowds = live.mount(app, own)
    await follow(crowds, app)
    second.clients[0].leave()
    await second.end()
    gate.set()
    await first.end()

    assert ([], {}) == (own.received, second.middleware.counts)
    assert (set(), {}) == (second.middleware._flights._aloft, second.middleware._flights._table)


async def test_a_stale_answer_is_renewed_once_for_all(live: Pair) -> None:
    """Each replica serves the stale response and wants a new one; one call brings it, and then it is there for all."""
    gate = asyncio.Event()
    app, own = Script(*answer(ANSWER)), Script(*answer(ANSWER))
    first, second = live.mount(app, own, cache={"ttl_seconds": 600, "stale_while_revalidate_seconds": 600})
    first.send()
    await first.end()
    second.send()
    await second.end()
    for each in (first, second):
        each.middleware._now = lambda: time() + 700
    app.steps = [gate, *answer(ANSWER)]
    first.send()
    await until(lambda: len(app.received) == 2)
    second.send()
    await asyncio.sleep(0.2)
    gate.set()
    await first.end()
    await second.end()
    for _ in range(2):
        second.send()
        await second.end()

    assert (2, []) == (len(app.received), own.received)
    assert [b"HIT", b"STALE"] == [second.clients[number].fields[b"x-coo-cache"] for number in (0, 1)]
    assert b"HIT" == second.clients[-1].fields[b"x-coo-cache"]


async def test_what_is_in_flight_shows_nothing(live: Pair) -> None:
    """With encryption, neither key nor answer can be read in the store while another replica follows."""
    live.runtime["encryption_keys"] = [bytes(range(32)).hex()]
    gate = asyncio.Event()
    secret = ANSWER.replace(b"Hello", b"canary-answer")
    app = Script(*answer(secret, b"", headers=(JSON_FIELD, (b"x-canary", b"canary-field")))[:2], gate)
    app.steps = [*app.steps, {"type": "http.response.body", "body": b""}]
    first, second = crowds = live.mount(app, Script())
    await follow(crowds, app, ask("canary-prompt"))
    await second.clients[0].wait_for(2)
    with Redis.from_url(str(live.runtime["addr"])) as client:
        names = live.keys()
        dump = b"".join([*names, *(client.dump(name) or b"" for name in names)])
    digest = next(iter(first.middleware._flights._table)).hex().encode()
    gate.set()
    await first.end()
    await second.end()

    assert secret == second.clients[0].body
    assert [b"log:" in name for name in names].count(True) > 0
    assert (False, False) == (b"canary" in dump, digest in dump)


class Counted(MemoryStore):
    """A store elsewhere, which notes who asks for the lead."""

    in_process = False

    def __init__(self) -> None:
        super().__init__()
        self.claims = 0

    async def claim(self, key: str, owner: str, lease_seconds: float) -> str:
        self.claims += 1
        return await super().claim(key, owner, lease_seconds)


async def test_only_a_miss_asks_who_leads() -> None:
    """A hit costs no more than before, and in a store of this process nobody asks."""
    store, own = Counted(), MemoryStore()
    middleware = COOMiddleware(Script(*answer(ANSWER)), store=store)
    for _ in range(3):
        await call(middleware)
        await middleware.drain()
    await call(COOMiddleware(Script(*answer(ANSWER)), {"policy": {"cache": {"collapse_replicas": False}}}, store=store))

    assert 1 == store.claims
    assert COOMiddleware(Script(), store=own)._peers._replicas is None


async def test_a_fault_of_ours_costs_no_request(live: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asking the others or telling them fails, the app answers all the same, and the fault is counted."""
    (first,) = live.mount(Script(*stream(*EVENTS)))

    def fail(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("coo_middleware.flights.tell", fail)
    told = await call(first.middleware, ASK_STREAM)
    monkeypatch.setattr(first.middleware._peers._replicas, "join", fail)
    unasked = await call(first.middleware, ask("another", stream=True, stream_options={"include_usage": True}))

    assert [b"".join(EVENTS)] * 2 == [told.body, unasked.body]
    assert 2 == first.middleware.counts["internal_errors"]
    assert SSE_FIELD in told.messages[0]["headers"]
