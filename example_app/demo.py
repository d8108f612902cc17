"""Two real SDKs, a proxy with the middleware, and an upstream: `python -m example_app.demo [--serve]`.

Everything listens on free loopback ports; no key and no network is needed. The exit status is 1 when an answer, a
cache status or a counter is not what it must be.
"""

import argparse
import asyncio
import inspect
import os
import sys
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import anthropic
import openai

from coo_middleware import Config, COOMiddleware
from example_app import scene
from example_app.dialects.answer import Document, answer
from example_app.loopback import HOST, InFlight, loopback
from example_app.main import create_proxy, read_config
from example_app.upstream import Upstream

SECONDS_PER_EVENT = 0.01
KEY_IDS = {"openai": "openai-1", "anthropic": "anthropic-1"}
METRICS = ("req", "tokens", "errors", "cache_hits", "tokens_saved")

QUESTION = "Why does a proxy keep the answers of a language model for a while?"
MESSAGES: Document = {"model": "demo", "messages": [{"role": "user", "content": QUESTION}]}
PADDED: Document = {"model": "demo", "messages": [{"role": "user", "content": f"  {QUESTION}\r\n"}]}
STREAMED: Document = {"stream": True}
NO_STORE: Document = {"extra_headers": {"Cache-Control": "no-store"}}


class Raw(Protocol):
    """What both SDKs return from `with_raw_response`."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def status_code(self) -> int: ...

    def parse(self) -> object: ...


Create = Callable[..., Awaitable[Raw]]


@dataclass(frozen=True, slots=True)
class Step:
    """One call and what must come of it; a HIT must equal the answer of the step before it, unless it `crosses`: what
    was stored is a body, and a stream is asked for.
    """

    name: str
    provider: str
    create: Create
    arguments: Document
    cache: str
    status: int = 200
    generates: bool = True
    crosses: bool = False

    @property
    def tokens(self) -> int:
        """What the upstream counts for this call, 0 for one that fails."""
        if self.status != 200:
            return 0
        said = answer(self.arguments)
        return said.input_tokens + (said.output_tokens if self.generates else 0)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a step."""

    step: Step
    status: int
    cache: str
    milliseconds: float
    value: object
    counted: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Stage:
    """The proxy under demonstration, and the counters behind it."""

    coo: COOMiddleware
    proxy: InFlight
    upstream: Upstream

    async def counters(self, provider: str) -> dict[str, float]:
        """The provider's counters after everything so far has been recorded."""
        await self.proxy.settled()
        await self.coo.drain()
        return {metric: await self.coo.store.get_usage(provider, KEY_IDS[provider], metric) for metric in METRICS}

    async def play(self, step: Step) -> Row:
        """Makes the step's call and reads its answer to the end."""
        before = await self.counters(step.provider)
        begun = time.perf_counter()
        status, cache, value = await _call(step)
        milliseconds = (time.perf_counter() - begun) * 1000
        after = await self.counters(step.provider)
        counted = {metric: after[metric] - before[metric] for metric in METRICS}
        return Row(step, status, cache, milliseconds, value, counted)


def steps(clients: tuple[openai.AsyncOpenAI, openai.AsyncOpenAI, anthropic.AsyncAnthropic]) -> list[Step]:
    """The programme, for two OpenAI clients with different credentials and an Anthropic client."""
    mine, other, claude = clients
    chat, theirs = mine.chat.completions.with_raw_response.create, other.chat.completions.with_raw_response.create
    responses, embeddings = mine.responses.with_raw_response.create, mine.embeddings.with_raw_response.create
    messages, ask = claude.messages.with_raw_response.create, {**MESSAGES, "max_tokens": 200}
    question: Document = {"model": "demo", "input": QUESTION}
    return [
        Step("chat", "openai", chat, MESSAGES, "MISS"),
        Step("chat, again", "openai", chat, MESSAGES, "HIT"),
        Step("chat, other white space", "openai", chat, PADDED, "HIT"),
        Step("chat, another credential", "openai", theirs, MESSAGES, "MISS"),
        Step("chat, no-store", "openai", chat, MESSAGES | NO_STORE, "BYPASS"),
        Step("chat, as a stream", "openai", chat, MESSAGES | STREAMED, "HIT", crosses=True),
        Step("chat, as a stream again", "openai", chat, MESSAGES | STREAMED, "HIT"),
        Step("chat, upstream says 400", "openai", chat, {**MESSAGES, "model": "fail-400"}, "MISS", 400),
        Step("responses, streamed", "openai", responses, question | STREAMED, "MISS"),
        Step("responses, streamed again", "openai", responses, question | STREAMED, "HIT"),
        Step("embeddings", "openai", embeddings, question, "MISS", generates=False),
        Step("embeddings, again", "openai", embeddings, question, "HIT", generates=False),
        Step("messages", "anthropic", messages, ask, "MISS"),
        Step("messages, again", "anthropic", messages, ask, "HIT"),
        Step("messages, as a stream", "anthropic", messages, ask | STREAMED, "HIT", crosses=True),
        Step("messages, as a stream again", "anthropic", messages, ask | STREAMED, "HIT"),
    ]


