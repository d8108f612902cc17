"""COOMiddleware reads, plans, looks up, forwards and records, and is not there for anything else."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from coo_middleware import CooContext, COOMiddleware
from tests.asgi import (
    ANSWER,
    ASK_STREAM,
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
    read_all,
    stream,
    total,
)

CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "openai-project", "x-tenant")


async def test_a_hit_replays_an_answer() -> None:
    """The second answer has the same bytes and type, its age and our fields, and costs the provider nothing."""
    app = Script(*answer(ANSWER, headers=((b"Content-Type", b"application/json"), (b"x-request-id", b"r1"))))
    middleware = COOMiddleware(app)
    middleware._now = lambda: 1000.0
    miss = await call(middleware)
    middleware._now = lambda: 1005.5
    scope = make_scope()
    hit = await again(middleware, scope=scope)

    assert (b"coo; fwd=miss; stored", b"MISS") == (miss.fields[b"cache-status"], miss.fields[b"x-coo-cache"])
    assert 200 == hit.status
    assert ANSWER == hit.body
    assert {
        b"content-type": b"application/json",
        b"age": b"5",
        b"cache-status": b"coo; hit; ttl=4",
        b"x-coo-cache": b"HIT",
        b"content-length": b"%d" % len(ANSWER),
    } == hit.fields
    assert "hit" == scope["state"]["coo"].cache_status
    assert 1 == len(app.received)
    assert {"misses": 1, "hits": 1} == middleware.counts
    assert [1, 9, 2, 11, 0, 1, 11] == [
        await total(middleware, metric)
        for metric in ("req", "input_tokens", "output_tokens", "tokens", "errors", "cache_hits", "tokens_saved")
    ]


async def test_a_streamed_miss_is_forwarded_message_by_message() -> None:
    """Each message reaches the client before the app makes the next, and the hit has the same events in one piece."""
    messages = stream(*CHUNKS)
    gates = [asyncio.Event() for _ in messages]
    app = Script(*(step for pair in zip(messages, gates, strict=True) for step in pair))
    middleware = COOMiddleware(app)
    client = Client(*content(ASK_STREAM))
    request = asyncio.create_task(middleware(make_scope(), client.receive, client.send))
    async with asyncio.timeout(10):
        for count, gate in enumerate(gates, 1):
            await client.wait_for(count)
            assert count == len(client.messages)
            gate.set()
        await request
    hit = await again(middleware, ASK_STREAM)

    assert list(CHUNKS) == [message["body"] for message in client.messages[1:-1]]
    assert b"".join(CHUNKS) == hit.body
    assert (b"HIT", 2) == (hit.fields[b"x-coo-cache"], len(hit.messages))
    assert 1 == len(app.received)


DIRECTIVES = [
    (b"no-store", b"BYPASS", b"coo; fwd=request; detail=no-store", 200),
    (b"no-cache", b"MISS", b"coo; fwd=request; stored; detail=no-cache", 200),
    (b"max-age=4", b"MISS", b"coo; fwd=request; stored", 200),
    (b"max-age=5", b"HIT", b"coo; hit; ttl=5", 200),
    (b"only-if-cached", b"HIT", b"coo; hit; ttl=5", 200),
    (b"only-if-cached, max-age=1", b"MISS", b"coo; fwd=request", 504),
]


@pytest.mark.parametrize(("wish", "mark", "status_field", "status"), DIRECTIVES)
async def test_request_directives_are_honoured(wish: bytes, mark: bytes, status_field: bytes, status: int) -> None:
    """A stored response of an age of 5 seconds answers as the request's Cache-Control allows."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    middleware._now = lambda: 1000.0
    await call(middleware)
    await middleware.drain()
    middleware._now = lambda: 1005.0
    client = await call(middleware, scope=make_scope(headers=(JSON_FIELD, KEY, (b"cache-control", wish))))

    assert status == client.status
    assert mark == client.fields[b"x-coo-cache"]
    assert status_field == client.fields[b"cache-status"]


async def test_only_if_cached_never_reaches_the_app() -> None:
    """Where nothing is stored the client gets 504 in the provider's own shape, and no provider is charged with it."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app)
    client = await call(middleware, scope=make_scope(headers=(JSON_FIELD, (b"cache-control", b"only-if-cached"))))

    assert 504 == client.status
    assert client.body.startswith(b'{"error":{"message":"only-if-cached')
    assert b"%d" % len(client.body) == client.fields[b"content-length"]
    assert ([], {"only_if_cached": 1}) == (app.received, middleware.counts)


async def test_no_store_is_looked_up_nowhere_and_stored_nowhere() -> None:
    """A request with no-store leaves nothing behind for the next one, no-cache does."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    await call(middleware, scope=make_scope(headers=(JSON_FIELD, KEY, (b"cache-control", b"no-store"))))
    first = await again(middleware, scope=make_scope(headers=(JSON_FIELD, KEY, (b"cache-control", b"no-cache"))))
    second = await again(middleware)

    assert (b"MISS", b"HIT") == (first.fields[b"x-coo-cache"], second.fields[b"x-coo-cache"])


