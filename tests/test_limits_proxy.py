"""Limits through the whole middleware: what a hit and a refusal take of them, and how far calls at once get."""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware
from tests.asgi import JSON_FIELD, Client, answer, ask, call, make_scope, read_all
from tests.proof import choose, report

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

CALLERS = choose(5, 100)


class Upstream:
    """An app that answers a little later, with tokens as it likes."""

    def __init__(self, output_tokens: tuple[int, int] = (2, 2), seconds: float = 0.0) -> None:
        self.dice = random.Random(8)  # noqa: S311 -- no secret
        self.output_tokens, self.seconds = output_tokens, seconds
        self.used: dict[str, list[int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        caller = dict(scope["headers"])[b"authorization"].decode()
        output = self.dice.randint(*self.output_tokens)
        self.used.setdefault(caller, []).append(9 + output)
        await asyncio.sleep(self.dice.uniform(0.5, 1) * self.seconds)
        for message in answer(make_answer(9, output)):
            await send(message)


def make_answer(input_tokens: int, output_tokens: int) -> bytes:
    usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    message = {"role": "assistant", "content": "Hello"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    whole = {"id": "c1", "object": "chat.completion", "model": "gpt-5-mini", "choices": choices}
    return json.dumps(whole | {"usage": usage | {"total_tokens": input_tokens + output_tokens}}).encode()


def limit(app: Upstream, *rules: dict[str, object]) -> COOMiddleware:
    """The middleware with these limits of an hour."""
    limits = {"rules": [{"window_seconds": 3600, **rule} for rule in rules]}
    return COOMiddleware(app, config={"policy": {"cache": {"ttl_seconds": 600}, "limits": limits}})


async def request(middleware: COOMiddleware, prompt: str, caller: str = "sk-canary-1", **members: object) -> Client:
    """One request, when all earlier ones are settled."""
    await middleware.drain()
    scope = make_scope(headers=(JSON_FIELD, (b"authorization", f"Bearer {caller}".encode())))
    return await call(middleware, ask(prompt, **members), scope)


def left(client: Client, rule: str) -> int:
    """What an answer says is left of a limit."""
    found = re.search(rf'"{rule}[^"]*";r=(\d+)', client.fields[b"ratelimit"].decode())
    assert found is not None
    return int(found[1])


async def test_a_hit_takes_nothing() -> None:
    """Answers from the cache take nothing of a limit, and are given when it is used up; another call is refused."""
    middleware = limit(Upstream(), {"name": "callers", "per": ["caller"], "requests": 2})
    first = await request(middleware, "a")
    hits = [await request(middleware, "a") for _ in range(10)]
    second = await request(middleware, "b")
    third = await request(middleware, "c")
    again = await request(middleware, "a")

    assert [1, *[1] * 10, 0] == [left(each, "callers") for each in (first, *hits, second)]
    assert {b"HIT"} == {each.fields[b"x-coo-cache"] for each in (*hits, again)}
    assert [200, 200, 429, 200] == [first.status, second.status, third.status, again.status]
    assert 0 < int(third.fields[b"retry-after"]) <= 3600 * 257 / 256 + 1
    assert "error" in json.loads(third.body)


async def test_calls_that_are_shared_take_once() -> None:
    """Of equal requests at once, which share one call, one takes of the limit."""
    upstream = Upstream(seconds=0.05)
    middleware = limit(upstream, {"name": "callers", "per": ["caller"], "requests": 2})
    clients = await asyncio.gather(*(call(middleware, ask("a")) for _ in range(20)))

    assert {200} == {each.status for each in clients}
    assert 1 == sum(map(len, upstream.used.values()))
    assert 0 == left(await request(middleware, "b"), "callers")


async def test_a_limit_that_refuses_takes_nothing_of_the_others() -> None:
    """A call that one limit refuses leaves the others as they were."""
    rules = {"name": "wide", "requests": 100}, {"name": "narrow", "per": ["model"], "requests": 1}
    middleware = limit(Upstream(), *rules)
    first = await request(middleware, "a")
    refused = [await request(middleware, str(number)) for number in range(20)]
    other = await request(middleware, "a", model="gpt-5-nano")

    assert {429} == {each.status for each in refused}
    assert [99, 98] == [left(first, "wide"), left(other, "wide")]


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [5, 50])
async def test_calls_at_once_stay_below_a_limit_of_tokens(count: int) -> None:
    """Callers with 100 tokens each, who ask 5 and 50 times at once: nobody gets more than the limit and what the last
    reservation erred by, and nobody is left with much of it.
    """
    upstream = Upstream((4, 12), 0.02)
    middleware = limit(upstream, {"name": "callers", "per": ["caller"], "tokens": 100})
    for number in range(20):
        await request(middleware, f"prompt {number:023}", f"sk-teacher-{number}")
    upstream.used.clear()
    for number in range(CALLERS):
        caller = f"sk-caller-{number}"
        for turn in range(6):
            prompts = [f"prompt {number:09}{turn:07}{each:07}" for each in range(count)]
            headers = (JSON_FIELD, (b"authorization", f"Bearer {caller}".encode()))
            await asyncio.gather(*(call(middleware, ask(each), make_scope(headers=headers)) for each in prompts))
            await middleware.drain()
    sums = [sum(tokens) for tokens in upstream.used.values()]
    report(
        f"middleware, 100 tokens for each of {CALLERS} callers, {count} at once: {min(sums)} to {max(sums)} used, "
        f"{sum(each > 100 for each in sums)} over"
    )

    # A call takes 13 to 21, so that an estimate errs by 8 at most.
    assert CALLERS == len(sums)
    assert max(sums) <= 100 + 8
    assert min(sums) >= 60
