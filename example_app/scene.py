"""The demonstration's second scene: several keys of one provider, of which one is slow, one limited and one failing."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import httpx

from coo_middleware import Config, COOMiddleware
from coo_middleware.core.providers import KeyLimits, KeySettings, LLMProvider
from example_app.loopback import InFlight, loopback
from example_app.main import create_proxy
from example_app.upstream import Upstream

REQUESTS = 40
AT_ONCE = 5
MOST_LIMITED = 4
# How the built-in upstream answers goes by what a secret begins with.
KEYS = (
    KeySettings("first", "demo-first"),
    KeySettings("second", "demo-second"),
    KeySettings("slow", "slow-100-demo"),
    KeySettings("limited", "demo-limited", KeyLimits(req_per_min=MOST_LIMITED)),
    KeySettings("failing", "fail-500-demo"),
)


@dataclass(frozen=True, slots=True)
class Share:
    """What came of a key: how often its provider was asked with it, and what the counters say."""

    asked: int
    counted: float
    errors: float


async def play(upstream: Upstream, address: str, config: Config) -> list[str]:
    """Sends requests through a proxy whose upstream listens at `address`, prints the shares of the keys, and returns
    what is not as it must be.
    """
    async with AsyncExitStack() as stack:
        settings = _add_keys(config, address)
        coo = COOMiddleware(create_proxy({}, settings), settings)
        proxy = InFlight(coo)
        url = await stack.enter_async_context(loopback(proxy))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60, trust_env=False))
        statuses = await _ask(client)
        await proxy.settled()
        await coo.drain()
        shares = {key.id: await _find_share(coo, upstream, key) for key in KEYS}
    _report(shares, statuses)
    return list(find_faults(shares, statuses))


def find_faults(shares: Mapping[str, Share], statuses: list[int]) -> Iterator[str]:
    """Everything that is not as it must be, one line each."""
    if failed := sum(status != 200 for status in statuses):
        yield f"{failed} of {len(statuses)} requests failed, though other keys had room"
    for name, share in shares.items():
        if share.asked != share.counted:
            yield f"{name}: counted {share.counted:.0f} requests instead of {share.asked}"
        if share.errors != (share.asked if name == "failing" else 0):
            yield f"{name}: counted {share.errors:.0f} errors of {share.asked} requests"
    for name, most in (("failing", AT_ONCE), ("limited", MOST_LIMITED)):
        if shares[name].asked > most:
            yield f"{name}: asked {shares[name].asked} times, and may be at most {most}"


def _add_keys(config: Config, address: str) -> Config:
    provider = LLMProvider("openai", "openai", f"{address}/v1", keys=KEYS)
    # Longer than the scene lasts on a busy machine: the failing key is not tried again.
    policy = replace(config.policy, cooldown_seconds=120.0)
    return replace(config, policy=policy, llm_providers=(provider,))


async def _ask(client: httpx.AsyncClient) -> list[int]:
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(number: int) -> int:
        question = {"role": "user", "content": f"Question {number}"}
        async with room:
            answer = await client.post("/v1/chat/completions", json={"model": "demo", "messages": [question]})
        return answer.status_code

    return await asyncio.gather(*map(ask, range(REQUESTS)))


async def _find_share(coo: COOMiddleware, upstream: Upstream, key: KeySettings) -> Share:
    counted, errors = [await coo.store.get_usage("openai", key.id, metric) for metric in ("req", "errors")]
    return Share(upstream.keys[key.secret], counted, errors)


def _report(shares: Mapping[str, Share], statuses: list[int]) -> None:
    print(f"\n{'key':<10} {'calls':>6} {'share':>6} {'errors':>7}")
    calls = sum(share.asked for share in shares.values())
    for name, share in shares.items():
        print(f"{name:<10} {share.asked:>6} {share.asked / calls:>6.0%} {share.errors:>7.0f}")
    print(f"\n{len(statuses)} requests, {AT_ONCE} at a time: {statuses.count(200)} answered, {calls} calls.\n")
