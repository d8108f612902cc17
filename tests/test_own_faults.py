"""No fault of ours and none of the store costs a request: the client gets what the app alone would have sent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.core.format import Route
from coo_middleware.core.framing import Event
from coo_middleware.formats.chat import CHAT
from coo_middleware.stores import Increment, RuntimeStore
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import (
    ANSWER,
    CHUNKS,
    KEY,
    Client,
    Script,
    again,
    answer,
    ask,
    call,
    make_scope,
    stream,
    total,
)

if TYPE_CHECKING:
    from coo_middleware.stores.guard import Guard

CANARY = "prompt-canary"
BARE_STREAM = (*CHUNKS[:3], CHUNKS[4])

CALLS = [
    "coo_middleware.formats.router.Router.recognise",
    "coo_middleware.middleware._is_marked",
    "coo_middleware.middleware.Target",
    "coo_middleware.context.CooContext.__init__",
    "coo_middleware.middleware.Call",
    "coo_middleware.cache.unpack_entry",
    "coo_middleware.cache.pack_entry",
    "coo_middleware.channels.Content.read",
    "coo_middleware.flight.add_fields",
    "coo_middleware.call.forward_fields",
    "coo_middleware.call.resize_fields",
    "coo_middleware.cache.Cache.render",
    "coo_middleware.call.hit_fields",
    "coo_middleware.call.refuse_answer",
    "coo_middleware.call.classify_error",
    "coo_middleware.making.reused_fields",
    "coo_middleware.core.memo.make_batch",
    "coo_middleware.passage.Passages.open",
    "coo_middleware.accounts.Record",
    "coo_middleware.core.memo.Memo.plan",
    "coo_middleware.core.exchange.Exchange.start",
    "coo_middleware.core.rewriter.Rewriter.rewrite",
    "coo_middleware.core.exchange.Exchange.add",
    "coo_middleware.core.exchange.Exchange.answer",
    "coo_middleware.call.judge",
    "coo_middleware.call.refuse_fields",
    "coo_middleware.follower.Follower.__init__",
    "coo_middleware.flights.Flights.join",
    "coo_middleware.flights.Flights.lead",
    "coo_middleware.recorder.Recorder.record",
    "coo_middleware.recorder.count_record",
]


def fail(*_: object, **__: object) -> None:
    raise LookupError(CANARY)


@pytest.mark.parametrize("name", CALLS)
async def test_a_fault_at_each_of_our_calls(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever of our own calls raises, the app gets its request and the client its bytes; the fault is counted and
    logged without what it says.
    """
    caplog.set_level("DEBUG")
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app)
    await call(middleware)
    await middleware.drain()
    monkeypatch.setattr(name, fail)
    bodies = [(await again(middleware, body)).body for body in (ask(), ask("another"))]
    app.steps = stream(*BARE_STREAM)
    streamed = await again(middleware, ask("streamed", stream=True))
    await middleware.drain()

    assert [ANSWER, ANSWER] == bodies
    assert b"".join(BARE_STREAM) == streamed.body
    assert ask("another") in app.received
    assert 0 < middleware.counts.get("internal_errors", 0) + middleware.counts.get("store_errors", 0)
    assert "LookupError at " in caplog.text
    assert CANARY not in caplog.text


async def test_a_fault_in_a_refusal_lets_the_app_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that wants stored responses only is answered by the app where our own refusal cannot be made."""
    monkeypatch.setattr("coo_middleware.call.add_fields", fail)
    scope = make_scope(headers=(*make_scope()["headers"], (b"cache-control", b"only-if-cached")))

    assert ANSWER == (await call(COOMiddleware(Script(*answer(ANSWER))), scope=scope)).body


@pytest.mark.parametrize("place", range(1, 5))
async def test_a_fault_while_rewriting_loses_no_byte(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever event rewriting fails at, the client gets all that was held back, and nothing twice."""
    wire = b"".join(BARE_STREAM)
    middleware = COOMiddleware(Script(*stream(*(wire[at : at + 50] for at in range(0, len(wire), 50)))))
    events: list[Event] = []

    def fail_at_place(event: Event) -> bytes:
        events.append(event)
        if len(events) == place:
            fail()
        return event.raw

    monkeypatch.setattr(
        "coo_middleware.formats.router.recognise", lambda _: Route(replace(CHAT, strip=fail_at_place), "")
    )
    client = await call(middleware, ask(stream=True))

    assert wire == client.body
    assert {"misses": 1, "internal_errors": 1, "unstored.strange": 1} == middleware.counts


