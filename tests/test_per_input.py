"""portions.py: requests with several inputs, whole through the middleware."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware, StoreError
from tests.asgi import JSON_FIELD, KEY, call, make_scope, total
from tests.batches import DIALECTS, Upstream, listed, post

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json

NAMES = sorted(DIALECTS)
INPUTS = ("input", "texts", "requests", "instances", "documents")


def mount(name: str, **cache: object) -> tuple[COOMiddleware, Upstream]:
    """A middleware before an upstream of a dialect."""
    upstream = Upstream(DIALECTS[name])
    return COOMiddleware(upstream, {"policy": {"cache": {"ttl_seconds": 60, **cache}}}), upstream


async def ask(middleware: COOMiddleware, upstream: Upstream, texts: list[str]) -> tuple[Json, bytes, bytes]:
    """What a request for these inputs is answered, and what is said of the cache."""
    dialect = upstream.dialect
    client = await post(middleware, dialect.path, dialect.ask(texts))
    assert client.fields.get(b"content-length") == b"%d" % len(client.body)
    return json.loads(client.body), client.fields[b"cache-status"], client.fields[b"x-coo-cache"]


def counts(upstream: Upstream) -> list[int]:
    """How many inputs each request that the upstream got had."""
    return [len(listed(document, *INPUTS)) for document in upstream.asked]


def truth(upstream: Upstream, texts: list[str]) -> Json:
    """What the upstream says to the whole."""
    return upstream.dialect.answer(upstream.dialect.ask(texts))


@pytest.mark.parametrize("name", NAMES)
async def test_only_the_missing_inputs_are_asked_for(name: str) -> None:
    """A batch asks for what no earlier one brought, and its answer is the upstream's to the whole."""
    middleware, upstream = mount(name)

    first = await ask(middleware, upstream, ["a", "bb", "ccc"])
    second = await ask(middleware, upstream, ["x", "bb", "yy", "a"])
    third = await ask(middleware, upstream, ["yy", "ccc", "a"])

    assert [3, 2] == counts(upstream)
    assert [truth(upstream, ["a", "bb", "ccc"]), b"coo; fwd=miss; stored", b"MISS"] == [*first]
    assert [truth(upstream, ["x", "bb", "yy", "a"]), b"coo; fwd=partial; stored", b"PARTIAL"] == [*second]
    assert truth(upstream, ["yy", "ccc", "a"]) == third[0]
    assert (b"coo; hit; ttl=", b"HIT") == (third[1][:14], third[2])
    assert [b"%d" % len(json.dumps(upstream.asked[1], separators=(",", ":"), ensure_ascii=False))] == upstream.lengths[
        1:
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_equal_inputs_are_asked_once(name: str) -> None:
    """A request that names an input twice asks for it once, and gets it in both places, counted twice."""
    middleware, upstream = mount(name)

    answer, status, _ = await ask(middleware, upstream, ["a", "bb", "a"])

    assert [2] == counts(upstream)
    assert (truth(upstream, ["a", "bb", "a"]), b"coo; fwd=miss; stored") == (answer, status)


async def test_without_it_a_batch_is_one_response() -> None:
    """With `per_input` off two batches that share an input ask for it twice: the tests above can fail."""
    middleware, upstream = mount("openai", per_input=False)

    await ask(middleware, upstream, ["a", "bb"])
    answer, status, _ = await ask(middleware, upstream, ["a", "ccc"])

    assert [2, 2] == counts(upstream)
    assert (truth(upstream, ["a", "ccc"]), b"coo; fwd=miss; stored") == (answer, status)


@pytest.mark.parametrize("alone", ["bb", ["bb"]], ids=["text", "list"])
async def test_a_request_for_one_input_and_a_batch_share_an_entry(alone: Json) -> None:
    """What a batch brought answers a request for one of its inputs, and the other way round."""
    middleware, upstream = mount("openai")
    single: Document = {"model": "m", "input": alone}
    other: Document = {"model": "m", "input": "zz"}

    await ask(middleware, upstream, ["a", "bb"])
    client = await post(middleware, "/v1/embeddings", single)
    await post(middleware, "/v1/embeddings", other)
    answer, *_ = await ask(middleware, upstream, ["zz", "a"])

    assert [2, 1] == counts(upstream)
    assert upstream.dialect.answer(single) == json.loads(client.body)
    assert truth(upstream, ["zz", "a"]) == answer


async def test_a_provider_is_counted_for_what_it_was_asked() -> None:
    """Requests and tokens are those of the rest; what was stored counts as saved."""
    middleware, upstream = mount("openai")

    await ask(middleware, upstream, ["a", "bb"])
    await ask(middleware, upstream, ["a", "bb", "cccc", "bb"])

    assert (2.0, 7.0, 5.0) == (
        await total(middleware, "req"),
        await total(middleware, "input_tokens"),
        await total(middleware, "tokens_saved"),
    )
    assert 1 == middleware.counts["partial_hits"]


async def test_a_failure_is_passed_on_and_nothing_is_stored() -> None:
    """The upstream's error for the rest reaches the client as it is, and the next request asks for the same rest."""
    middleware, upstream = mount("openai")
    await ask(middleware, upstream, ["a", "bb"])
    upstream.status = 429
    client = await post(middleware, "/v1/embeddings", upstream.dialect.ask(["a", "ccc"]))
    upstream.status = 200
    answer, *_ = await ask(middleware, upstream, ["a", "ccc"])

    assert (429, {"error": {"message": "busy"}}) == (client.status, json.loads(client.body))
    assert [2, 1, 1] == counts(upstream)
    assert truth(upstream, ["a", "ccc"]) == answer
    assert 1.0 == await total(middleware, "tokens_saved")


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: {**answer, "data": answer["data"] * 2},
        lambda answer: {**answer, "data": [{**item, "index": 7} for item in answer["data"]]},
        lambda answer: {**answer, "model": "m-2"},
        lambda _: [1],
    ],
    ids=["too-many", "strange-index", "other-model", "no-object"],
)
async def test_an_answer_that_does_not_fit_makes_the_whole_be_asked_for(change: object) -> None:
    """A client never gets a vector that may be another input's: where the rest does not fit, all of it is asked for."""
    middleware, upstream = mount("openai")
    await ask(middleware, upstream, ["a", "bb"])

    def change_rest(answer: Json) -> Json:
        told: Json = change(answer) if len(upstream.asked) == 2 else answer  # type: ignore[operator]
        return told

    upstream.change = change_rest
    answer, status, _ = await ask(middleware, upstream, ["a", "ccc", "dddd"])

    assert [2, 2, 3] == counts(upstream)
    assert (truth(upstream, ["a", "ccc", "dddd"]), b"coo; fwd=miss; stored") == (answer, status)