def faults(rows: list[Row], totals: Mapping[str, Mapping[str, float]], calls: int) -> Iterator[str]:
    """Everything that is not as it must be, one line each."""
    for before, row in zip([rows[0], *rows], rows, strict=False):
        step = row.step
        if (row.status, row.cache) != (step.status, step.cache):
            yield f"{step.name}: {row.status} {row.cache} instead of {step.status} {step.cache}"
        if step.cache == "HIT" and not step.crosses and row.value != before.value:
            yield f"{step.name}: the answer differs from the one before it"
        if row.counted != (expected := _counts([step])):
            yield f"{step.name}: counted {dict(row.counted)} instead of {expected}"
    for provider, counted in totals.items():
        expected = _counts([row.step for row in rows if row.step.provider == provider])
        if counted != expected:
            yield f"{provider}: counted {dict(counted)} instead of {expected}"
    if calls != (forwarded := sum(row.step.cache != "HIT" for row in rows)):
        yield f"the upstream was called {calls} times instead of {forwarded}"


def report(rows: list[Row], totals: Mapping[str, Mapping[str, float]], calls: int) -> None:
    """Prints the calls, then the counters."""
    print(f"{'provider':<10} {'request':<26} {'status':>6} {'cache':<6} {'latency':>10} {'tokens':>7} {'saved':>6}")
    for row in rows:
        told = f"{row.step.provider:<10} {row.step.name:<26} {row.status:>6} {row.cache:<6} {row.milliseconds:>7.1f} ms"
        print(told, f"{row.counted['tokens']:>7.0f} {row.counted['tokens_saved']:>6.0f}")
    print(f"\n{'counters':<24}" + "".join(f"{metric:>14}" for metric in METRICS))
    for provider, counted in totals.items():
        print(
            f"{provider + ' / ' + KEY_IDS[provider]:<24}" + "".join(f"{counted[metric]:>14.0f}" for metric in METRICS)
        )
    print(f"\n{len(rows)} requests, {calls} calls of the upstream.")


async def demonstrate(*, keep_serving: bool) -> int:
    """Runs the programme and reports; the process's exit status."""
    async with AsyncExitStack() as stack:
        upstream = Upstream(lambda: asyncio.sleep(SECONDS_PER_EVENT))
        address = await stack.enter_async_context(loopback(upstream))
        config = _config(stack.enter_context(TemporaryDirectory()), address)
        coo = COOMiddleware(create_proxy({}, config), config)
        stage = Stage(coo, InFlight(coo), upstream)
        url = await stack.enter_async_context(loopback(stage.proxy))
        clients = (_openai(url, "caller-1"), _openai(url, "caller-2"), _anthropic(url, "caller-1"))
        for client in clients:
            await stack.enter_async_context(client)
        rows = [await stage.play(step) for step in steps(clients)]
        totals = {provider: await stage.counters(provider) for provider in KEY_IDS}
        report(rows, totals, upstream.calls)
        found = list(faults(rows, totals, upstream.calls)) + await scene.play(upstream, address, config)
        print(
            "\n".join(f"FAULT: {fault}" for fault in found)
            or "Every answer, cache status and counter is as it must be."
        )
        if keep_serving:
            await _serve(url)
        return 1 if found else 0


def _config(folder: str, upstream: str) -> Config:
    """The example's configuration with a store of its own: every demonstration begins without a stored response."""
    config = read_config(_environ(upstream))
    # It must end well on a machine that is busy with other things, too.
    runtime = replace(
        config.storage.runtime,
        path=str(Path(folder, "coo.db")),
        read_deadline_seconds=10.0,
        write_deadline_seconds=10.0,
    )
    return replace(config, storage=replace(config.storage, runtime=runtime))


async def _call(step: Step) -> tuple[int, str, object]:
    try:
        raw = await step.create(**step.arguments)
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return error.status_code, error.response.headers["x-coo-cache"], type(error)
    parsed = raw.parse()
    if inspect.isawaitable(parsed):  # The Anthropic SDK parses asynchronously, the OpenAI SDK does not.
        parsed = await parsed
    value = [event async for event in parsed] if isinstance(parsed, AsyncIterable) else parsed
    return raw.status_code, raw.headers["x-coo-cache"], value


def _counts(done: list[Step]) -> dict[str, float]:
    """What these steps must add to the counters of their provider."""
    hits, forwarded = ([step for step in done if (step.cache == "HIT") == hit] for hit in (True, False))
    return {
        "req": len(forwarded),
        "tokens": sum(step.tokens for step in forwarded),
        "errors": sum(step.status >= 400 for step in forwarded),
        "cache_hits": len(hits),
        "tokens_saved": sum(step.tokens for step in hits),
    }


def _environ(upstream: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{upstream}/v1",
        "OPENAI_API_KEY": "the proxy's key",
        "ANTHROPIC_BASE_URL": upstream,
        "ANTHROPIC_API_KEY": "the proxy's key",
    }


def _openai(url: str, credential: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=credential, max_retries=0)


def _anthropic(url: str, credential: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key=credential, max_retries=0)


async def _serve(url: str) -> None:
    print(f"\nThe proxy listens at {url} until it is interrupted. Twice the same, for a miss and a hit:\n")
    print(f"  curl -i {url}/v1/chat/completions -H 'Content-Type: application/json' \\")
    print("""    -d '{"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}'""", flush=True)
    await asyncio.Event().wait()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m example_app.demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="keep the proxy running afterwards")
    keep_serving: bool = parser.parse_args().serve
    # An HTTP proxy of the environment cannot reach our loopback addresses.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = HOST
    try:
        return asyncio.run(demonstrate(keep_serving=keep_serving))
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
