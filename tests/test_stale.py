"""Stale answers: while a new one is fetched, and where the upstream fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware, Record
from tests.asgi import (
    ANSWER,
    CHUNKS,
    JSON_FIELD,
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
from tests.crowd import Crowd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message

REVALIDATE = {"policy": {"cache": {"ttl_seconds": 10, "stale_while_revalidate_seconds": 30}}}
ON_ERROR = {"policy": {"cache": {"ttl_seconds": 10, "stale_if_error_seconds": 30}}}
NEW = ANSWER.replace(b"Hello", b"Again")


async def age(middleware: COOMiddleware, seconds: float) -> None:
    """Stores an answer, and lets so much time pass."""
    middleware._now = lambda: 1000.0
    await call(middleware)
    await middleware.drain()
    middleware._now = lambda: 1000.0 + seconds


async def test_a_stale_answer_is_served_while_a_new_one_is_fetched() -> None:
    """The client gets the stale one at once, marked; one call fetches the new one, which the next request gets."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app, REVALIDATE)
    await age(middleware, 15)
    app.steps = answer(NEW)
    stale = await call(middleware)
    fresh = await again(middleware)

    assert (ANSWER, b"STALE", b"coo; hit; ttl=-5", b"15") == (
        stale.body,
        stale.fields[b"x-coo-cache"],
        stale.fields[b"cache-status"],
        stale.fields[b"age"],
    )
    assert (NEW, b"HIT", 2) == (fresh.body, fresh.fields[b"x-coo-cache"], len(app.received))
    assert {"misses": 1, "stale": 1, "refreshes": 1, "hits": 1} == middleware.counts
    assert [2, 22, 1, 1, 22] == [
        await total(middleware, metric) for metric in ("req", "tokens", "stale_hits", "cache_hits", "tokens_saved")
    ]


async def test_a_hundred_clients_refresh_once() -> None:
    """All get the stale answer, and one call is made for all of them; a miss meanwhile shares it."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app, REVALIDATE)
    await age(middleware, 15)
    gate = asyncio.Event()
    app.steps = [gate, *answer(NEW)]
    crowd = Crowd(middleware)
    for _ in range(100):
        crowd.send()
    await asyncio.gather(*crowd.tasks)
    stale = [client.body for client in crowd.clients]
    unsatisfied = crowd.send(fields=(JSON_FIELD, KEY, (b"cache-control", b"min-fresh=5")))
    await crowd.gather(1)
    gate.set()
    await crowd.end()

    assert ([ANSWER] * 100, 2) == (stale, len(app.received))
    assert (NEW, b"coo; fwd=stale; collapsed") == (unsatisfied.body, unsatisfied.fields[b"cache-status"])


async def test_past_the_grace_it_is_a_miss() -> None:
    """These tests can fail: an answer too old is not served."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app, REVALIDATE)
    await age(middleware, 40)

    assert b"MISS" == (await call(middleware)).fields[b"x-coo-cache"]


