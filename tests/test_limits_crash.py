"""Processes that are killed while they have reservations out: what they held is free again within their lease."""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

import pytest

from coo_middleware.core.limits import Settlement, Take, Takes
from coo_middleware.stores import RuntimeStore, open_store
from tests.processes import CONTEXT
from tests.proof import choose, report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

KILLS: Final = choose(2, 100)
CALLS: Final = 20
LEASE: Final = 0.6
# What a busy machine adds between a lease's end and our seeing it.
PATIENCE: Final = 5.0
KINDS: Final = ["redis", "sqlite"]

Settings = dict[str, object]


def takes(name: str, tokens: float) -> Takes:
    """One call: of the calls at the same time, of the requests of an hour, and of its tokens."""
    return (
        Take(f"{name}-concurrency", CALLS, 0, 1),
        Take(f"{name}-requests", CALLS, 3600, 1),
        Take(f"{name}-tokens", 100 * CALLS, 3600, tokens),
    )


async def hold(settings: Mapping[str, object], name: str, tell: Connection) -> None:
    """Reserves all there is and renews it for ever, after some calls that ended as they should."""
    async with open_store(settings) as store:
        for number in range(CALLS):
            ticket, held = f"{name}-{number}-ended", takes(name, 100)
            await store.reserve(ticket, [held], LEASE)
            await store.settle([settle_nothing(ticket, held)])
        tickets = [f"{name}-{number}" for number in range(CALLS)]
        admissions = [await store.reserve(ticket, [takes(name, 100)], LEASE) for ticket in tickets]
        assert all(each is not None and each.choice == 0 for each in admissions)
        tell.send(monotonic())
        while True:
            await store.renew([Settlement(ticket, takes(name, 100)) for ticket in tickets], LEASE)
            await asyncio.sleep(LEASE / 6)


def settle_nothing(ticket: str, held: Takes) -> Settlement:
    """Gives all of it back."""
    return Settlement(ticket, tuple(replace(take, amount=0) for take in held))


def run_holder(settings: Mapping[str, object], name: str, tell: Connection) -> None:
    asyncio.run(hold(settings, name, tell))


async def storm(settings: Mapping[str, object], name: str, seed: int) -> None:
    """Reserves and settles for ever, many at once."""
    dice = random.Random(seed)  # noqa: S311 -- no secret

    async def request(store: RuntimeStore) -> None:
        while True:
            ticket, held = secrets.token_hex(8), takes(name, dice.randrange(100))
            admission = await store.reserve(ticket, [held], LEASE)
            assert admission is not None
            await asyncio.sleep(dice.uniform(0, 0.01))
            if admission.choice == 0:
                await store.settle([settle_nothing(ticket, held)])

    async with open_store(settings) as store:
        await asyncio.gather(*(request(store) for _ in range(5)))


def run_storm(settings: Mapping[str, object], name: str, seed: int) -> None:
    asyncio.run(storm(settings, name, seed))


@pytest.fixture
def runtime(redis_url: str, tmp_path: Path) -> Callable[[str], Settings]:
    def make(kind: str) -> Settings:
        if kind == "redis":
            return {"type": kind, "addr": redis_url, "key_prefix": f"{secrets.token_hex(8)}:", "timeout_seconds": 30}
        return {"type": kind, "path": str(tmp_path / "limits.db")}

    return make


async def look(store: RuntimeStore, name: str) -> list[float]:
    """What counts of each limit, without taking anything."""
    nothing = tuple(replace(take, amount=0) for take in takes(name, 0))
    admission = await store.reserve(secrets.token_hex(8), [nothing], LEASE)
    assert admission is not None
    return [level.used for level in admission.levels[0]]


async def wait_until_free(store: RuntimeStore, name: str, seconds: float) -> float:
    """The moment when the last of what was held is free again."""
    async with asyncio.timeout(seconds):
        while any(await look(store, name)):  # noqa: ASYNC110 -- a store tells of nothing
            await asyncio.sleep(0.005)
    return monotonic()


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_killed_process_held_is_free_within_its_lease(
    kind: str, runtime: Callable[[str], Settings]
) -> None:
    """While the process lives nobody else gets anything, longer than a lease lasts; after kill -9 all of it, calls at
    the same time, requests and tokens, is free again within the lease, and nothing counts twice or below 0.
    """
    settings, dice, slowest = runtime(kind), random.Random(9), 0.0  # noqa: S311 -- no secret
    async with open_store(settings) as store:
        for number in range(KILLS):
            name = f"kill-{number}"
            receiver, sender = CONTEXT.Pipe(duplex=False)
            process = CONTEXT.Process(target=run_holder, args=(settings, name, sender))
            process.start()
            assert await asyncio.to_thread(receiver.poll, 30)
            await asyncio.sleep(dice.uniform(0, 2) * LEASE)
            assert [CALLS, CALLS, 100 * CALLS] == await look(store, name)
            refused = await store.reserve(f"{name}-other", [takes(name, 1)], LEASE)
            assert refused is not None
            assert -1 == refused.choice
            process.kill()
            died = monotonic()
            process.join()
            slowest = max(slowest, await wait_until_free(store, name, LEASE + PATIENCE) - died)
            assert [0, 0, 0] == await look(store, name)
    report(f"{kind}: {KILLS} kills with {CALLS} calls out, lease {LEASE} s: free again after {slowest:.2f} s at most")

    # Within the lease, as well as a look every few milliseconds can tell.
    assert slowest < LEASE + choose(10, 1) / 10


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
async def test_kills_in_a_storm_leave_nothing_stuck(kind: str, runtime: Callable[[str], Settings]) -> None:
    """Processes that reserve and settle as fast as they can are killed at any moment, and others go on: no counter is
    below 0 or over its limit, and when all are dead and their leases over, no call is counted as running.
    """
    settings, dice, looks = runtime(kind), random.Random(10), 0  # noqa: S311 -- no secret
    async with open_store(settings) as store:
        storms = []
        for number in range(KILLS + 2):
            storms.append(CONTEXT.Process(target=run_storm, args=(settings, "storm", number)))
            storms[-1].start()
            ends = monotonic() + dice.uniform(0.1, 0.6)
            while monotonic() < ends:
                looks += 1
                levels = await look(store, "storm")
                assert all(0 <= level <= most for level, most in zip(levels, (CALLS, CALLS, 100 * CALLS), strict=True))
                await asyncio.sleep(0.01)
            if number >= 2:
                storms[number - 2].kill()
        for process in storms:
            process.kill()
            process.join()
        await asyncio.sleep(LEASE)
        left = await look(store, "storm")
    report(f"{kind}: {KILLS + 2} processes killed in a storm, {looks:,} looks: none below 0, in the end {left} left")

    assert [0, 0, 0] == left
