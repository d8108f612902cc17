"""replicas.py, with board.py, lead.py and following.py: one leads, the others follow, over real stores."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from time import monotonic, sleep, time

import pytest
from redis import Redis

from coo_middleware.core.progress import End, Part
from coo_middleware.core.sealing import Sealer
from coo_middleware.following import Following, LeaderLostError
from coo_middleware.lead import Lead
from coo_middleware.replicas import Replicas
from coo_middleware.storage_api import storage_api
from coo_middleware.stores import RuntimeStore, StoreError, open_store
from coo_middleware.stores.guard import Guard
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.memory import MemoryStore
from tests.conftest import Serve
from tests.proof import choose, report
from tests.replica import START, Outcome, Pace, Process, Replica
from tests.storage_server import KEY

WAIT = 20.0
KINDS = ["redis", "sqlite"]
PROCESSES = 4
KEYS = choose(20, 100)
KILLS = choose(5, 50)

Settings = dict[str, object]


@pytest.fixture
def settings_of(redis_url: str, tmp_path: Path) -> Callable[[str], Settings]:
    """The section `storage.runtime` of a store without any data."""
    sections: dict[str, Settings] = {
        "redis": {"type": "redis", "addr": redis_url, "key_prefix": f"{secrets.token_hex(8)}:"},
        "sqlite": {"type": "sqlite", "path": str(tmp_path / "data.db")},
    }
    return sections.__getitem__


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, settings_of: Callable[[str], Settings]) -> Settings:
    """The same for each store that processes share."""
    return settings_of(request.param)


class Pair:
    """Two replicas over one store, which end with the test."""

    def __init__(self, stores: list[RuntimeStore], sealer: Sealer = Sealer(), lease: float = 1.0) -> None:  # noqa: B008 -- has no state
        self.stores = stores
        self.first, self.second = (Replicas(each, lease_seconds=lease, sealer=sealer) for each in stores)

    async def lead(self, key: str = "key") -> Lead:
        lead = await self.first.join(key, nothing, WAIT)
        assert isinstance(lead, Lead)
        return lead

    async def follow(self, key: str = "key") -> Following:
        following = await self.second.join(key, nothing, WAIT)
        assert isinstance(following, Following)
        return following


@pytest.fixture
async def pairs() -> AsyncIterator[Callable[..., object]]:
    """`await pairs(settings)` opens a Pair."""
    async with AsyncExitStack() as stack:

        async def make(settings: Settings, sealer: Sealer = Sealer(), lease: float = 1.0) -> Pair:  # noqa: B008
            stores = [Guard(open_store(settings), read_deadline_seconds=5, write_deadline_seconds=5) for _ in range(2)]
            pair = Pair([await stack.enter_async_context(each) for each in stores], sealer, lease)
            for each in (pair.first, pair.second):
                stack.push_async_callback(each.close)
            return pair

        yield make


@pytest.fixture
async def pair(pairs: Callable[..., "asyncio.Future[Pair]"], settings: Settings) -> Pair:
    """Two replicas over each store that processes share."""
    return await pairs(settings)


@pytest.fixture
async def live(pairs: Callable[..., "asyncio.Future[Pair]"], settings_of: Callable[[str], Settings]) -> Pair:
    """Two replicas over a store with logs."""
    return await pairs(settings_of("redis"))


async def nothing() -> bytes | None:
    """The entry was not stored."""
    return None


async def collect(following: Following) -> list[Part]:
    return [part async for part in following.parts()]


async def test_first_leads_and_learns_that_nobody_did_before(pair: Pair) -> None:
    """Work that nobody leads is led at once, by whoever asks first, and again by whoever asks when it has ended."""
    lead = await pair.lead()
    assert not lead.takes_over
    await pair.first.end(lead)
    other = await pair.second.join("key", nothing, WAIT)

    assert isinstance(other, Lead)
    assert not other.takes_over


async def test_keys_are_led_apart(pair: Pair) -> None:
    """Another key is another replica's to lead at the same time."""
    await pair.lead("key")

    assert isinstance(await pair.second.join("another", nothing, WAIT), Lead)


