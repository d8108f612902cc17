"""stores/redis_limits.py: limits in every kind of Redis, as core/ledger.py keeps them, and what stays in the server."""

import asyncio
import math
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from coo_middleware.core.ledger import Ledger
from coo_middleware.core.limits import Settlement, Take
from coo_middleware.stores import StoreError
from coo_middleware.stores.redis import RedisStore
from coo_middleware.stores.redis_connect import Argument, RedisClient
from coo_middleware.testing import Clock
from tests.ledger_steps import STEPS, Comparison, Step
from tests.redis_server import HOST, MASTER, Server, start

NOW = 1_700_000_000.25
TOKENS = Take("tokens", 100, 60, 10)
CALL = Take("calls", 3, 0, 1)
ODD = ("a:b%", "{a}", "}b{", "openai/key 1", "*?[x]", "a\r\nb")

Make = Callable[[Clock | None], RedisStore]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture(params=["standalone", "limited", "sentinel", "cluster"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a store with a prefix of its own, on one server, as a user with few rights, and in the other modes."""

    def making(clock: Clock | None) -> RedisStore:
        prefix = f"test-{secrets.token_hex(8)}:"
        if request.param == "cluster":
            nodes: list[Server] = request.getfixturevalue("redis_cluster")
            addr = ",".join(node.addr for node in nodes)
            return RedisStore(addr=addr, mode="cluster", key_prefix=prefix, clock=clock, timeout_seconds=10)
        if request.param == "sentinel":
            sentinel, _ = request.getfixturevalue("redis_sentinel")
            return RedisStore(
                addr=sentinel.addr,
                mode="sentinel",
                master_name=MASTER,
                key_prefix=prefix,
                clock=clock,
                timeout_seconds=10,
            )
        server: Server = request.getfixturevalue("redis_server")
        user = "coo" if request.param == "limited" else ""
        if user:
            limit_user(server)
        return RedisStore(
            addr=server.addr, username=user, password=user, key_prefix=prefix, clock=clock, timeout_seconds=10
        )

    return making


def limit_user(server: Server) -> None:
    """Lets the user of docs/stores.md in, with the prefix of these tests."""
    page = (Path(__file__).parent.parent / "docs" / "stores.md").read_text()
    [line] = [line for line in page.splitlines() if line.startswith("ACL SETUSER coo ")]
    server.ask(*line.replace("~coo:*", "~test-*").replace(">secret", ">coo").split())


@pytest.fixture
async def store(redis_server: Server, clock: Clock) -> AsyncIterator[RedisStore]:
    """A store on one server, whose time stands still."""
    async with RedisStore(addr=redis_server.addr, key_prefix=f"{secrets.token_hex(8)}:", clock=clock) as store:
        yield store


def list_keys(server: Server, store: RedisStore) -> dict[str, int]:
    """What the store has written, and for how many milliseconds it lives."""
    with Redis(host=HOST, port=server.port) as client:
        keys = cast("list[bytes]", client.keys(f"{store._layout.prefix}*"))
        return {key.decode().removeprefix(store._layout.prefix): cast("int", client.pttl(key)) for key in sorted(keys)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_any_calls_are_answered_as_by_a_ledger(make: Make, steps: list[Step]) -> None:
    """After any reservations, settlements and renewals, with time passing between them, the answers are the same."""
    clock = Clock(NOW)
    async with make(clock) as store:
        await Comparison(store, clock).run(steps)


@pytest.mark.parametrize("seed", range(3))
async def test_fractions_add_up_as_in_a_ledger(store: RedisStore, clock: Clock, seed: int) -> None:
    """Costs, which no float holds exactly, are admitted alike and their sums agree, however often they are settled."""
    ledger, dice = Ledger(), random.Random(seed)  # noqa: S311 -- no secret
    out: list[Settlement] = []
    for number in range(400):
        clock.advance(dice.choice([0, 0.01, 0.2, 3]))
        choices = [
            (Take(name, 0.7, 60, dice.uniform(0, 0.02)), Take("all", 90, 86_400, 0.013))
            for name in dice.sample("ab", 2)
        ]
        expected = ledger.reserve(f"{number}", choices, 9, clock.now)
        found = await store.reserve(f"{number}", choices, 9)
        assert expected.choice == found.choice
        levels = [level.used for levels in expected.levels for level in levels]
        assert pytest.approx(levels, abs=1e-9) == [level.used for levels in found.levels for level in levels]
        if found.choice >= 0:
            out.append(Settlement(f"{number}", choices[found.choice]))
        if dice.random() < 0.7 and out:
            settled = out.pop(dice.randrange(len(out)))
            truth = tuple(Take(each.name, each.limit, each.window_seconds, each.amount / 3) for each in settled.takes)
            ledger.settle([Settlement(settled.ticket, truth)], clock.now)
            await store.settle([Settlement(settled.ticket, truth)])


async def test_what_was_given_back_is_given_back_whole(store: RedisStore) -> None:
    """Of fractions that were given back nothing is left over, neither of the sum nor of the time."""
    cost = Take("cost", 1, 60, 0.1)
    for number in range(7):
        await store.reserve(f"{number}", [(cost,)], 30)
    await store.settle([Settlement(f"{number}", (Take("cost", 1, 60, 0),)) for number in range(7)])
    found = await store.reserve("last", [(Take("cost", 1, 60, 0),)], 30)

    assert [(0, 0)] == [(level.used, level.reset_seconds) for level in found.levels[0]]


async def test_sum_survives_a_settlement_of_any_size(store: RedisStore, clock: Clock) -> None:
    """When the largest amount has left the window, the smallest still counts for what it is."""
    most = Take("cost", 1, 60, 1e15)
    await store.reserve("large", [(most,)], 600)
    await store.settle([Settlement("large", (most,))])
    clock.advance(30)
    await store.reserve("next", [(Take("cost", 1e15, 60, 0),)], 600)
    await store.settle([Settlement("next", (Take("cost", 1, 60, 0.015),))])
    clock.advance(30.5)
    found = await store.reserve("last", [(Take("cost", 1, 60, 0),)], 30)

    assert 0.015 == found.levels[0][0].used


async def test_many_at_once_are_never_over(make: Make) -> None:
    """Of fifty at the same moment, by the server's own clock, as many are let through as each limit has room for."""
    async with make(None) as store:
        choices = [(TOKENS, Take("cost", 1, 60, 0.25)), (Take("others", 30, 60, 10), CALL)]
        found = await asyncio.gather(*(store.reserve(f"{number}", choices, 30) for number in range(50)))
        after = await store.reserve("after", [()], 30)

    assert [4, 3, 43] == [[each.choice for each in found].count(choice) for choice in (0, 1, -1)]
    assert all(59.5 < each.wait_seconds <= 60.25 or each.wait_seconds <= 30 for each in found)
    assert ((),) == after.levels


@pytest.mark.parametrize("name", ODD)
async def test_any_name_is_a_limit_of_its_own(make: Make, name: str) -> None:
    """Whatever characters a name and a ticket hold, they are told apart from all others."""
    async with make(None) as store:
        for ticket in (name, f"{name} "):
            await store.reserve(ticket, [(Take(name, 10, 60, 2), Take(f"{name}:", 10, 0, 1))], 30)
        await store.settle([Settlement(name, (Take(name, 10, 60, 5), Take(f"{name}:", 10, 0, 1)))])
        found = await store.reserve("last", [(Take(name, 10, 60, 0), Take(f"{name}:", 10, 0, 0))], 30)

    assert [7, 1] == [level.used for level in found.levels[0]]


async def test_limit_of_another_window_begins_anew(store: RedisStore) -> None:
    """What was taken by another window counts no more, what is taken by the new one does."""
    anew = Take("calls", 3, 60, 1)
    used: list[tuple[int, float]] = []
    for choices in ([CALL], [CALL, anew], [CALL], [anew, CALL], [anew], [CALL]):
        found = await store.reserve(f"{len(used)}", [(take,) for take in choices], 30)
        used.append((found.choice, found.levels[0][0].used))

    assert [(0, 1), (0, 1), (0, 2), (0, 1), (0, 2), (0, 1)] == used


async def test_every_key_ends(store: RedisStore, clock: Clock, redis_server: Server) -> None:
    """All that is written lives as long as a window and a lease, and little longer: a lapsed reservation until its
    part of the window has left.
    """
    day = Take("day", 10, 86_400, 1)
    await store.reserve("a", [(TOKENS, CALL, day)], 5)
    await store.reserve("b", [(TOKENS, CALL)], 600)
    await store.reserve("c", [(TOKENS, CALL)], 5)
    kept = {name: milliseconds / 1000 for name, milliseconds in list_keys(redis_server, store).items()}
    for longest, name in ((660, "tokens"), (600, "calls"), (86_405, "day")):
        for kind in ("limit", "holds", "leases"):
            assert longest - 5 < kept.pop(f"{kind}:{name}") < longest * 1.01 + 61
    assert 8_639_990 < kept.pop("clock:limits") <= 8_640_000
    assert {} == kept

    clock.advance(30)
    await store.settle([Settlement("a", (Take("tokens", 100, 60, 70), CALL, day))])
    await store.renew([Settlement("b", (TOKENS, CALL))], 6_000)
    kept = {name: milliseconds / 1000 for name, milliseconds in list_keys(redis_server, store).items()}
    assert all(5_990 < kept[f"{kind}:tokens"] < 6_130 for kind in ("limit", "holds", "leases"))
    assert -1 not in kept.values()


async def test_what_holds_nothing_writes_nothing(store: RedisStore, redis_server: Server) -> None:
    """Whoever takes 0 at the same time, or is refused, leaves no key of that limit behind."""
    await store.reserve("a", [(CALL,)], 30)
    await store.reserve("b", [(Take("cool", 0.5, 0, 0), Take("calls", 0.5, 0, 0)), (Take("cool", 0.5, 0, 0),)], 30)
    await store.settle([Settlement("unknown", (TOKENS,))])

    assert ["clock:limits", "holds:calls", "leases:calls", "limit:calls"] == [*list_keys(redis_server, store)]


async def test_limits_are_found_again_after_a_flush_of_scripts(store: RedisStore, redis_server: Server) -> None:
    """A server that has lost the scripts is handed them again, and has lost nothing else."""
    for number in range(3):
        redis_server.ask("SCRIPT", "FLUSH")
        await store.reserve(f"{number}", [(TOKENS,)], 30)
        redis_server.ask("SCRIPT", "FLUSH")
        await store.renew([Settlement(f"{number}", (TOKENS,))], 30)
        redis_server.ask("SCRIPT", "FLUSH")
        await store.settle([Settlement(f"{number}", (Take("tokens", 100, 60, 7),))])

    assert 21 == (await store.reserve("last", [(Take("tokens", 100, 60, 0),)], 30)).levels[0][0].used


class Counted:
    """A client that counts what it is asked."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client
        self.commands: list[Argument] = []

    def execute_command(self, *args: Argument) -> Awaitable[object]:
        self.commands.append(args[0])
        return self.client.execute_command(*args)


async def test_each_call_is_one_round_trip(redis_server: Server) -> None:
    """However many takes and choices there are, and up to 250 takes that are settled, one command is sent."""
    async with AsyncRedis(host=HOST, port=redis_server.port) as server:
        client = Counted(server)
        store = RedisStore(client=client, key_prefix=f"{secrets.token_hex(8)}:")
        choices = [tuple(Take(f"{key}-{number}", 9, 60, 1) for number in range(5)) for key in range(8)]
        out = [Settlement(f"{number}", choices[0]) for number in range(50)]
        for _ in range(2):
            client.commands.clear()
            await store.reserve("0", choices, 30)
            await store.renew(out, 30)
            await store.settle(out)
            await store.settle([])

    assert ["EVALSHA"] * 3 == client.commands


async def test_large_batch_is_settled_whole(store: RedisStore) -> None:
    """A batch that takes several scripts settles every ticket in it."""
    take = Take("calls", 1_000, 0, 1)
    out = [Settlement(f"{number}", (take, TOKENS)) for number in range(300)]
    await asyncio.gather(*(store.reserve(each.ticket, [(take,)], 30) for each in out[:40]))
    await store.settle(out)

    assert 0 == (await store.reserve("last", [(Take("calls", 1_000, 0, 0),)], 30)).levels[0][0].used


@pytest.mark.parametrize("kinds", [("leases",), ("holds",), ("limit",), ("leases", "holds")])
async def test_evicted_keys_hold_nothing_for_ever(
    store: RedisStore, clock: Clock, redis_server: Server, kinds: tuple[str, ...]
) -> None:
    """When a server that is short of memory has dropped one of a limit's keys, nothing stays taken for longer than the
    lease, and what is written anew ends.
    """
    for number in range(3):
        await store.reserve(f"{number}", [(CALL, TOKENS)], 30)
    for kind in kinds:
        for name in ("calls", "tokens"):
            assert 1 == redis_server.ask("DEL", f"{store._layout.prefix}{kind}:{name}")
    for number in range(3, 6):
        await store.reserve(f"{number}", [(CALL, TOKENS)], 30)
        assert all(milliseconds > 0 for milliseconds in list_keys(redis_server, store).values())
    clock.advance(61)
    found = [(await store.reserve(f"{number}", [(CALL, TOKENS)], 30)).choice for number in range(6, 10)]

    assert [0, 0, 0, -1] == found


async def test_evicted_leases_are_not_counted_beside_new_ones(store: RedisStore, redis_server: Server) -> None:
    """The first reservation after the server has dropped all others finds nothing taken at the same time."""
    for number in range(2):
        await store.reserve(f"{number}", [(CALL,)], 30)
    redis_server.ask("DEL", f"{store._layout.prefix}leases:calls")
    found = [await store.reserve(f"{number}", [(CALL,)], 30) for number in range(2, 6)]

    assert [1, 2, 3, 3] == [each.levels[0][0].used for each in found]


async def test_clock_that_is_set_back_frees_nothing(store: RedisStore, clock: Clock) -> None:
    """It goes on from where it was, as when another server has taken over; out of order by less than a second, as when
    several tell the time, it stands still.
    """
    full = Take("tokens", 100, 60, 100)
    await store.reserve("a", [(full,)], 600)
    left = []
    for seconds in (0.5, -0.9, 0.4, 20, -3_600, 20, -5):
        clock.advance(seconds)
        refused = await store.reserve("b", [(full,)], 600)
        assert -1 == refused.choice
        left.append(refused.levels[0][0].reset_seconds - 60)
    assert all(0 <= each + passed < 0.25 for each, passed in zip(left, (0.5, 0.5, 0.5, 20, 20, 40, 40), strict=True))
    clock.advance(20.5)

    assert 0 == (await store.reserve("c", [(full,)], 600)).choice


async def test_server_that_takes_no_writes_takes_nothing(tmp_path: Path) -> None:
    """What may not be written as a whole is not written at all."""
    with start(tmp_path) as server:
        async with RedisStore(addr=server.addr) as store:
            await store.reserve("a", [(TOKENS, CALL)], 30)
            server.ask("CONFIG", "SET", "min-replicas-to-write", 1)
            with pytest.raises(StoreError, match="NOREPLICAS"):
                await store.reserve("b", [(TOKENS, CALL)], 30)
            server.ask("CONFIG", "SET", "min-replicas-to-write", 0)
            found = await store.reserve("c", [(Take("tokens", 100, 60, 0), Take("calls", 3, 0, 0))], 30)

    assert [10, 1] == [level.used for level in found.levels[0]]


async def test_limit_has_a_bounded_size(store: RedisStore, clock: Clock, redis_server: Server) -> None:
    """However much is reserved and refused, a limit takes its floats and what is out."""
    take = Take("calls a minute", 500, 60, 1)
    waits = []
    for number in range(1_500):
        clock.advance(0.06)
        admission = await store.reserve(f"{number}", [(take,)], 30)
        waits.append(admission.wait_seconds)
        await store.settle([Settlement(f"{number}", (take,))])

    assert 0 < max(waits) <= 60.25
    assert not math.isinf(min(waits))
    assert 4_168 == redis_server.ask("STRLEN", f"{store._layout.prefix}limit:calls a minute")
    assert ["clock:limits", "limit:calls a minute"] == [*list_keys(redis_server, store)]
