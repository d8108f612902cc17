"""One entry, both shapes, through the mounted middleware."""

import json

import pytest

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, CHUNKS, Client, Script, again, answer, ask, call, stream, total

USAGE = {"include_usage": True}
NOT_CROSSED = {"policy": {"cache": {"cross_shape": False}}}
UNASKED = {"policy": {"metrics": {"include_usage": False}}}
SILENT = b"".join((*CHUNKS[:3], CHUNKS[4]))


def document(client: Client) -> dict[str, object]:
    read: dict[str, object] = json.loads(client.body)
    return read


async def test_a_stored_stream_answers_a_request_for_a_body() -> None:
    """The body is JSON, says its length and its type, and tells the usage that was asked for in the client's name."""
    app = Script(*stream(*CHUNKS))
    middleware = COOMiddleware(app)
    await call(middleware, ask(stream=True))
    hit = await again(middleware, ask())

    assert (1, b"HIT", b"application/json") == (
        len(app.received),
        hit.fields[b"x-coo-cache"],
        hit.fields[b"content-type"],
    )
    assert b"%d" % len(hit.body) == hit.fields[b"content-length"]
    assert "chat.completion" == document(hit)["object"]
    assert isinstance(document(hit)["usage"], dict)


async def test_a_stored_body_answers_a_request_for_a_stream() -> None:
    """The stream is one of events, ends in `[DONE]`, and tells its usage to who asks for it only."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app)
    await call(middleware, ask())
    bare = await again(middleware, ask(stream=True))
    full = await again(middleware, ask(stream=True, stream_options=USAGE))

    assert (1, b"text/event-stream; charset=utf-8") == (len(app.received), bare.fields[b"content-type"])
    assert bare.body.endswith(b"data: [DONE]\n\n")
    assert full.body.endswith(b"data: [DONE]\n\n")
    assert (False, True) == (b'"usage"' in bare.body, b'"usage"' in full.body)
    assert b"content-length" not in bare.fields


async def test_usage_is_given_to_who_asks_for_it() -> None:
    """A stream that was asked for its usage by us answers both: to the byte what came, and what is left without it."""
    app = Script(*stream(*CHUNKS))
    middleware = COOMiddleware(app)
    first = await call(middleware, ask(stream=True))
    full = await again(middleware, ask(stream=True, stream_options=USAGE))
    bare = await again(middleware, ask(stream=True))

    assert 1 == len(app.received)
    assert (SILENT, b"".join(CHUNKS), SILENT) == (first.body, full.body, bare.body)


@pytest.mark.parametrize("asking", [ask(), ask(stream=True, stream_options=USAGE)])
async def test_a_stream_without_usage_answers_only_its_like(asking: bytes) -> None:
    """Whoever counts on usage gets a new answer, which then serves all."""
    app = Script(*stream(*CHUNKS[:3], CHUNKS[4]))
    middleware = COOMiddleware(app, UNASKED)
    await call(middleware, ask(stream=True))
    missed = await again(middleware, asking)
    again_bare = await again(middleware, ask(stream=True))

    assert (2, b"MISS") == (len(app.received), missed.fields[b"x-coo-cache"])
    assert b"HIT" == again_bare.fields[b"x-coo-cache"]


async def test_shapes_can_be_kept_apart() -> None:
    """Without `cross_shape` a stream and a body are two entries."""
    app = Script(*stream(*CHUNKS))
    middleware = COOMiddleware(app, NOT_CROSSED)
    await call(middleware, ask(stream=True))
    await again(middleware, ask())

    assert 2 == len(app.received)


async def test_a_crossed_hit_costs_the_provider_nothing() -> None:
    """A hit in the other shape counts as a hit, and its tokens as saved."""
    middleware = COOMiddleware(Script(*stream(*CHUNKS)))
    await call(middleware, ask(stream=True))
    await again(middleware, ask())

    assert (1, 1) == (await total(middleware, "req"), await total(middleware, "cache_hits"))
    assert await total(middleware, "tokens") == await total(middleware, "tokens_saved") > 0