async def test_the_path_counts_as_it_came() -> None:
    """Two spellings of one path are two requests; a server that does not tell the spelling is served all the same."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    plain, spelt = make_scope(), {**make_scope(), "raw_path": b"/v1/%63hat/completions"}
    untold = make_scope()
    del untold["raw_path"]
    marks = [(await again(middleware, scope=scope)).fields[b"x-coo-cache"] for scope in (plain, spelt, untold)]

    assert [b"MISS", b"MISS", b"HIT"] == marks


IDENTITIES = st.dictionaries(st.sampled_from(CREDENTIALS), st.text("abAB01", min_size=1, max_size=3), max_size=3)


@given(one=IDENTITIES, other=IDENTITIES)
async def test_two_credentials_never_share_a_stored_response(one: dict[str, str], other: dict[str, str]) -> None:
    """A stored response is reused for exactly the credentials it was made for."""
    middleware = COOMiddleware(Script(*answer(ANSWER)), {"policy": {"cache": {"scope_headers": ["X-Tenant"]}}})
    for identity in (one, other):
        fields = [(name.encode(), b"Bearer " + value.encode()) for name, value in identity.items()]
        client = await again(middleware, scope=make_scope(headers=(JSON_FIELD, *fields)))

    assert (b"HIT" if one == other else b"MISS") == client.fields[b"x-coo-cache"]


async def test_usage_is_asked_for_and_taken_out_again() -> None:
    """A streaming call that did not ask is counted: the app gets one more member and its true length, the client what
    it asked for, and the layers above the header section as it was.
    """
    body = ask(stream=True)
    scope = make_scope(headers=(JSON_FIELD, KEY, (b"Content-Length", b"%d" % len(body))))
    headers = scope["headers"]
    seen: list[tuple[bytes, bytes]] = []
    app = Script(*answer(*CHUNKS, headers=((b"content-type", b"text/event-stream"), (b"content-length", b"999"))))

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])
        await app(scope, receive, send)

    middleware = COOMiddleware(look)
    client = await call(middleware, body, scope)

    assert [b'{"stream_options":{"include_usage":true},' + body[1:]] == app.received
    assert [JSON_FIELD, KEY, (b"Content-Length", b"%d" % len(app.received[0]))] == seen
    assert headers is scope["headers"]
    assert b"".join((*CHUNKS[:3], CHUNKS[4])) == client.body
    assert b"content-length" not in client.fields
    assert (9, 2) == (await total(middleware, "input_tokens"), await total(middleware, "output_tokens"))


async def test_the_handler_decides() -> None:
    """What the handler says in its context counts: who did the work, how long it is fresh, and whether it is stored."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_all(receive)
        context: CooContext = scope["state"]["coo"]
        context.provider, context.key_id, context.ttl = "azure", "key-7", 100
        if b"keep out" in body:
            context.bypass()
        for message in answer(ANSWER):
            await send(message)

    middleware = COOMiddleware(app)
    await call(middleware)
    scope = make_scope()
    hit = await again(middleware, scope=scope)
    out = [await again(middleware, ask("keep out")) for _ in range(2)]

    assert hit.fields[b"cache-status"] in {b"coo; hit; ttl=99", b"coo; hit; ttl=100"}
    assert ("azure", "key-7") == (scope["state"]["coo"].provider, scope["state"]["coo"].key_id)
    assert [b"MISS", b"MISS"] == [client.fields[b"x-coo-cache"] for client in out]
    assert 2 == middleware.counts["unstored.handler"]
    assert (3, 1) == (await total(middleware, "req"), await total(middleware, "cache_hits"))
    assert {("azure", "key-7")} == middleware._recorder._keys


async def test_a_disabled_cache_still_counts() -> None:
    """With the cache off every call is a bypass that is recorded, and the handler is told so."""
    scope = make_scope()
    middleware = COOMiddleware(Script(*answer(ANSWER)), {"policy": {"cache": {"enabled": False}}})
    client = await call(middleware, scope=scope)

    assert b"coo; fwd=bypass; detail=disabled" == client.fields[b"cache-status"]
    assert "bypass" == scope["state"]["coo"].cache_status
    assert ({"bypass.disabled": 1}, 1) == (middleware.counts, await total(middleware, "req"))
