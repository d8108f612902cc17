"""One request's way through the limits: what refuses it, what that leaves as it was, and what it pays at its end."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from coo_middleware import COOMiddleware, Record
from coo_middleware.core.limited import LimitedError
from coo_middleware.stores import StoreError
from coo_middleware.stores.memory import MemoryStore
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
    content,
    make_scope,
    stream,
    total,
)
from tests.crowd import Crowd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import Message

    from coo_middleware.core.limits import Admission, Takes

OTHER = (b"authorization", b"Bearer sk-canary-2")
KEYS = [{"id": "openai", "api_keys": ["secret-1", "secret-2"], "limits": {"req_per_min": 1}}]


def limit(*rules: dict[str, object], **policy: object) -> dict[str, object]:
    """A configuration with these rules."""
    return {"policy": {"limits": {"rules": list(rules)}, **policy}}


def left(client: Client, kind: bytes = b"requests") -> int:
    """What an answer says is left."""
    return int(client.fields[b"x-ratelimit-remaining-" + kind])


async def test_a_refusal_has_the_providers_shape_and_says_when() -> None:
    """The second request gets 429 as the provider would say it, the moment to come back, and no call is made."""
    app, records = Script(*answer(ANSWER)), list[Record]()
    middleware = COOMiddleware(app, limit({"name": "rpm", "requests": 1}), on_record=records.append)
    first, second = await call(middleware), await again(middleware, ask("Another"))
    fields, error = second.fields, json.loads(second.body)["error"]

    assert (200, 0, 429, 1) == (first.status, left(first), second.status, len(app.received))
    assert "rate_limit_error" == error["type"]
    assert 59 <= int(fields[b"retry-after"]) <= 61
    assert int(fields[b"retry-after-ms"]) <= int(fields[b"retry-after"]) * 1000
    assert b"coo; fwd=miss" == fields[b"cache-status"]
    assert [("", True), ("limited", False)] == [(each.error_type, each.asked) for each in records]
    assert [1, 1] == [await total(middleware, metric) for metric in ("req", "limited")]
    assert {"misses": 1, "limited": 1, "unstored.limited": 1} == middleware.counts


async def test_usage_takes_the_place_of_the_estimate() -> None:
    """After an answer of 11 tokens 11 are gone, whatever had been reserved for it."""
    middleware = COOMiddleware(Script(*answer(ANSWER)), limit({"name": "tpm", "tokens": 1000}))
    await call(middleware, ask(max_tokens=500))
    second = await again(middleware, ask("Another", max_tokens=100))

    assert 1000 - 11 - 100 - 30 < left(second, b"tokens") <= 1000 - 11 - 1


@pytest.mark.parametrize("steps", [[RuntimeError()], answer(b"{}", status=500)], ids=["raises", "500"])
async def test_what_failed_costs_its_request_and_no_tokens(steps: Sequence[Message | BaseException]) -> None:
    """A call that brought nothing gives the tokens back, and stays a request."""
    app = Script(*steps)
    middleware = COOMiddleware(app, limit({"name": "rpm", "requests": 5, "tokens": 1000}))
    with suppress(RuntimeError):
        await call(middleware, ask(max_tokens=900))
    app.steps = answer(ANSWER)
    second = await again(middleware, ask(max_tokens=900))

    assert (200, 3) == (second.status, left(second))


async def test_followers_take_nothing() -> None:
    """Of six equal requests at once one takes its place in a limit of one, and all are answered."""
    gate = asyncio.Event()
    middleware = COOMiddleware(Script(gate, *stream(*CHUNKS)), limit({"name": "rpm", "requests": 1}))
    crowd = Crowd(middleware)
    for _ in range(6):
        crowd.send(ask(stream=True))
    await crowd.gather(6)
    gate.set()
    ends = await crowd.end()

    assert [None] * 6 == ends
    assert [b"COLLAPSED"] * 5 + [b"MISS"] == crowd.marks()


async def test_one_callers_refusal_is_not_anothers() -> None:
    """The leader's limit is used up, so it is refused; of those who follow it the next one leads and is answered."""
    gate = asyncio.Event()
    app = Script(*answer(ANSWER))
    rules = {"name": "rpm", "per": ["caller"], "requests": 1}
    middleware = COOMiddleware(app, limit(rules, cache={"scope": "shared"}))
    await call(middleware, ask("Used up"))
    await middleware.drain()
    app.steps = (gate, *answer(ANSWER))
    crowd = Crowd(middleware)
    for key in (KEY, OTHER, OTHER):
        crowd.send(fields=(JSON_FIELD, key))
    gate.set()
    ends = await crowd.end()

    assert [None] * 3 == ends
    assert [429, 200, 200] == [client.status for client in crowd.clients]
    assert 2 == len(app.received)


