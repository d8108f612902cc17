"""Purging: at once, whatever is under way, however much there is, and in every process within a second."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from secrets import token_hex
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.cache import Cache
from coo_middleware.core.entry import pack_entry
from coo_middleware.core.sealing import Sealer
from coo_middleware.purge_view import LONGEST_SECONDS
from coo_middleware.purging import Purged, purge
from coo_middleware.stores import StoreError
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.stores.redis import RedisStore
from coo_middleware.stores.sqlite import SqliteStore
from tests.asgi import ANSWER, Script, again, answer, call
from tests.proof import choose, report
from tests.purge_worker import CONTEXT, make_entry, make_plan, serve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coo_middleware.stores import CachePage, RuntimeStore
    from coo_middleware.stores.redis_connect import Argument, RedisClient

PLAIN = Sealer()
KEYS = [bytes(range(number, number + 32)) for number in (1, 2)]


async def fill(store: RuntimeStore, count: int, sealer: Sealer = PLAIN, first: int = 0) -> None:
    """Stores entries, every tenth of them under the tag `tenth`."""
    generation = (await store.get_purges(0)).generation
    for number in range(first, first + count):
        plan, entry = make_plan(number), make_entry(number, generation, "docs" if number % 10 else "tenth")
        name = sealer.name(plan.key)
        await store.set_cache(name, sealer.seal(pack_entry(entry), name.encode()), 600)


@pytest.mark.parametrize("label", ["all", "namespace:", "caller:caller", "model:gpt-5", "tag:docs", "key:1" + "0" * 64])
async def test_an_answer_under_way_does_not_survive_a_purge(label: str, tmp_path: Path) -> None:
    """What a request brings that began before a purge is not reused, whether its process knows of that or not."""
    async with SqliteStore(path=tmp_path / "a.db") as store:
        knowing, other = Cache(store, 1_000_000), Cache(store, 1_000_000)
        entries = [replace(make_entry(), generation=await each.begin()) for each in (knowing, other)]
        await store.purge([label])
        await knowing._purges._fetch()
        for cache, entry in zip((knowing, other), entries, strict=True):
            cache.keep(entry)
            await cache.store(make_plan().key, entry)
        await other._purges._fetch()

        assert [None, None] == [await each.look_up(make_plan()) for each in (knowing, other)]


async def test_what_comes_after_a_purge_is_reused(tmp_path: Path) -> None:
    """Also by a process that has the purged one still in its first level."""
    async with SqliteStore(path=tmp_path / "a.db") as store:
        one, other = Cache(store, 1_000_000), Cache(store, 1_000_000)
        old = replace(make_entry(), generation=await one.begin())
        one.keep(old)
        await one.store(make_plan().key, old)
        await store.purge(["tag:docs"])
        new = replace(make_entry(), generation=await other.begin())
        await other.store(make_plan().key, new)
        await one._purges._fetch()

        assert [new, new] == [await each.look_up(make_plan()) for each in (one, other)]


async def test_a_purge_counts_with_the_next_request() -> None:
    """In a process that has the store in itself, a purged answer is asked for anew."""
    store = MemoryStore()
    middleware = COOMiddleware(Script(*answer(ANSWER)), store=store)
    await call(middleware)
    marks = [(await again(middleware)).fields[b"x-coo-cache"]]
    await store.purge(["model:gpt-5-mini"])
    marks += [(await again(middleware)).fields[b"x-coo-cache"] for _ in range(2)]

    assert [b"HIT", b"MISS", b"HIT"] == marks


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_another_process_notices_within_a_second(kind: str, tmp_path: Path, redis_url: str) -> None:
    """A look-up that begins a second after the purge finds nothing, in whichever process; it could find it before."""
    place: dict[str, object] = {"path": str(tmp_path / "a.db")}
    if kind == "redis":
        place = {"addr": redis_url, "key_prefix": f"{token_hex(8)}:"}
    settings = {"type": kind, **place}
    ours, theirs = CONTEXT.Pipe()
    worker = CONTEXT.Process(target=serve, args=(settings, theirs))
    worker.start()
    store: RuntimeStore = RedisStore(**place) if kind == "redis" else SqliteStore(**place)  # type: ignore[arg-type]
    try:
        assert await asyncio.to_thread(ours.poll, 60)
        assert 0.0 == ours.recv()
        async with store:
            await store.purge(["tag:docs"])
            purged = monotonic()
        assert await asyncio.to_thread(ours.poll, 60)
        late = ours.recv() - purged
    finally:
        worker.kill()
        worker.join()

    report(f"purge, {kind}: the last look-up of another process that found it began {1000 * late:.0f} ms later")
    assert late < LONGEST_SECONDS


class Counting:
    """A client that counts the commands which it passes on."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client
        self.commands = 0

    async def execute_command(self, *args: Argument) -> object:
        self.commands += 1
        return await self.client.execute_command(*args)