class Broken(RuntimeStore):
    """A store of which nothing works until it is mended. It repeats in its errors what it was given."""

    def __init__(self) -> None:
        self.whole = MemoryStore()
        self.mended = False
        self.batches: list[tuple[int, Sequence[Increment]]] = []

    async def _use(self, *given: object) -> RuntimeStore:
        if not self.mended:
            raise LookupError(f"{CANARY} {KEY[1].decode()} {given}")
        return self.whole

    async def open(self) -> None:
        await self._use()

    async def close(self) -> None:
        await self._use()

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        return await (await self._use()).get_usage(provider, key_id, metric)

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        await (await self._use()).set_usage(provider, key_id, metric, value)

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        await (await self._use()).increment_usage(provider, key_id, metric, delta)

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        return await (await self._use()).get_usage_in_window(provider, key_id, metric, window_seconds)

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        return await (await self._use()).get_total(provider, key_id, metric)

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        await (await self._use(key, value)).set_cache(key, value, ttl_seconds)

    async def get_cache(self, key: str) -> bytes | None:
        return await (await self._use(key)).get_cache(key)

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        self.batches.append((sequence, increments))
        await (await self._use(increments)).apply(writer, sequence, increments)


async def test_a_store_that_is_gone_costs_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every call of the store fails: requests are answered, faults counted; when it is back no count is lost, and no
    log tells a prompt or a credential, nor has it a line for each request.
    """
    caplog.set_level("DEBUG")
    store = Broken()
    monkeypatch.setattr("coo_middleware.backing.open_store", lambda _: store)
    middleware = COOMiddleware(Script(*answer(ANSWER)), {"storage": {"runtime": {"probe_seconds": 0.01}}})
    clients = [await again(middleware, ask(f"{CANARY} {turn}")) for turn in range(8)]
    await middleware.drain()
    faults = middleware.counts["store_errors"]
    store.mended = True
    probe = cast("Guard", middleware._backing.guarded)._probe
    assert probe is not None
    await probe
    await middleware.drain()

    assert [ANSWER] * 8 == [client.body for client in clients]
    assert {"misses": 8, "store_errors": faults} == middleware.counts
    assert 3 * 8 - 1 <= faults
    assert [1, 2] == [sequence for sequence, _ in store.batches]
    assert (8, 88) == (await total(middleware, "req"), await total(middleware, "tokens"))
    assert ["the store is out of reach", "the store is back"] == [
        message.partition(",")[0] for message in caplog.messages if message.startswith("the store")
    ]
    assert CANARY not in caplog.text
    assert "canary-1" not in caplog.text


async def test_a_hit_that_cannot_be_counted_is_a_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault after the reply is reported, and the client has its bytes."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    await call(middleware)
    await middleware.drain()
    monkeypatch.setattr("coo_middleware.recorder.Recorder.record", fail)

    assert b"HIT" == (await call(middleware)).fields[b"x-coo-cache"]
    assert {"misses": 1, "hits": 1, "internal_errors": 1} == middleware.counts


async def test_a_lifespan_survives_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app starts with a store that cannot be opened, and stops with one that cannot be closed."""
    store = Broken()
    monkeypatch.setattr("coo_middleware.backing.open_store", lambda _: store)
    steps = [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    app = Script(*steps)
    middleware = COOMiddleware(app)
    clients = [Client({"type": "lifespan.startup"}) for _ in range(2)]
    await middleware({"type": "lifespan"}, clients[0].receive, clients[0].send)
    store.mended, app.steps = True, answer(ANSWER)
    await again(middleware)
    await middleware.drain()
    store.mended, app.steps = False, steps
    await middleware({"type": "lifespan"}, clients[1].receive, clients[1].send)

    assert [steps, steps] == [client.messages for client in clients]
    assert {"misses": 1, "store_errors": 2} == middleware.counts


async def test_a_damaged_entry_is_a_miss() -> None:
    """What no frame of ours is, is counted and replaced."""
    store = MemoryStore()
    middleware = COOMiddleware(Script(*answer(ANSWER)), store=store)
    scope = make_scope()
    await call(middleware, scope=scope)
    await middleware.drain()
    ((key, _),) = (await store.list_cache()).responses
    await store.set_cache(key, b"not ours", 10)
    marks = [(await again(middleware)).fields[b"x-coo-cache"] for _ in range(2)]

    assert [b"MISS", b"HIT"] == marks
    assert {"misses": 2, "hits": 1, "bad_entries": 1} == middleware.counts