async def test_a_refresh_that_fails_leaves_the_stale_answer() -> None:
    """An upstream that is down is asked by one refresh at a time; its error is counted and nobody gets it."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app, REVALIDATE)
    await age(middleware, 15)
    app.steps = [LookupError("down")]
    clients = [await again(middleware) for _ in range(3)]
    await middleware.drain()

    assert [ANSWER] * 3 == [client.body for client in clients]
    assert 3 == middleware.counts["unattended_errors"]


DOWN: list[tuple[Sequence[Message | BaseException], bytes]] = [
    ([LookupError("down")], b"coo; fwd=stale; detail=stale-if-error"),
    (answer(b"{}", status=503), b"coo; fwd=stale; fwd-status=503; detail=stale-if-error"),
    (answer(b"{}", status=429), b"coo; fwd=stale; fwd-status=429; detail=stale-if-error"),
    (answer(b"{}", status=408), b"coo; fwd=stale; fwd-status=408; detail=stale-if-error"),
]


@pytest.mark.parametrize(("steps", "notice"), DOWN, ids=["exception", "503", "429", "408"])
@pytest.mark.parametrize("collapse", [True, False])
async def test_an_upstream_that_is_down_is_covered(
    steps: Sequence[Message | BaseException], notice: bytes, collapse: bool
) -> None:
    """A hundred clients get the stale answer, marked and counted, for one failed call; when the upstream is back, one
    call brings a fresh answer.
    """
    records: list[Record] = []
    app = Script(*answer(ANSWER))
    cache = {"ttl_seconds": 10, "stale_if_error_seconds": 30, "collapse": collapse}
    middleware = COOMiddleware(app, {"policy": {"cache": cache, "on_disconnect": "cancel"}}, on_record=records.append)
    await age(middleware, 15)
    app.steps = steps
    crowd = Crowd(middleware)
    for _ in range(100):
        crowd.send()
    ends = await crowd.end()
    failed = len(app.received) - 1
    app.steps = answer(NEW)
    back = await call(middleware)

    assert [None] * 100 == ends
    assert {(200, ANSWER, b"STALE", notice)} == {
        (client.status, client.body, client.fields[b"x-coo-cache"], client.fields[b"cache-status"])
        for client in crowd.clients
    }
    assert (NEW, b"coo; fwd=stale; stored") == (back.body, back.fields[b"cache-status"])
    assert (1 if collapse else 100) == failed
    assert (100, failed + 2) == (await total(middleware, "stale_hits"), await total(middleware, "req"))
    assert {"status" if b"fwd-status" in notice else "exception"} == {
        record.error_type for record in records if record.cache_status == "miss" and record.error_type
    }


async def test_a_400_is_the_clients_own() -> None:
    """An error that the same request would meet again is no reason for a stale answer."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app, ON_ERROR)
    await age(middleware, 15)
    app.steps = answer(b"{}", status=400)

    assert 400 == (await call(middleware)).status


async def test_a_failure_after_the_first_byte_is_shown() -> None:
    """Once a client has bytes of the new answer there is no way back."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app, ON_ERROR)
    await age(middleware, 15)
    app.steps = [*answer(NEW)[:1], LookupError("cut")]
    with pytest.raises(LookupError):
        await call(middleware)


def wish(text: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return (JSON_FIELD, KEY, (b"cache-control", text))


@pytest.mark.parametrize(
    ("text", "mark"),
    [(b"max-stale=5", b"STALE"), (b"max-stale=4", b"MISS"), (b"max-stale", b"STALE"), (b"no-cache", b"MISS")],
)
async def test_a_request_may_take_stale_answers(text: bytes, mark: bytes) -> None:
    """A request's own max-stale counts within what is kept (RFC 9111 section 5.2.1.2)."""
    middleware = COOMiddleware(Script(*answer(ANSWER)), ON_ERROR)
    await age(middleware, 15)

    assert mark == (await call(middleware, scope=make_scope(headers=wish(text)))).fields[b"x-coo-cache"]


@pytest.mark.parametrize(("text", "status"), [(b"stale-if-error=0", 503), (b"stale-if-error=9", 200)])
async def test_a_request_bounds_what_stands_in(text: bytes, status: int) -> None:
    """A request's own stale-if-error counts before the configured one (RFC 5861 section 4)."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app, ON_ERROR)
    await age(middleware, 15)
    app.steps = answer(b"{}", status=503)

    assert status == (await call(middleware, scope=make_scope(headers=wish(text)))).status


async def test_a_stale_stream_stands_in_for_a_stream() -> None:
    """A streamed request gets the stale stream where the new one fails before its first byte."""
    app = Script(*stream(*CHUNKS))
    middleware = COOMiddleware(app, ON_ERROR)
    middleware._now = lambda: 1000.0
    body = ask(stream=True)
    await call(middleware, body)
    await middleware.drain()
    middleware._now = lambda: 1015.0
    app.steps = answer(b"{}", status=500)
    client: Client = await call(middleware, body)

    assert (200, b"".join((*CHUNKS[:3], CHUNKS[4]))) == (client.status, client.body)