@pytest.mark.proof
async def test_a_purge_costs_the_same_however_much_is_stored(redis_url: str) -> None:
    """One round trip for ten entries, and one for a hundred thousand."""
    from redis.asyncio import Redis

    async with Redis.from_url(redis_url) as client:
        counting = Counting(client)
        store = RedisStore(client=counting, key_prefix=f"{token_hex(8)}:")
        await store.purge(["tag:none"])
        commands, seconds = [], []
        for count in (10, choose(1_000, 100_000)):
            await fill(store, count)
            counting.commands = 0
            began = perf_counter()
            await store.purge(["tag:tenth"])
            seconds.append(perf_counter() - began)
            commands.append(counting.commands)
            began = perf_counter()
            purged = await purge(store, PLAIN, ["tag:docs"], dry_run=True)
            counted = perf_counter() - began
            assert (count * 9 // 10, 0, True) == (purged.matched, purged.unreadable, purged.is_complete)
        report(
            f"purge, redis: {1000 * seconds[0]:.2f} ms with 10 entries, {1000 * seconds[1]:.2f} ms with {count}; "
            f"to count those took {counted:.2f} s"
        )

    assert [1, 1] == commands


async def test_the_count_is_that_of_the_purge(tmp_path: Path) -> None:
    """A dry run tells what a purge then finds, changes nothing, and a second purge finds nothing left."""
    async with SqliteStore(path=tmp_path / "a.db") as store:
        await fill(store, 20)
        before = await store.get_purges(0)
        dry = await purge(store, PLAIN, ["tag:tenth", "tag:unheard-of"], dry_run=True)
        assert before == await store.get_purges(0)
        wet = [await purge(store, PLAIN, ["tag:tenth"]) for _ in range(2)]
        rest = await purge(store, PLAIN, ["all"])

    now = before.generation
    assert Purged(None, 2, is_complete=True) == dry
    assert [Purged(now + 1, 2, is_complete=True), Purged(now + 2, 0, is_complete=True)] == wet
    assert Purged(now + 3, 18, is_complete=True) == rest


@pytest.mark.parametrize("keys", [[], KEYS[:1]])
async def test_sealed_entries_are_counted_with_the_key(keys: Sequence[bytes], tmp_path: Path) -> None:
    """Compressed and encrypted entries count for whoever can open them; for others they are unreadable."""
    async with SqliteStore(path=tmp_path / "a.db") as store:
        sealer = Sealer(keys, compress=True)
        await fill(store, 20, sealer)
        known = await purge(store, sealer, ["tag:tenth"], dry_run=True)
        await fill(store, 5, Sealer(KEYS[1:]), first=100)
        mixed = await purge(store, sealer, ["tag:docs"])

    assert (2, 0) == (known.matched, known.unreadable)
    assert (18, 5) == (mixed.matched, mixed.unreadable)


def dump(place: Path) -> bytes:
    return b"".join(each.read_bytes() for each in place.iterdir())


@pytest.mark.parametrize("keys", [[], KEYS[:1], KEYS])
async def test_one_key_is_purged_by_its_name_in_the_store(keys: Sequence[bytes], tmp_path: Path) -> None:
    """Also across a rotation; where entries are encrypted, the store learns no digest from the purge."""
    path = tmp_path / "a.db"
    async with SqliteStore(path=path) as store:
        sealer, cache = Sealer(keys), Cache(store, 0, Sealer(keys))
        await fill(store, 2, sealer)
        await purge(store, sealer, [f"key:{make_plan(1).key}"])
        found = [await cache.look_up(make_plan(number)) is not None for number in range(2)]
        rotated = Cache(store, 0, Sealer([*KEYS[1:], *keys]) if keys else sealer)
        later = [await rotated.look_up(make_plan(number)) is not None for number in range(2)]

    assert [[True, False]] * 2 == [found, later]
    assert (make_plan(1).digest.hex().encode() in dump(tmp_path)) == (not keys)


async def test_many_pages_are_counted(tmp_path: Path) -> None:
    """In memory and in a database, more than a page holds."""
    async with SqliteStore(path=tmp_path / "a.db") as database, MemoryStore() as memory:
        for store in (memory, database):
            generation = (await store.get_purges(0)).generation
            frames = {make_plan(number).key: pack_entry(make_entry(number, generation)) for number in range(1_001)}
            await asyncio.gather(*(store.set_cache(key, frame, 600) for key, frame in frames.items()))
            assert 1_001 == (await purge(store, PLAIN, ["tag:docs"])).matched


class Uncountable(MemoryStore):
    """A store that may not be looked through."""

    async def list_cache(self, cursor: str = "") -> CachePage:
        raise StoreError(cursor)


async def test_a_count_that_fails_does_not_hide_the_purge() -> None:
    """What is purged is told as such; a dry run, which does nothing else, fails."""
    store = Uncountable()
    purged = await purge(store, PLAIN, ["all"])
    with pytest.raises(StoreError):
        await purge(store, PLAIN, ["all"], dry_run=True)

    assert Purged((await store.get_purges(0)).generation) == purged


class Unlisted(MemoryStore):
    """A store that cannot list what it has."""

    async def list_cache(self, cursor: str = "") -> CachePage | None:  # type: ignore[override]
        del cursor
        return None


async def test_a_store_that_lists_nothing_purges_all_the_same() -> None:
    """The count is unknown, and so it is where none was asked for."""
    store, asked = Unlisted(), MemoryStore()
    generations = [(await each.get_purges(0)).generation + 1 for each in (store, asked)]

    assert [Purged(generation) for generation in generations] == [
        await purge(store, PLAIN, ["all"]),
        await purge(asked, PLAIN, ["all"], count=False),
    ]


async def test_an_answer_that_was_asked_for_before_a_purge_is_not_reused() -> None:
    """Through the middleware: a purge while the upstream works hits the answer that comes then."""
    store, gate = MemoryStore(), asyncio.Event()
    app = Script(gate, *answer(ANSWER))
    middleware = COOMiddleware(app, store=store)
    asked = asyncio.create_task(call(middleware))
    while not app.received:  # noqa: ASYNC110 -- the app has no event to tell
        await asyncio.sleep(0)
    await store.purge(["all"])
    gate.set()
    await asked
    await middleware.drain()
    marks = [(await again(middleware)).fields[b"x-coo-cache"] for _ in range(2)]

    assert [b"MISS", b"HIT"] == marks


async def test_a_request_after_a_purge_joins_no_call_from_before() -> None:
    """Through the middleware: what was asked for before a purge answers nobody who asks after it."""
    store, gate = MemoryStore(), asyncio.Event()
    app = Script(gate, *answer(ANSWER))
    middleware = COOMiddleware(app, store=store)
    asked = [asyncio.create_task(call(middleware))]
    while not app.received:  # noqa: ASYNC110 -- the app has no event to tell
        await asyncio.sleep(0)
    await store.purge(["all"])
    asked.append(asyncio.create_task(call(middleware)))
    while len(app.received) < 2:  # noqa: ASYNC110 -- the same
        await asyncio.sleep(0)
    gate.set()
    clients = [await each for each in asked]

    assert [b"MISS", b"MISS"] == [client.fields[b"x-coo-cache"] for client in clients]
