"""When the client leaves: the call ends by itself within bounds, or is cancelled, and is counted once either way."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware, Record
from tests.asgi import ANSWER, ASK_STREAM, CHUNKS, Script, again, answer, ask, call, read_all, stream, total
from tests.crowd import Crowd, gated, mount

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

AFTER = 3
WHOLE = b"".join(CHUNKS)


def wait_in(steps: list[Message | BaseException], after: int) -> tuple[Script, asyncio.Event]:
    gate = asyncio.Event()
    return Script(*steps[:after], gate, *steps[after:]), gate


async def leave(crowd: Crowd, body: bytes = ASK_STREAM, sent: int = AFTER, *, cancelled: bool = False) -> None:
    """A client that hangs up, or whose request is cancelled, after so many messages."""
    client = crowd.send(body)
    await client.wait_for(sent)
    if cancelled:
        crowd.tasks[-1].cancel()
    else:
        client.leave()
    await asyncio.wait(crowd.tasks[-1:])


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("cache", [{}, {"enabled": False}], ids=["cached", "not cached"])
async def test_a_call_is_finished(cache: dict[str, object], cancelled: bool) -> None:
    """The call goes on without its client: its usage is recorded once, and a whole answer is stored."""
    records: list[Record] = []
    app, gate = wait_in([*stream(*CHUNKS)], AFTER)
    middleware = COOMiddleware(app, {"policy": {"cache": cache}}, on_record=records.append)
    crowd = Crowd(middleware)
    await leave(crowd, cancelled=cancelled)
    gate.set()
    await middleware.drain()

    assert [("", 11)] == [(record.error_type, record.usage and record.usage.tokens) for record in records]
    assert (1, 11) == (await total(middleware, "req"), await total(middleware, "tokens"))
    if not cache:
        assert WHOLE == (await again(middleware, ASK_STREAM)).body
        assert 1 == len(app.received)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_call_is_cancelled(cancelled: bool) -> None:
    """Where that is configured the app ends with its client; what it had told of its usage is recorded once."""
    records: list[Record] = []
    ends: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        for message in stream(CHUNKS[0], CHUNKS[3])[:AFTER]:
            await send(message)
        try:
            ends.append((await receive())["type"])
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    middleware = COOMiddleware(app, {"policy": {"on_disconnect": "cancel"}}, on_record=records.append)
    await leave(Crowd(middleware), cancelled=cancelled)
    await middleware.drain()

    assert ["cancelled" if cancelled else "http.disconnect"] == ends
    assert [("client_disconnect", 11)] == [
        (record.error_type, record.usage and record.usage.tokens) for record in records
    ]


async def test_a_call_that_others_follow_is_not_cancelled() -> None:
    """Even where it is configured, the first client that leaves costs the others nothing."""
    app, gate = wait_in([*stream(*CHUNKS)], AFTER)
    crowd = Crowd(mount(app, on_disconnect="cancel"))
    first = crowd.send(ASK_STREAM)
    await first.wait_for(AFTER)
    second = crowd.send(ASK_STREAM)
    await second.wait_for(AFTER)
    first.leave()
    await crowd.tasks[0]
    gate.set()
    await crowd.end()

    assert (WHOLE, 1) == (second.body, len(app.received))


async def test_an_app_that_does_not_listen_is_cancelled() -> None:
    """One that goes on when it was told of the end is cancelled a little later."""
    app = Script(*stream(*CHUNKS)[:AFTER], asyncio.Event())
    middleware = mount(app, on_disconnect="cancel")
    await leave(Crowd(middleware))
    async with asyncio.timeout(10):
        await middleware.drain()

    assert {"misses": 1, "unstored.exception": 1} == middleware.counts


async def test_time_is_bounded() -> None:
    """A call that does not end is cancelled after the configured time, and counts as the client's doing."""
    records: list[Record] = []
    app = Script(*stream(*CHUNKS)[:AFTER], asyncio.Event())
    middleware = COOMiddleware(app, {"policy": {"on_disconnect_seconds": 0.01}}, on_record=records.append)
    await leave(Crowd(middleware))
    async with asyncio.timeout(10):
        await middleware.drain()

    assert ["client_disconnect"] == [record.error_type for record in records]


async def test_number_is_bounded() -> None:
    """Of calls without a client only the configured number goes on."""
    app, gate = wait_in([*stream(*CHUNKS)], AFTER)
    middleware = mount(app, on_disconnect_max=2)
    crowd = Crowd(middleware)
    for turn in range(4):
        body = ask(f"turn {turn}", stream=True)
        await leave(crowd, body, cancelled=True)
    await asyncio.sleep(0)
    gate.set()
    await middleware.drain()

    assert {"misses": 4, "unstored.exception": 2} == middleware.counts


async def test_a_client_that_comes_back_finds_its_answer() -> None:
    """Who asks again while the call goes on without a client joins it, from the first message on."""
    app, gate = wait_in([*stream(*CHUNKS)], AFTER)
    crowd = Crowd(mount(app))
    await leave(crowd)
    back = crowd.send(ASK_STREAM)
    await back.wait_for(AFTER)
    gate.set()
    await crowd.end()

    assert (WHOLE, b"COLLAPSED", 1) == (back.body, back.fields[b"x-coo-cache"], len(app.received))


async def test_an_error_that_nobody_hears_is_counted() -> None:
    """What the app raises when its client has left is counted, since no layer above can see it."""
    app, gate = wait_in([*stream(*CHUNKS)[:AFTER], LookupError("late")], AFTER)
    middleware = mount(app)
    await leave(Crowd(middleware))
    gate.set()
    await middleware.drain()

    assert 1 == middleware.counts["unattended_errors"]


async def test_close_ends_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """At shutdown calls have a little time to end; those that do not are cancelled, recorded, and nothing hangs."""
    monkeypatch.setattr("coo_middleware.flights._CLOSING_SECONDS", 0.01)
    middleware = mount(Script(*stream(*CHUNKS)[:AFTER], asyncio.Event()))
    await leave(Crowd(middleware))
    async with asyncio.timeout(10):
        await middleware.close()

    assert {"misses": 1, "unstored.exception": 1} == middleware.counts


async def test_context_variables_come_back_at_the_start() -> None:
    """A layer above sees what the app has set when the answer begins, not only when it ends."""
    mark: ContextVar[str] = ContextVar("mark", default="unset")
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mark.set("begun")
        for message in answer(ANSWER):
            await send(message)
        mark.set("ended")

    middleware = COOMiddleware(app)

    async def above(scope: Scope, receive: Receive, send: Send) -> None:
        async def look(message: Message) -> None:
            seen.append(mark.get())
            await send(message)

        await middleware(scope, receive, look)
        seen.append(mark.get())

    await call(above)

    assert ["begun", "begun", "ended"] == seen


async def test_it_can_be_told() -> None:
    """These tests can fail: without a client that leaves, nothing goes on without one."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    crowd = Crowd(mount(app))
    crowd.send()
    await crowd.gather(1)
    assert not crowd.middleware._flights._unattended
    gate.set()
    await crowd.end()
