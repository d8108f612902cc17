"""Tokens are estimated where a provider tells none, and every number says so."""

import pytest

from coo_middleware import COOMiddleware, Record, Usage
from tests.asgi import ANSWER, CHUNKS, USAGE, Script, again, answer, ask, call, make_scope, stream, total

ESTIMATING = {"policy": {"metrics": {"estimate_tokens": "o200k_base", "include_usage": False}}}
MUTE = ANSWER.replace(b"," + USAGE, b"")
MUTE_STREAM = (*CHUNKS[:3], CHUNKS[4])


async def test_an_answer_without_usage_is_estimated() -> None:
    """The tokens of the prompt and of the answer are counted and flagged, streamed or not."""
    for app in (Script(*answer(MUTE)), Script(*stream(*MUTE_STREAM))):
        records: list[Record] = []
        middleware = COOMiddleware(app, ESTIMATING, on_record=records.append)
        await call(middleware, ask("one two three", stream=len(app.steps) > 2))
        await middleware.drain()
        usage = records[0].usage

        assert usage is not None
        assert (True, 1) == (usage.estimated, usage.output_tokens)
        assert 3 <= (usage.input_tokens or 0) <= 12
        assert usage.tokens == await total(middleware, "estimated_tokens") == await total(middleware, "tokens")


async def test_told_usage_is_not_estimated() -> None:
    """What the provider tells is what counts."""
    middleware = COOMiddleware(Script(*answer(ANSWER)), ESTIMATING)
    await call(middleware)

    assert 0 == await total(middleware, "estimated_tokens") < await total(middleware, "tokens")


async def test_nothing_is_estimated_unasked() -> None:
    """By default a missing usage stays unknown."""
    records: list[Record] = []
    middleware = COOMiddleware(Script(*answer(MUTE)), on_record=records.append)
    await call(middleware)

    assert [None] == [record.usage for record in records]


async def test_a_hit_saves_estimated_tokens() -> None:
    """The estimate is stored with the answer, with its flag."""
    records: list[Record] = []
    middleware = COOMiddleware(Script(*answer(MUTE)), ESTIMATING, on_record=records.append)
    await call(middleware)
    await again(middleware)
    first, second = records

    assert first.usage == second.usage
    assert isinstance(second.usage, Usage)
    assert second.usage.estimated
    assert second.usage.tokens == await total(middleware, "tokens_saved")


async def test_an_estimate_is_not_passed_off_as_usage() -> None:
    """Whoever asks for a body gets a new one, for a stored stream without usage has none to give."""
    app = Script(*stream(*MUTE_STREAM))
    middleware = COOMiddleware(app, ESTIMATING)
    await call(middleware, ask(stream=True))
    await again(middleware, ask())

    assert 2 == len(app.received)


@pytest.mark.parametrize(("status", "path"), [(500, "/v1/chat/completions"), (200, "/v1/files")])
async def test_failures_and_endpoints_without_generation_are_not_estimated(status: int, path: str) -> None:
    """No token is invented for an error, nor for what is no generation."""
    records: list[Record] = []
    middleware = COOMiddleware(Script(*answer(MUTE, status=status)), ESTIMATING, on_record=records.append)
    await call(middleware, ask(), make_scope(path))
    await middleware.drain()

    assert [None] == [record.usage for record in records]


async def test_a_fault_in_the_estimate_costs_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer that fails leaves the request counted, and its fault too."""

    def fail(*_: object) -> None:
        raise LookupError

    middleware = COOMiddleware(Script(*answer(MUTE)), ESTIMATING)
    monkeypatch.setattr("coo_middleware.accounts.add_estimate", fail)
    await call(middleware)

    assert 1 == await total(middleware, "req")
    assert 1 == middleware.counts["internal_errors"]
