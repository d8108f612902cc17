"""A flight on its own: its log, its back-pressure, its bounds, and how it is over a real server."""

from __future__ import annotations

import asyncio
import gc
import statistics
from time import perf_counter
from typing import TYPE_CHECKING

import httpx
import pytest

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, ASK_STREAM, CHAT, CHUNKS, Script, answer, ask, call, content, read_all, stream
from tests.crowd import EVENTS, Crowd, Slow, flight_of, gated, mount
from tests.proof import choose, report

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tests.conftest import Serve

JOINS, LAGS = 50, choose(3, 30)


async def test_the_app_waits_for_its_only_client() -> None:
    """One client that takes nothing holds the app up, as it would without us."""
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        for place, message in enumerate(stream(*CHUNKS)):
            await send(message)
            sent.append(place)

    crowd = Crowd(mount(app))
    slow = Slow(*content(ASK_STREAM))
    crowd.send(client=slow)
    await crowd.gather(1)
    for _ in range(50):
        await asyncio.sleep(0)
    held = len(sent)
    slow.gate.set()
    await crowd.end()

    assert (0, len(stream(*CHUNKS))) == (held, len(sent))


async def test_what_all_have_read_is_dropped_past_the_bound() -> None:
    """Of an answer longer than an entry may be, the log keeps no more than what is on its way, and nobody may join."""
    app, gate = gated(b"", streamed=True, after=150)
    crowd = Crowd(mount(app, cache={"max_entry_bytes": 4096}))
    first = crowd.send(ASK_STREAM)
    await crowd.gather(1)
    flight = flight_of(crowd.middleware)
    await first.wait_for(150)
    kept = len(flight.log._raw)
    joinable = bool(crowd.middleware._flights._table)
    gate.set()
    await crowd.end()

    assert (1, False) == (kept, joinable)
    assert b"".join(EVENTS) == first.body


async def test_messages_are_kept_by_reference() -> None:
    """Every follower is sent the very object that the app sent; nothing is copied for anybody."""
    app, gate = gated(ANSWER, streamed=True, after=1)
    crowd = Crowd(mount(app))
    clients = [crowd.send(ASK_STREAM) for _ in range(3)]
    await crowd.gather(3)
    gate.set()
    await crowd.end()
    steps = [id(step) for step in app.steps if isinstance(step, dict)][1:]

    assert [steps] * 3 == [[id(message) for message in client.messages[1:]] for client in clients]


async def test_nothing_is_left_of_a_flight() -> None:
    """When all is done there is no flight, no timer and no task, and a flight's log is free."""
    tasks = asyncio.all_tasks()
    app, gate = gated(b"", streamed=True, after=3)
    crowd = Crowd(mount(app))
    for _ in range(5):
        crowd.send(ASK_STREAM)
    await crowd.gather(5)
    gate.set()
    await crowd.end()
    await asyncio.sleep(0)
    gc.collect()
    flights = crowd.middleware._flights

    assert (set(), set(), {}) == (flights._aloft, flights._unattended, flights._table)
    assert tasks == asyncio.all_tasks()


async def test_an_app_hears_the_end_of_its_answer() -> None:
    """After its last message the app's `receive` tells of a disconnect, as servers do."""
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        for message in answer(ANSWER):
            await send(message)
        heard.append((await receive())["type"])

    await call(COOMiddleware(app))

    assert ["http.disconnect"] == heard


async def test_an_app_that_answers_nothing_answers_nobody() -> None:
    """An app that returns without an answer leaves that to every server, and no request hangs."""
    crowd = Crowd(mount(Script()))
    crowd.send()
    crowd.send()

    assert [None, None] == await crowd.end()
    assert [[], []] == [client.messages for client in crowd.clients]


async def test_a_task_that_never_ran_is_settled() -> None:
    """A flight whose task is cancelled before its first step ends like any other."""
    crowd = Crowd(mount(Script(*answer(ANSWER))))
    crowd.send()
    await crowd.gather(1)
    flight_of(crowd.middleware).task.cancel()
    ends = await crowd.end()

    assert [asyncio.CancelledError] == [type(end) for end in ends]
    assert {} == crowd.middleware._flights._table


async def listen(client: httpx.AsyncClient, url: str, body: bytes, came: asyncio.Event) -> float:
    """When the last event of a stream came; `came` is set at the event with which another one joins."""
    headers = {"content-type": "application/json"}
    async with client.stream("POST", url, content=body, headers=headers) as response:
        count, last = 0, 0.0
        async for chunk in response.aiter_raw():
            count += chunk.count(b"data: ")
            last = perf_counter()
            if count >= JOINS:
                came.set()
    assert len(EVENTS) == count
    return last


@pytest.mark.proof
async def test_a_late_follower_is_not_behind(serve: Serve) -> None:
    """Over a real server the last event reaches who joined at the fiftieth within milliseconds of the first client."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        for message in stream(*EVENTS):
            await send(message)
            await asyncio.sleep(0.001)

    url = serve(COOMiddleware(app)) + CHAT
    lags = []
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        for turn in range(LAGS):
            came, body = asyncio.Event(), ask(f"turn {turn}", stream=True, stream_options={"include_usage": True})
            leading = asyncio.create_task(listen(client, url, body, came))
            await came.wait()
            last = await listen(client, url, body, asyncio.Event())
            lags.append((last - await leading) * 1000)
    report(
        f"last event of a follower that joined at event {JOINS} of {len(EVENTS)}, behind the leader's, over uvicorn: "
        f"median {statistics.median(lags):.2f} ms, most {max(lags):.2f} ms ({LAGS} times)"
    )

    assert max(lags) < 100