async def test_entry_that_was_stored_meanwhile_is_found(pair: Pair) -> None:
    """Who looked for the entry in vain before it was stored, and claims after the leader's end, finds it now, and does
    not keep the lead.
    """
    for replicas in (pair.first, pair.second):
        found: object = await replicas.join("key", partial(asyncio.sleep, 0, b"entry"), WAIT)
        assert b"entry" == found

    assert isinstance(await pair.first.join("key", nothing, WAIT), Lead)


async def test_lead_that_ended_without_an_answer_is_taken_over(pair: Pair) -> None:
    """When a leader gives up before anything of its answer went out, one that waits leads, and knows that it does so
    in another's place.
    """
    lead = await pair.lead()
    waiting = asyncio.create_task(pair.second.join("key", nothing, WAIT))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await pair.first.end(lead)
    heir = await waiting

    assert isinstance(heir, Lead)
    assert heir.takes_over


async def test_waiting_has_an_end(pair: Pair) -> None:
    """A leader that goes on and has nothing to show keeps nobody for longer than the wait, and loses no lease by it."""
    lead = await pair.lead()
    began = monotonic()
    other = await pair.second.join("key", nothing, 0.5)

    assert isinstance(other, Lead)
    assert 0.5 <= monotonic() - began < 10
    await pair.second.end(other)
    assert lead.name == await pair.stores[1].claim("key", "another", 1)


async def test_lease_lasts_as_long_as_the_lead(pair: Pair) -> None:
    """A lead that takes longer than a lease stays this replica's."""
    lead = await pair.lead()
    await asyncio.sleep(1.5)

    assert lead.name == await pair.stores[1].claim("key", "another", 1)


async def test_lead_that_nobody_gets_is_given_up(pair: Pair) -> None:
    """When the caller is cancelled while the entry is looked for, the key is free at once."""
    looking = asyncio.Event()

    async def look() -> None:
        looking.set()
        await asyncio.Event().wait()

    joining = asyncio.create_task(pair.first.join("key", look, WAIT))
    await asyncio.wait_for(looking.wait(), WAIT)
    joining.cancel()
    await asyncio.wait([joining])

    assert "another" == await pair.stores[1].claim("key", "another", 1)


@pytest.mark.parametrize("have", [0, 50, 200])
async def test_late_follower_gets_all_in_order(live: Pair, have: int) -> None:
    """Whoever joins when so many of 200 events are out gets all of them, as they were sent."""
    lead = await live.lead()
    sent: list[Part] = [START, *(b"event %d" % number for number in range(200)), End()]
    for part in sent[:have]:
        lead.send(part)
    joining = asyncio.create_task(live.follow())
    for part in sent[have:]:
        await asyncio.sleep(0.001)
        lead.send(part)

    assert sent == await collect(await joining)
    await live.first.end(lead)


async def test_answer_without_followers_is_not_written(live: Pair, settings_of: Callable[[str], Settings]) -> None:
    """Only an answer that somebody asks for costs the store anything."""
    lead = await live.lead()
    for part in (START, b"event", End()):
        lead.send(part)
    await asyncio.sleep(0.1)
    section = settings_of("redis")
    with Redis.from_url(str(section["addr"])) as client:
        assert [f"{section['key_prefix']}claim:key".encode()] == client.keys(f"{section['key_prefix']}*")

    assert not lead.is_followed


async def test_follower_after_the_end_gets_it_all(live: Pair) -> None:
    """Between the answer's end and the lead's, while the entry is stored, there is still all of it."""
    lead = await live.lead()
    for part in (START, b"event", End()):
        lead.send(part)

    assert [START, b"event", End()] == await collect(await live.follow())


async def test_follower_keeps_what_came_when_the_lead_ends(live: Pair) -> None:
    """A follower that reads slowly is not held up by a leader that has left, nor the leader by it."""
    lead = await live.lead()
    lead.send(START)
    following = await live.follow()
    for part in (b"event", End()):
        lead.send(part)
    await live.first.end(lead)

    assert [START, b"event", End()] == await collect(following)


async def test_fault_is_told_as_it_is(live: Pair) -> None:
    """An answer that broke off ends for followers with the leader's words for it."""
    lead = await live.lead()
    lead.send(START)
    following = await live.follow()
    lead.send(End("cut"))
    await live.first.end(lead)

    assert [START, End("cut")] == await collect(following)


