"""policy.cache.mode: what observing and shadowing do to requests, and what they count."""

from __future__ import annotations

from functools import partial

import pytest

from coo_middleware import COOMiddleware, Record
from coo_middleware.stores.memory import MemoryStore
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
    make_scope,
    stream,
    total,
)

OTHER = ANSWER.replace(b"Hello", b"Hi")


def mount(
    app: Script, store: MemoryStore | None = None, records: list[Record] | None = None, **cache: object
) -> COOMiddleware:
    """The middleware with these settings of the cache."""
    policy = {"policy": {"cache": {"ttl_seconds": 60, **cache}}}
    heard = records if records is not None else []
    return COOMiddleware(app, policy, store=store or MemoryStore(), on_record=heard.append)


async def twice(middleware: COOMiddleware, body: bytes = b"") -> tuple[Client, Client]:
    return await call(middleware, body or ask()), await again(middleware, body or ask())


def status_of(client: Client) -> bytes:
    return client.fields[b"cache-status"]


async def test_observing_serves_nothing() -> None:
    """Every request reaches the app and gets its answer, and says that it would have been a hit."""
    app = Script(*answer(ANSWER))
    middleware = mount(app, mode="observe")

    first, second = await twice(middleware)

    assert 2 == len(app.received)
    assert [ANSWER, ANSWER] == [first.body, second.body]
    assert [b"coo; fwd=miss", b"coo; fwd=bypass; detail=would-hit"] == [status_of(first), status_of(second)]


async def test_observing_counts_what_it_would_have_saved() -> None:
    """Would-be hits and their tokens are counted per provider and key, beside what was really asked and spent."""
    records: list[Record] = []
    middleware = mount(Script(*answer(ANSWER)), records=records, mode="observe")

    for _ in range(3):
        await again(middleware, ask())

    counted = [await total(middleware, name) for name in ("would_hits", "tokens_would_save", "req", "cache_hits")]
    assert [2.0, 22.0, 3.0, 0.0] == counted
    assert [False, True, True] == [each.trial is not None for each in records]
    assert (2, 2) == (middleware.counts["would_hits"], middleware.counts["unstored.would-hit"])


async def test_observing_keeps_no_content() -> None:
    """Nothing of the answer is in the store, and what is there is never served when the mode changes."""
    store = MemoryStore()
    middleware = mount(Script(*answer(ANSWER)), store, mode="observe")
    await twice(middleware)
    await middleware.drain()

    app = Script(*answer(ANSWER))
    served = await call(mount(app, store), ask())

    assert (ANSWER, 1) == (served.body, len(app.received))


async def test_a_would_be_hit_does_not_prolong_what_is_stored() -> None:
    """What would have hit is not stored anew, so that the share of hits is what it would be."""
    middleware = mount(Script(*answer(ANSWER)), mode="observe")
    for now in (1000.0, 1040.0, 1080.0, 1100.0):
        middleware._now = partial(float, now)
        await again(middleware, ask())
    await middleware.drain()

    assert 2 == middleware.counts["would_hits"]


async def test_observing_knows_hits_in_the_other_shape() -> None:
    """A body that a stored stream would have answered is a would-be hit."""
    app = Script(*stream(*CHUNKS))
    middleware = mount(app, mode="observe")
    await call(middleware, ASK_STREAM)
    app.steps = answer(ANSWER)

    assert b"coo; fwd=bypass; detail=would-hit" == status_of(await again(middleware, ask()))


async def test_observing_outlives_a_restart() -> None:
    """What another process has seen is known here, for it lies in the store."""
    store = MemoryStore()
    await again(first := mount(Script(*answer(ANSWER)), store, mode="observe"), ask())
    await first.drain()

    assert b"coo; fwd=bypass; detail=would-hit" == status_of(
        await call(mount(Script(*answer(ANSWER)), store, mode="observe"), ask())
    )


async def test_who_wants_only_a_stored_response_gets_none_while_observing() -> None:
    """Nothing is served, so only-if-cached is refused."""
    middleware = mount(Script(*answer(ANSWER)), mode="observe")
    await call(middleware, ask())

    scope = make_scope(headers=(JSON_FIELD, KEY, (b"cache-control", b"only-if-cached")))
    assert 504 == (await again(middleware, ask(), scope)).status


async def test_a_stream_is_observed_like_a_body() -> None:
    """A streamed answer goes by unchanged and counts as a would-be hit."""
    middleware = mount(Script(*stream(*CHUNKS)), mode="observe")

    first, second = await twice(middleware, ASK_STREAM)

    assert b"".join(CHUNKS) == first.body == second.body
    assert 11.0 == await total(middleware, "tokens_would_save")


@pytest.mark.parametrize(
    ("second", "kind", "differs"),
    [(ANSWER, "equal", 0.0), (ANSWER.replace(b"c1", b"c2"), "volatile", 0.0), (OTHER, "text", 1.0)],
)
async def test_a_shadow_compares(second: bytes, kind: str, differs: float) -> None:
    """A hit that is asked for again gets the fresh answer, and how that differs is counted."""
    app = Script(*answer(ANSWER))
    middleware = mount(app, mode="shadow", shadow_share=1.0)
    await call(middleware, ask())
    app.steps = answer(second)

    client = await again(middleware, ask())

    assert (second, b"coo; fwd=bypass; detail=would-hit") == (client.body, status_of(client))
    assert [1.0, differs] == [await total(middleware, name) for name in ("shadow_checks", "shadow_differs")]
    assert 1 == middleware.counts["shadow." + kind]


async def test_a_shadow_serves_the_rest() -> None:
    """Where the share does not fall on a hit it is one."""
    app = Script(*answer(ANSWER))
    middleware = mount(app, mode="shadow", shadow_share=0.0)

    _, second = await twice(middleware)

    assert (b"HIT", 1) == (second.fields[b"x-coo-cache"], len(app.received))


async def test_a_shadow_costs_no_answer() -> None:
    """Where the upstream fails, the response that was to be looked at answers after all."""
    app = Script(*answer(ANSWER))
    middleware = mount(app, mode="shadow", shadow_share=1.0)
    await call(middleware, ask())
    app.steps = answer(b"{}", status=500)

    client = await again(middleware, ask())

    assert (200, ANSWER) == (client.status, client.body)
    await middleware.drain()
    assert 0.0 == await total(middleware, "shadow_checks")


async def test_what_observing_renews_is_what_would_be_renewed() -> None:
    """A stale response that would have answered while a new one is fetched is stored anew, as it would be."""
    middleware = mount(Script(*answer(ANSWER)), mode="observe", ttl_seconds=1, stale_while_revalidate_seconds=60)
    for now in (1000.0, 1010.0, 1010.5):
        middleware._now = partial(float, now)
        await again(middleware, ask())
    await middleware.drain()

    assert 2 == middleware.counts["would_hits"]
    assert 1 == middleware.counts["unstored.would-hit"]
