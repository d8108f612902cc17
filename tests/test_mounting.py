"""Mounted anywhere, with a lifespan or without, the middleware is there for calls alone and lets go of its store."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from coo_middleware import COOMiddleware
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import (
    ANSWER,
    CHAT,
    Client,
    Script,
    again,
    answer,
    ask,
    call,
    content,
    make_scope,
    total,
)


class Diary(MemoryStore):
    """A memory store that notes its calls, each with how much the client had by then."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[str, int]] = []
        self.client = Client()

    def note(self, name: str) -> None:
        self.notes.append((name, len(self.client.messages)))

    async def open(self) -> None:
        self.note("open")

    async def close(self) -> None:
        self.note("close")

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        self.note("set_cache")
        await super().set_cache(key, value, ttl_seconds)

    async def apply(self, *batch: Any) -> None:
        self.note("apply")
        await super().apply(*batch)


@pytest.fixture
def own_store(monkeypatch: pytest.MonkeyPatch) -> Diary:
    """The store that a middleware opens for itself."""
    store = Diary()
    monkeypatch.setattr("coo_middleware.backing.open_store", lambda _: store)
    return store


OTHERS = [
    {"type": "websocket", "path": CHAT},
    {"type": "foo"},
    make_scope(method="GET"),
    make_scope(method="OPTIONS"),
    make_scope(method="post"),
    make_scope("/v1/models"),
    make_scope("//v1/chat/completions"),
    make_scope("/v1/chat/completions/"),
]


@pytest.mark.parametrize("scope", OTHERS, ids=lambda scope: f"{scope['type']} {scope.get('method', '')}")
async def test_what_is_no_call_passes_untouched(scope: Scope) -> None:
    """The app gets the very objects that the server gave, and nothing is counted."""
    got: list[object] = []
    client = Client()
    receive, send = client.receive, client.send

    async def app(*channels: object) -> None:
        got.extend(channels)

    middleware = COOMiddleware(app)
    await middleware(scope, receive, send)

    assert [id(scope), id(receive), id(send)] == [id(each) for each in got]
    assert {} == middleware.counts


async def live(middleware: COOMiddleware, client: Client) -> None:
    await middleware({"type": "lifespan"}, client.receive, client.send)


STARTED: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}


async def test_the_lifespan_opens_and_closes_a_store_of_our_own(own_store: Diary) -> None:
    """The store is open before the app starts, and drained and closed before the server hears of the shutdown."""
    own_store.client = client = Client({"type": "lifespan.startup"}, *content(ask()), {"type": "lifespan.shutdown"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await Script(*answer(ANSWER))(scope, receive, send)
            return
        await receive()
        await send(STARTED)
        await call(middleware)
        await send(STOPPED)

    middleware = COOMiddleware(app)
    await live(middleware, client)

    assert [("open", 0), ("set_cache", 1), ("apply", 1), ("close", 1)] == own_store.notes
    assert client.messages[0] is STARTED
    assert client.messages[1] is STOPPED


async def test_a_passed_store_is_the_callers_to_open_and_to_close() -> None:
    """Neither the lifespan nor close() opens or closes a store that was passed."""
    store = Diary()
    middleware = COOMiddleware(Script(STARTED, STOPPED), store=store)
    await live(middleware, Client({"type": "lifespan.startup"}))
    await middleware.close()

    assert [] == store.notes


async def test_without_a_lifespan_the_first_request_opens_the_store(own_store: Diary) -> None:
    """A mounted app gets no lifespan: our own store opens once, with the first request, and close() may be repeated."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    await call(middleware)
    await again(middleware)
    await middleware.close()
    await middleware.close()

    assert ["open", "set_cache", "apply", "apply", "close"] == [name for name, _ in own_store.notes]


async def test_mounted_twice_it_counts_once() -> None:
    """The inner one of two middlewares passes a request on: one record, one set of fields."""
    inner = COOMiddleware(Script(*answer(ANSWER)))
    outer = COOMiddleware(inner)
    client = await call(outer)

    assert {} == inner.counts
    assert {"misses": 1} == outer.counts
    assert 1 == [name for name, _ in client.messages[0]["headers"]].count(b"x-coo-cache")


async def test_the_last_message_goes_before_anything_is_written() -> None:
    """Storing and recording begin when the client has all: the app has returned, and no message waits for a store."""
    store = Diary()
    store.client = Client(*content(ask()))
    middleware = COOMiddleware(Script(*answer(ANSWER[:9], ANSWER[9:])), store=store)
    await middleware(make_scope(), store.client.receive, store.client.send)
    await middleware.drain()

    assert [("set_cache", 3), ("apply", 3)] == store.notes


def test_a_hundred_event_loops_in_turn() -> None:
    """One middleware serves loop after loop, as tests and workers of other frameworks make them, and loses no count."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    for turn in range(100):
        client = asyncio.run(call(middleware, ask(f"turn {turn}")))
        assert ANSWER == client.body
    gc.collect()

    assert 100 == asyncio.run(total(middleware, "req"))
    assert {"misses": 100} == middleware.counts


async def test_a_passed_store_elsewhere_is_guarded_and_left_open() -> None:
    """A store that may be slow is guarded whoever passed it; close() ends the guard's work and leaves the store."""
    store = Diary()
    store.in_process = False  # type: ignore[misc]
    middleware = COOMiddleware(Script(*answer(ANSWER)), store=store)
    await call(middleware)
    await middleware.close()

    assert {"set_cache", "apply"} == {name for name, _ in store.notes}
    assert 1 == await store.get_total("openai", next(iter(middleware._recorder._keys))[1], "req")


async def test_a_journal_that_cannot_be_opened_costs_no_request(tmp_path: Path) -> None:
    """A folder that is none is a fault that is counted, and calls are answered and recorded."""
    (tmp_path / "file").write_text("no folder")
    config = {"storage": {"runtime": {"journal": str(tmp_path / "file")}}}
    middleware = COOMiddleware(Script(*answer(ANSWER)), config)
    client = await call(middleware)

    assert ANSWER == client.body
    assert 1 == await total(middleware, "req")
    assert middleware.counts["store_errors"] >= 1