async def test_second_failure_is_shared(live: Pair) -> None:
    """When the one that took over fails too, those who wait or come just then get its fault, and nobody asks again."""
    lead = await live.lead()
    heir = asyncio.create_task(live.second.join("key", nothing, WAIT))
    await asyncio.sleep(0.1)
    await live.first.end(lead)
    second = await heir
    assert isinstance(second, Lead)
    assert second.takes_over
    third = asyncio.create_task(live.first.join("key", nothing, WAIT))
    await asyncio.sleep(0.1)
    second.send(End("refused"))
    await live.second.end(second)
    shared = await third

    assert isinstance(shared, Following)
    assert [End("refused")] == await collect(shared)


async def test_follower_of_an_answer_that_is_too_long_goes_alone(live: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long answer only the end is kept: who has followed from the start gets it whole, who comes late leads."""
    monkeypatch.setattr("coo_middleware.lead._MOST_BYTES", 100_000)
    lead = await live.lead()
    lead.send(START)
    early = asyncio.create_task(collect(await live.follow()))
    sent: list[Part] = [START, *(secrets.token_bytes(10_000) for _ in range(50)), End()]
    for part in sent[1:]:
        lead.send(part)
        await asyncio.sleep(0.02)

    assert sent == await early
    late = await live.second.join("key", nothing, WAIT)
    assert isinstance(late, Lead)


async def test_encrypted_answer_shows_nothing(
    pairs: Callable[..., "asyncio.Future[Pair]"], settings_of: Callable[[str], Settings]
) -> None:
    """With a key for what lies in the store, neither what is led nor its answer can be read there."""
    section = settings_of("redis")
    sealed = await pairs(section, Sealer([secrets.token_bytes(32)]))
    lead = await sealed.lead("canary-key")
    for part in (START, b"canary-event", End()):
        lead.send(part)
    assert [START, b"canary-event", End()] == await collect(await sealed.follow("canary-key"))
    with Redis.from_url(str(section["addr"])) as client:
        keys = client.keys(f"{section['key_prefix']}*")
        dump = b"".join([*keys, *(client.dump(key) or b"" for key in keys)])

    assert 3 == len(keys)
    assert b"canary" not in dump


async def test_answer_of_another_key_is_never_followed(live: Pair) -> None:
    """A log that holds another key's answer, however it came there, is nobody's to follow."""
    lead, wrong = await live.lead("key"), await live.lead("another")
    wrong.send(START)
    wrong.publish()
    await asyncio.sleep(0.1)
    await live.stores[0].release("key", lead.name)
    await live.stores[0].claim("key", wrong.name, 600)

    assert isinstance(await live.second.join("key", nothing, WAIT), Lead)


async def test_leader_that_is_gone_in_the_middle_is_lost(live: Pair) -> None:
    """When a lease ends without the answer's end, those who have a part of it learn that there will be no more."""
    lead = await live.lead()
    lead.send(START)
    following = await live.follow()
    await live.first.end(lead)

    with pytest.raises(LeaderLostError):
        await collect(following)


async def test_unreachable_store_makes_everybody_a_leader() -> None:
    """Without the store each replica goes on by itself, at once, and says so by no error."""
    for store in (
        open_store({"type": "redis", "addr": "127.0.0.1:9"}),
        open_store({"type": "http", "addr": "http://127.0.0.1:9"}),
    ):
        replicas = Replicas(Guard(store))

        async def fail() -> bytes | None:
            raise StoreError("out of reach")

        leads = [await replicas.join("key", fail, WAIT) for _ in range(5)]
        assert [Lead] * 5 == [*map(type, leads)]
        for lead in leads:
            assert isinstance(lead, Lead)
            lead.send(START)
            await replicas.end(lead)
        await replicas.close()


async def test_store_without_leases_makes_everybody_a_leader() -> None:
    """A store of six methods needs no more: there each replica collapses by itself."""

    class SmallStore(MemoryStore):
        claim = RuntimeStore.claim
        release = RuntimeStore.release

    store = SmallStore()
    pair = Pair([store, store])
    for replicas in (pair.first, pair.second):
        assert isinstance(await replicas.join("key", nothing, WAIT), Lead)
        await replicas.close()


async def test_storage_api_is_shared(serve: Serve) -> None:
    """Over HTTP one leads too, and the others find the entry."""
    url = serve(storage_api(MemoryStore(), api_key=KEY))
    stores: list[RuntimeStore] = [HTTPStore(addr=url, api_key=KEY, timeout_seconds=20) for _ in range(3)]
    replicas = [Replica(each, Pace()) for each in stores]
    outcomes = await asyncio.gather(*(each.ask("key") for each in replicas))
    for replica, store in zip(replicas, stores, strict=True):
        await replica.replicas.close()
        await store.close()

    assert Counter({"led": 1, "found": 2}) == Counter(each.role for each in outcomes)
    assert {Pace().content("key")} == {each.content for each in outcomes}


async def test_follower_is_a_moment_behind(live: Pair) -> None:
    """Each event reaches a follower in another replica soon after it was sent."""
    lead = await live.lead()
    lead.send(START)
    following = await live.follow()

    async def measure() -> list[float]:
        return [time() - float(part) async for part in following.parts() if isinstance(part, bytes)]

    measuring = asyncio.create_task(measure())
    for _ in range(200):
        await asyncio.sleep(0.01)
        lead.send(b"%r" % time())
    lead.send(End())
    lags = sorted(await measuring)
    report(
        f"redis, another replica's events: {1000 * lags[100]:.1f} ms behind, 99 of 100 within {1000 * lags[197]:.1f} ms"
    )

    assert 200 == len(lags)
    assert lags[100] < 1


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Those that are in it are killed in the end."""
    running: list[Process] = []
    yield running
    for each in running:
        each.kill()


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_of_several_processes_one_leads(settings: Settings, processes: list[Process]) -> None:
    """Four processes that ask for many keys at the same moment make one upstream call for each, and all have it."""
    pace, keys = Pace(lease=20), [f"key-{number}" for number in range(KEYS)]
    processes += [Process(settings, pace, keys) for _ in range(PROCESSES)]
    for each in processes:
        each.begin()
    outcomes = [outcome for each in processes for outcome in each.finish(300)]
    led = Counter(each.key for each in outcomes if each.role == "led")
    lag = max(
        one.ended - next(each.ended for each in outcomes if each.key == one.key and each.role == "led")
        for one in outcomes
    )
    report(f"{settings['type']}: {PROCESSES} processes x {KEYS} keys, {led.total()} led, end {1000 * lag:.0f} ms later")

    assert dict.fromkeys(keys, 1) == dict(led)
    assert {(key, pace.content(key)) for key in keys} == {(each.key, each.content) for each in outcomes}
    assert {"led", "followed" if settings["type"] == "redis" else "found"} >= {each.role for each in outcomes}


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_killed_leader_is_replaced_or_missed(settings: Settings, processes: list[Process]) -> None:
    """Whenever a leader is killed, its followers end: with all of an answer, or with the beginning of one that they had
    begun to pass on and the news that it is lost. No more than one of them asks the upstream again.
    """
    dice = random.Random(5)  # noqa: S311 -- no secret
    roles: Counter[str] = Counter()
    longest = 0.0
    for number in range(KILLS):
        key, pace = f"key-{number}", Pace(dice.choice((0, 0.5)), pause=0.02, lease=1)
        leader, *others = [Process(settings, pace, [key], talks=each == 0) for each in range(3)]
        processes[:] = [leader, *others]
        leader.begin()
        leader.hear("leads")
        for each in others:
            each.begin()
        for _ in range(dice.choice((0, 0, 0, 1, 5, 20))):
            leader.hear("sent")
        sleep(dice.uniform(0, 0.1))
        leader.kill()
        killed = time()
        outcomes = [outcome for each in others for outcome in each.finish(60)]
        longest = max(longest, *(each.ended - killed for each in outcomes))
        roles.update(each.role for each in outcomes)
        check(outcomes, pace, key)
    report(f"{settings['type']}: {KILLS} leaders killed, lease 1 s: {dict(roles)}, the last end {longest:.1f} s later")

    assert longest < 30


def check(outcomes: list[Outcome], pace: Pace, key: str) -> None:
    """What the followers of a leader that was killed have to show."""
    whole = pace.content(key)
    assert 1 >= sum(each.role == "led" for each in outcomes)
    assert [] == [each for each in outcomes if each.role != "lost" and each.content != whole]
    assert all(whole.startswith(each.content) for each in outcomes)