async def test_what_must_not_be_stored_is_joined_all_the_same() -> None:
    """An answer to the rest that forbids its storing completes this one answer and no later one."""
    middleware, upstream = mount("openai")
    await ask(middleware, upstream, ["a", "bb"])
    upstream.headers.append((b"cache-control", b"no-store"))

    answers = [await ask(middleware, upstream, ["a", "ccc"]) for _ in range(2)]

    assert [(truth(upstream, ["a", "ccc"]), b"coo; fwd=partial", b"PARTIAL")] * 2 == answers
    assert [2, 1, 1] == counts(upstream)


async def test_requests_steer_batches() -> None:
    """`no-cache` asks for all of it, `only-if-cached` for none, and `no-store` leaves nothing behind."""
    middleware, upstream = mount("openai")
    body = json.dumps(upstream.dialect.ask(["a", "ccc"])).encode()
    await ask(middleware, upstream, ["a", "bb"])

    async def steered(word: bytes) -> int:
        await middleware.drain()
        scope = make_scope("/v1/embeddings", (JSON_FIELD, KEY, (b"cache-control", word)))
        return (await call(middleware, body, scope)).status

    assert [504, 200, 200, 200] == [
        await steered(b"only-if-cached"),
        await steered(b"no-store"),
        await steered(b"no-cache"),
        await steered(b"only-if-cached"),
    ]
    assert [2, 2, 2] == counts(upstream)


async def test_what_is_stale_is_asked_for_again() -> None:
    """An input whose entry is past its lifetime is one that is missing."""
    middleware, upstream = mount("openai")
    await ask(middleware, upstream, ["a", "bb"])
    await middleware.drain()
    began = middleware._now()
    middleware._now = lambda: began + 50
    await ask(middleware, upstream, ["ccc", "a"])
    await middleware.drain()
    middleware._now = lambda: began + 70
    answer, *_ = await ask(middleware, upstream, ["a", "bb", "ccc"])

    assert [2, 1, 2] == counts(upstream)
    assert truth(upstream, ["a", "bb", "ccc"]) == answer


async def test_a_failing_upstream_is_stood_in_for() -> None:
    """Where every input has an entry, a stale one too, they answer for an upstream that fails."""
    middleware, upstream = mount("openai", stale_if_error_seconds=100)
    await ask(middleware, upstream, ["a", "bb"])
    await middleware.drain()
    began = middleware._now()
    middleware._now = lambda: began + 70
    upstream.status = 503
    answer, status, mark = await ask(middleware, upstream, ["bb", "a"])

    assert truth(upstream, ["bb", "a"]) == answer
    assert (b"coo; fwd=stale; fwd-status=503; detail=stale-if-error", b"STALE") == (status, mark)


async def test_equal_rests_share_one_call() -> None:
    """Requests that have the same left to ask for share one upstream call, whatever else they ask for."""
    middleware, upstream = mount("openai")
    await ask(middleware, upstream, ["a", "bb"])
    await middleware.drain()
    wanted = [["a", "zz"], ["zz", "bb"], ["bb", "a", "zz"], ["zz", "zz"]]

    bodies = [json.dumps(upstream.dialect.ask(texts)).encode() for texts in wanted]
    scopes = [make_scope("/v1/embeddings", (JSON_FIELD, KEY)) for _ in wanted]
    clients = await asyncio.gather(*(call(middleware, *each) for each in zip(bodies, scopes, strict=True)))

    assert [2, 1] == counts(upstream)
    assert [truth(upstream, texts) for texts in wanted] == [json.loads(client.body) for client in clients]


async def test_an_answer_longer_than_an_entry_is_taken_apart() -> None:
    """The longest entry bounds what is said of one input; a batch of many may be longer, and is reused."""
    middleware, upstream = mount("openai", max_entry_bytes=1024)
    texts = [f"text {number}" for number in range(40)]

    answers = [(await ask(middleware, upstream, texts))[0] for _ in range(2)]

    assert [40] == counts(upstream)
    assert [truth(upstream, texts)] * 2 == answers


async def test_a_store_that_fails_is_a_miss() -> None:
    """Without its store a batch is forwarded as it came."""
    middleware, upstream = mount("openai")

    async def fail(key: str) -> bytes | None:
        raise StoreError(key[:1])

    middleware.store.get_cache = fail  # type: ignore[method-assign]
    answers = [await ask(middleware, upstream, ["a", "bb"]) for _ in range(2)]

    assert [2, 2] == counts(upstream)
    assert [truth(upstream, ["a", "bb"])] * 2 == [answer for answer, *_ in answers]