async def test_all_are_refused_where_nobody_may_lead() -> None:
    """Each follower asks its own limits before it is refused, and nobody waits for ever."""
    middleware = COOMiddleware(Script(*answer(ANSWER)), limit({"name": "rpm", "requests": 1}))
    await call(middleware, ask("Used up"))
    crowd = Crowd(middleware)
    for body in [ask()] * 3 + [ask(stream=True)]:
        crowd.send(body)
    await crowd.end()

    assert [429] * 4 == [client.status for client in crowd.clients]


async def test_a_stale_answer_stands_in_for_a_refusal() -> None:
    """Where a stale response may answer for a failed upstream, it does so for a refused call too."""
    cache = {"ttl_seconds": 10, "stale_if_error_seconds": 30}
    middleware = COOMiddleware(Script(*answer(ANSWER)), limit({"name": "rpm", "requests": 1}, cache=cache))
    middleware._now = lambda: 1000.0
    await call(middleware)
    await middleware.drain()
    middleware._now = lambda: 1015.0
    second = await again(middleware)

    assert (200, ANSWER, b"STALE") == (second.status, second.body, second.fields[b"x-coo-cache"])


async def test_reused_responses_count_where_a_rule_says_so() -> None:
    """With count_hits the second hit is refused; without it nobody is."""
    refused = []
    for counted in (True, False):
        middleware = COOMiddleware(
            Script(*answer(ANSWER)), limit({"name": "rpm", "requests": 2, "count_hits": counted})
        )
        refused.append([(await again(middleware)).status for _ in range(4)])

    assert [[200, 200, 429, 429], [200] * 4] == refused


@pytest.mark.parametrize("wrapped", [False, True], ids=["mounted", "around"])
async def test_a_pick_that_is_refused_gives_everything_back(*, wrapped: bool) -> None:
    """No key has room: 429 in the provider's shape, mounted inside Starlette's error page and around it, and the
    caller's own limit is as it was.
    """
    rules = [{"name": "rpm", "requests": 3}, {"name": "calls", "concurrency": 1}]
    config = limit(*rules) | {"llm_providers": KEYS}
    app = Starlette(routes=[Route("/v1/chat/completions", pick, methods=["POST"])])
    around = COOMiddleware(app, config)
    if not wrapped:
        app.add_middleware(COOMiddleware, config=config)
    clients = []
    for number in range(6):
        clients.append(await call(around if wrapped else app, ask(f"Number {number}")))
        await around.drain()

    assert [200, 200] + [429] * 4 == [each.status for each in clients]
    assert "rate_limit_error" == json.loads(clients[-1].body)["error"]["type"]
    assert 1 == left(clients[-1])


async def test_an_attempt_is_counted_for_the_key_that_made_it() -> None:
    """A failed attempt that is reported counts for its key, the answer for the key that gave it."""
    records: list[Record] = []

    async def chat(request: Request) -> Response:
        coo = request.state.coo
        await coo.report(await coo.pick("openai"), status=500)
        await coo.pick("openai")
        return Response(ANSWER, media_type="application/json")

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    app.add_middleware(COOMiddleware, config={"llm_providers": KEYS}, on_record=records.append)
    client = await call(app)

    assert 200 == client.status
    assert ["status", ""] == [each.error_type for each in records]
    assert {"openai-1", "openai-2"} == {each.key_id for each in records}
    assert [True, True] == [each.asked for each in records]


async def test_limits_that_cannot_be_kept_refuse_where_they_must() -> None:
    """With on_store_error closed a store that fails is 503, and the app is not called."""
    app = Script(*answer(ANSWER))
    rules = {"rules": [{"name": "rpm", "requests": 9}], "on_store_error": "closed"}
    middleware = COOMiddleware(app, {"policy": {"limits": rules}}, store=Broken())
    client = await call(middleware)

    assert (503, 0) == (client.status, len(app.received))


async def test_a_refusal_after_the_answer_has_begun_is_the_apps_own_error() -> None:
    """What a handler lets out of a stream that has begun is no answer of ours."""
    app = Script(*stream(*CHUNKS)[:2], LimitedError(1.0))
    middleware = COOMiddleware(app, limit({"name": "rpm", "requests": 9}))
    client = Client(*content(ask(stream=True)))
    with pytest.raises(LimitedError):
        await middleware(make_scope(), client.receive, client.send)

    assert [200] == [message["status"] for message in client.messages if "status" in message]


async def pick(request: Request) -> Response:
    """A handler that needs a key."""
    await request.state.coo.pick("openai")
    return Response(ANSWER, media_type="application/json")


class Broken(MemoryStore):
    """A store whose limits fail."""

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        raise StoreError("it is made to fail")
