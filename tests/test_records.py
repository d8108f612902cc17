"""What `on_record` is told of each request: who, what, how it ended, under names that are bounded."""

from collections.abc import Mapping

import pytest

from coo_middleware import COOMiddleware, Record, Usage
from coo_middleware.core.format import Route
from coo_middleware.formats import FORMATS
from tests.asgi import ANSWER, Script, again, answer, ask, call, make_scope, stream, total

ROUTES = [
    {"path": "/tgi/*", "format": "tgi"},
    {"path": "*/llm/*", "provider": "acme"},
    {"model": "our-*", "provider": "local"},
]


def observe(records: list[Record], policy: Mapping[str, object] | None = None) -> COOMiddleware:
    return COOMiddleware(Script(*answer(ANSWER)), {"policy": dict(policy or {})}, on_record=records.append)


async def test_every_request_is_told_once() -> None:
    """A miss and a hit are a record each, with the same provider, key, model and usage."""
    records: list[Record] = []
    middleware = observe(records)
    await call(middleware)
    await again(middleware)

    assert ["miss", "hit"] == [record.cache_status for record in records]
    assert 1 == len({(record.provider, record.key_id, record.model, record.usage) for record in records})
    assert Usage(9, 2) == records[0].usage


@pytest.mark.parametrize(
    ("path", "model", "expected"),
    [
        ("/v1/chat/completions", "gpt-4o", ("openai", "gpt-4o")),
        ("/v1/chat/completions", "groq:llama-3", ("groq", "llama-3")),
        ("/v1/chat/completions", "mistral/large", ("mistral_ai", "large")),
        ("/v1/chat/completions", "meta-llama/Llama-3", ("openai", "meta-llama/Llama-3")),
        ("/v1/chat/completions", "our-model", ("local", "our-model")),
        ("/llm/v1/chat/completions", "gpt-4o", ("acme", "gpt-4o")),
        ("/openai/deployments/mine/chat/completions", "gpt-4o", ("azure.ai.openai", "mine")),
    ],
)
async def test_a_request_is_named_by_rule_name_or_path(path: str, model: str, expected: tuple[str, str]) -> None:
    """The operator's rules count first, then a known provider before the model, then the path's own."""
    records: list[Record] = []
    await call(observe(records, {"routes": ROUTES}), ask(model=model), make_scope(path))

    assert [expected] == [(record.provider, record.model) for record in records]


async def test_a_rule_gives_a_path_its_format() -> None:
    """A path that nobody could know speaks what the operator says."""
    records: list[Record] = []
    await call(observe(records, {"routes": ROUTES}), b'{"inputs":"hi"}', make_scope("/tgi/invocations"))

    assert ["text_completion"] == [record.operation for record in records]


async def test_models_beyond_the_bound_are_others() -> None:
    """Callers choose models, so their number is bounded; those that were known stay known."""
    records: list[Record] = []
    middleware = observe(records, {"metrics": {"max_models": 2}})
    for model in ("a", "b", "c", "a", "d"):
        await call(middleware, ask(model=model), make_scope())

    assert ["a", "b", "other", "a", "other"] == [record.model for record in records]


async def test_an_observer_that_fails_costs_nothing() -> None:
    """What the observer raises is counted and goes no further."""

    def fail(_: Record) -> None:
        raise LookupError

    middleware = COOMiddleware(Script(*answer(ANSWER)), on_record=fail)
    client = await call(middleware)

    assert (ANSWER, 1) == (client.body, await total(middleware, "req"))
    assert 1 == middleware.counts["observer_errors"]


ENDLESS = [b'{"id":1}'] * 3


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/files", b"upload"),
        ("/v1/uploads", b"upload"),
        ("/v1/batches", b"batch"),
        ("/v1/messages/batches", b"batch"),
        ("/v1/realtime/sessions", b"realtime"),
        ("/v1/threads/t1/runs", b"stateful"),
        ("/v1/containers", b"container"),
        ("/v1/audio/transcriptions", b"audio"),
    ],
)
async def test_what_is_never_cached_says_why_and_is_not_read(path: str, detail: bytes) -> None:
    """Uploads, jobs and sessions pass as they come, are counted, and say why they are not cached."""
    records: list[Record] = []
    app = Script(*stream(*ENDLESS))
    client = await call(COOMiddleware(app, on_record=records.append), b"--x", make_scope(path))

    assert b"coo; fwd=bypass; detail=" + detail == client.fields[b"cache-status"]
    assert (b"".join(ENDLESS), [b"--x"]) == (client.body, app.received)
    assert ["bypass"] == [record.cache_status for record in records]


async def test_a_form_bypasses_as_one() -> None:
    """A form with files in it, sent to any path, bypasses as multipart."""
    form = (b"content-type", b"multipart/form-data; boundary=x")
    client = await call(COOMiddleware(Script(*answer(ANSWER))), b"--x", make_scope(headers=(form,)))

    assert b"coo; fwd=bypass; detail=multipart" == client.fields[b"cache-status"]


@pytest.mark.parametrize("fmt", [fmt for fmt in FORMATS if all(end.bypass for end in fmt.endpoints)])
def test_a_format_that_is_never_cached_says_so_itself(fmt: object) -> None:
    """Also on a path that only the operator's rule knows, nothing of it is cached."""
    assert any(fmt is each and Route(each, "").format.bypass({}) for each in FORMATS)
