"""stores/guard.py: a store that is slow, busy, broken or gone, and what its callers notice of it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

import pytest

from coo_middleware.core.limits import Settlement, Take
from coo_middleware.stores import Increment, RuntimeStore, StoreBusyError, StoreError
from coo_middleware.stores import guard as module
from coo_middleware.stores.guard import Guard
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import Clock, FullStoreContract
from coo_middleware.testing.calls import OPERATIONS, REQ, SERIES_OPERATIONS, Call

CANARY = "prompt-canary"
READ, WRITE, PROBE = 0.02, 0.04, 0.002
TAKE = Take("name", 1, 60, 1)
CALLS: dict[str, Call] = {
    **OPERATIONS,
    **SERIES_OPERATIONS,
    "get_cache_with_ttl": lambda store: store.get_cache_with_ttl("key"),
    "list_cache": lambda store: store.list_cache(),
    "append_log": lambda store: store.append_log("log", [b"frame"], keep=1, ttl_seconds=1),
    "read_log": lambda store: store.read_log("log", "", 0),
    "reserve": lambda store: store.reserve("ticket", [(TAKE,)], 10),
    "settle": lambda store: store.settle([Settlement("ticket", (TAKE,))]),
    "renew": lambda store: store.renew([Settlement("ticket", (TAKE,))], 10),
}
# What a store that is away keeps nobody from.
CLAIMS: dict[str, Call] = {
    "claim": lambda store: store.claim("key", "owner", 1),
    "release": lambda store: store.release("key", "owner"),
}
READS = {
    "get_usage",
    "get_usage_in_window",
    "get_total",
    "get_cache",
    "get_cache_with_ttl",
    "get_purges",
    "read_log",
    "ping",
}
Mood = Callable[[], Awaitable[None]]


async def well() -> None:
    """The store does what it is asked."""


async def refuse() -> None:
    raise StoreError("nobody listens at localhost:6379; start the server") from ConnectionRefusedError(111)


async def break_down() -> None:
    raise LookupError(CANARY)


async def hang() -> None:
    await asyncio.Event().wait()


async def be_busy() -> None:
    raise StoreBusyError("all connections are in use")


async def object_to_argument() -> None:
    raise ValueError("window_seconds must be at least 1")


class MoodyStore(MemoryStore):
    """A store of memory that asks its mood first: one for all operations but `close`, or one for some by name."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Mood = well
        self.moods: dict[str, Mood] = {}
        self.calls: list[str] = []
        self.at_once = self.most_at_once = 0

    async def touch(self, name: str) -> None:
        self.calls.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.moods.get(name, well if name == "close" else self.mood)()
        finally:
            self.at_once -= 1


def moody(name: str) -> Callable[..., Awaitable[object]]:
    async def operation(store: MoodyStore, *args: object, **options: object) -> object:
        await store.touch(name)
        return await getattr(super(MoodyStore, store), name)(*args, **options)

    return operation


for operation in (*CALLS, *CLAIMS, "open", "close"):
    setattr(MoodyStore, operation, moody(operation))


@pytest.fixture
def store() -> MoodyStore:
    return MoodyStore()


@pytest.fixture
def guard(store: MoodyStore) -> Guard:
    return make(store)


def make(store: RuntimeStore) -> Guard:
    return Guard(store, read_deadline_seconds=READ, write_deadline_seconds=WRITE, probe_seconds=PROBE)


async def fail(guard: Guard, times: int = 3) -> None:
    """Calls that the store does not answer well."""
    for _ in range(times):
        with pytest.raises(StoreError):
            await guard.get_cache("key")


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the background work has made `condition` true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- the guard offers no event to wait for
            await asyncio.sleep(0.001)


class TestGuard(FullStoreContract):
    """A guarded store keeps every promise of the store."""

    async def make(self, clock: Clock) -> RuntimeStore:
        memory = MemoryStore(usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)
        return Guard(memory, read_deadline_seconds=10, write_deadline_seconds=10)


def test_guard_covers_every_operation() -> None:
    """No operation of a store is left without a deadline, none of a later day either."""
    operations = {name for name, _ in inspect.getmembers(RuntimeStore, inspect.iscoroutinefunction) if name[0] != "_"}

    assert {*CALLS, *CLAIMS, "open", "close"} == operations
    assert operations <= set(vars(Guard))


@pytest.mark.parametrize("name", CALLS)
async def test_every_operation_has_a_deadline(guard: Guard, store: MoodyStore, name: str) -> None:
    """A store that does not answer costs the deadline, and what is raised says so."""
    store.mood = hang
    with pytest.raises(StoreError, match=f"did not answer within {READ if name in READS else WRITE} s") as caught:
        await CALLS[name](guard)

    assert isinstance(caught.value.__cause__, TimeoutError)
    assert 0 == store.at_once


@pytest.mark.parametrize("mood", [hang, refuse, break_down, be_busy])
async def test_claims_are_granted_without_the_store(guard: Guard, store: MoodyStore, mood: Mood) -> None:
    """A store that does not answer makes everybody a leader, before and after the breaker opens, and costs no error."""
    await store.claim("key", "another", 600)
    assert "another" == await guard.claim("key", "owner", 600)
    store.mood = mood
    for _ in range(5):
        assert "owner" == await guard.claim("key", "owner", 600)
        await guard.release("key", "owner")

    assert guard.is_up is (mood is be_busy)
    await guard.close()


async def test_logs_and_series_do_not_speak_against_the_store(guard: Guard, store: MoodyStore) -> None:
    """A user who may not touch logs, a reader who waits, or a dashboard that asks for much, leaves the breaker closed;
    an open one keeps them out.
    """
    names = ("append_log", "read_log", *SERIES_OPERATIONS)
    store.moods = dict.fromkeys(names, refuse)
    for name in names * 5:
        with pytest.raises(StoreError):
            await CALLS[name](guard)
    assert guard.is_up
    store.mood = refuse
    await fail(guard)
    store.calls.clear()
    for name in names:
        with pytest.raises(StoreError, match="out of reach"):
            await CALLS[name](guard)

    assert not {*names} & {*store.calls}
    await guard.close()


@pytest.mark.parametrize("mood", [refuse, hang, be_busy])
async def test_a_reservation_is_asked_for_once(guard: Guard, store: MoodyStore, mood: Mood) -> None:
    """Whoever did not answer may have taken it: the caller learns that nobody knows, and nothing is taken twice."""
    store.mood = mood
    with pytest.raises(StoreError):
        await CALLS["reserve"](guard)

    assert ["reserve"] == store.calls


async def test_error_of_the_store_passes_as_it_is(guard: Guard, store: MoodyStore) -> None:
    """A StoreError keeps its text and its cause."""
    store.mood = refuse
    with pytest.raises(StoreError, match="nobody listens") as caught:
        await guard.get_cache("key")

    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_any_other_error_becomes_store_error(guard: Guard, store: MoodyStore) -> None:
    """What a store lets slip is chained; its text, which might quote anything, is not repeated."""
    store.mood = break_down
    with pytest.raises(StoreError) as caught:
        await guard.get_cache("key")

    assert "the store failed with LookupError" == str(caught.value)
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("mood", [refuse, break_down, hang])
async def test_three_faults_in_a_row_open_the_breaker(guard: Guard, store: MoodyStore, mood: Mood) -> None:
    """Errors and slow calls count alike, and not before the third."""
    store.mood = mood
    ups = []
    for _ in range(3):
        await fail(guard, 1)
        ups.append(guard.is_up)

    assert [True, True, False] == ups
    await guard.close()


async def test_faults_with_a_good_answer_between_are_not_in_a_row(guard: Guard, store: MoodyStore) -> None:
    """A store that fails now and then stays in use."""
    for _ in range(5):
        store.mood = refuse
        await fail(guard, 2)
        store.mood = well
        await guard.get_cache("key")

    assert guard.is_up


async def test_frozen_store_costs_many_clients_one_deadline(
    guard: Guard, store: MoodyStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls at the same time all end by the deadline, and are one outage."""
    store.mood = hang
    faults = await asyncio.gather(*(guard.get_cache("key") for _ in range(50)), return_exceptions=True)

    assert {StoreError} == {type(fault) for fault in faults}
    assert 1 == len(caplog.records)
    await guard.close()


@pytest.mark.parametrize("name", CALLS)
async def test_open_breaker_fails_at_once_without_touching_the_store(
    guard: Guard, store: MoodyStore, name: str
) -> None:
    """While it is open no operation reaches the store or waits, and no coroutine is left that nobody awaits."""
    store.mood = refuse
    await fail(guard)
    store.calls.clear()
    with pytest.raises(StoreError, match="out of reach"):
        next(CALLS[name](guard).__await__())
    gc.collect()

    assert [] == store.calls
    await guard.close()


async def test_busy_store_is_not_dead(guard: Guard, store: MoodyStore) -> None:
    """However many calls find no connection, the breaker stays closed; faults before and after them count on."""
    store.mood = refuse
    await fail(guard, 2)
    store.mood = be_busy
    for _ in range(50):
        with pytest.raises(StoreBusyError):
            await guard.get_cache("key")
    ups = [guard.is_up]
    store.mood = refuse
    await fail(guard, 1)

    assert [True, False] == [*ups, guard.is_up]
    await guard.close()


async def test_invalid_argument_is_no_fault(guard: Guard, store: MoodyStore) -> None:
    """ValueError is the caller's own: it passes and opens nothing."""
    store.mood = object_to_argument
    for _ in range(50):
        with pytest.raises(ValueError, match="window_seconds"):
            await guard.get_cache("key")

    assert guard.is_up


async def test_cancelled_call_is_no_fault(guard: Guard, store: MoodyStore) -> None:
    """A caller that gives up is cancelled as it asked, and says nothing about the store."""
    gate = asyncio.Event()

    async def wait() -> None:
        gate.set()
        await hang()

    store.mood = wait
    for _ in range(10):
        gate.clear()
        call = asyncio.create_task(guard.get_cache("key"))
        await gate.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert guard.is_up
    assert 0 == store.at_once


@pytest.mark.parametrize("mood", [refuse, break_down, hang, be_busy, object_to_argument])
async def test_store_that_does_not_open_opens_the_breaker(
    guard: Guard, store: MoodyStore, mood: Mood, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application starts without its store, does not wait for it, and joins it when it appears."""
    monkeypatch.setattr(module, "_START_SECONDS", READ)
    store.moods["open"] = mood
    await guard.open()
    assert not guard.is_up
    store.moods.clear()
    await until(lambda: guard.is_up)

    assert await guard.get_cache("key") is None


async def test_store_that_opens_and_does_not_answer_opens_the_breaker(guard: Guard, store: MoodyStore) -> None:
    """A store without anything to open is found out at the start, not by the first requests."""
    store.moods["ping"] = refuse
    await guard.open()

    assert not guard.is_up
    await guard.close()


async def test_open_again_brings_the_store_back_at_once(
    guard: Guard, store: MoodyStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Who opens a store that is well again need not wait for the probe, which ends."""
    tasks = asyncio.all_tasks()
    store.mood = refuse
    await guard.open()
    await guard.open()
    store.mood = well
    await guard.open()

    assert guard.is_up
    assert ["ERROR", "WARNING"] == [record.levelname for record in caplog.records]
    assert tasks == asyncio.all_tasks()


async def test_no_probe_runs_beside_an_open(guard: Guard, store: MoodyStore) -> None:
    """While `open` tries, calls that fail start no second attempt."""
    store.mood = refuse
    await fail(guard)
    gate = asyncio.Event()
    store.mood, store.most_at_once = lambda: wait_for(gate), 0
    opening = asyncio.create_task(guard.open())
    await until(lambda: store.at_once == 1)
    await fail(guard, 5)
    assert guard._probe is None
    gate.set()
    await opening

    assert guard.is_up
    assert 1 == store.most_at_once


async def wait_for(gate: asyncio.Event) -> None:
    await gate.wait()


async def test_one_outage_is_two_lines(guard: Guard, store: MoodyStore, caplog: pytest.LogCaptureFixture) -> None:
    """The transitions are logged, at any level, and nothing for the calls and the probes between them."""
    caplog.set_level(logging.DEBUG, logger="coo_middleware")
    store.mood = refuse
    await fail(guard, 500)
    await until(lambda: store.calls.count("open") >= 5)
    store.mood = well
    await until(lambda: guard.is_up)
    await guard.get_cache("key")

    assert [
        "the store is out of reach, requests go on without it: nobody listens at localhost:6379; start the server",
        "the store is back",
    ] == [record.getMessage() for record in caplog.records]


async def test_log_quotes_no_foreign_error(guard: Guard, store: MoodyStore, caplog: pytest.LogCaptureFixture) -> None:
    """Of an error that is no StoreError only the kind is told, when it opens and when it is called."""
    store.mood = break_down
    await fail(guard)
    await guard.close()
    store.mood = object_to_argument
    await make(store).open()

    assert 2 == len(caplog.records)
    assert "LookupError" in caplog.text
    assert caplog.text.rstrip().endswith("ValueError")
    assert CANARY not in caplog.text


async def test_probe_asks_for_ever_one_at_a_time_with_a_varying_pause(
    guard: Guard, store: MoodyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never gives up, calls that fail meanwhile start no second one, and processes do not ask in step."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", record)
    store.mood = refuse
    await guard.open()
    while len(pauses) < 200:
        await fail(guard, 3)
        await sleep(0)
    store.mood = well
    while not guard.is_up:
        await sleep(0)

    assert PROBE / 2 <= min(pauses) < max(pauses) <= PROBE
    assert 1 == store.most_at_once


async def test_probe_survives_an_open_that_hangs(
    guard: Guard, store: MoodyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening may take its time in the background, but not for ever."""
    monkeypatch.setattr(module, "_PROBE_OPEN_SECONDS", READ)
    store.mood = refuse
    await fail(guard)
    store.calls.clear()
    store.mood = hang
    await until(lambda: store.calls.count("open") >= 3)
    store.mood = well
    await until(lambda: guard.is_up)


async def test_slow_store_does_not_come_back(guard: Guard, store: MoodyStore) -> None:
    """A first answer may wait for a connection; one that still takes longer than a read may stays shut out."""
    store.mood = refuse
    await fail(guard)
    slow = asyncio.Event()
    slow.set()

    async def answer() -> None:
        if slow.is_set() or store.calls[-2:] == ["open", "ping"]:
            await asyncio.sleep(2 * READ)

    store.mood, store.moods["ping"] = well, answer
    store.calls.clear()
    await until(lambda: store.calls.count("ping") >= 4)
    assert not guard.is_up
    slow.clear()

    await until(lambda: guard.is_up)


async def test_every_outage_opens_the_breaker(
    guard: Guard, store: MoodyStore, caplog: pytest.LogCaptureFixture
) -> None:
    """After it came back a store that fails again is shut out again, after as many faults as ever."""
    ups = []
    for _ in range(3):
        store.mood = refuse
        await fail(guard, 2)
        ups.append(guard.is_up)
        await fail(guard, 1)
        ups.append(guard.is_up)
        store.mood = well
        await until(lambda: guard.is_up)

    assert [True, False] * 3 == ups
    assert ["ERROR", "WARNING"] * 3 == [record.levelname for record in caplog.records]


async def test_late_good_answer_does_not_close_the_breaker(store: MoodyStore, caplog: pytest.LogCaptureFixture) -> None:
    """A call from before the outage gets its answer and changes nothing."""
    guard = Guard(store, read_deadline_seconds=10, probe_seconds=10)
    gate = asyncio.Event()
    store.mood = lambda: wait_for(gate)
    late = asyncio.create_task(guard.get_usage(*REQ))
    await until(lambda: store.at_once == 1)
    store.mood = refuse
    await fail(guard)
    gate.set()

    assert 0 == await late
    assert not guard.is_up
    assert 1 == len(caplog.records)
    await guard.close()


async def test_late_faults_do_not_open_the_breaker_again(store: MoodyStore, caplog: pytest.LogCaptureFixture) -> None:
    """Calls from before an outage that fail after it are part of that outage."""
    guard = Guard(store, read_deadline_seconds=10, probe_seconds=PROBE)
    gate = asyncio.Event()

    async def fail_late() -> None:
        await gate.wait()
        await refuse()

    store.mood = fail_late
    late = [asyncio.create_task(guard.get_cache("key")) for _ in range(5)]
    await until(lambda: store.at_once == len(late))
    store.mood = refuse
    await fail(guard)
    store.mood = well
    await until(lambda: guard.is_up)
    gate.set()
    faults = await asyncio.gather(*late, return_exceptions=True)

    assert {StoreError} == {type(fault) for fault in faults}
    assert guard.is_up
    assert 2 == len(caplog.records)


async def test_close_ends_the_probe_and_closes_the_store(guard: Guard, store: MoodyStore) -> None:
    """After `close` nothing runs, nothing asks, and a call that comes late starts nothing."""
    tasks = asyncio.all_tasks()
    store.mood = refuse
    await fail(guard)
    store.moods["open"] = hang
    await until(lambda: store.calls[-1] == "open")
    await guard.close()
    await fail(guard)

    assert "close" == store.calls[-1]
    assert 0 == store.at_once
    assert tasks == asyncio.all_tasks()


async def test_stop_ends_the_probe_until_the_next_call(guard: Guard, store: MoodyStore) -> None:
    """A store that others go on using is not closed, and whoever calls later brings it back."""
    tasks = asyncio.all_tasks()
    store.mood = refuse
    await fail(guard)
    await guard.stop()
    assert tasks == asyncio.all_tasks()
    store.mood = well
    await fail(guard, 1)
    await until(lambda: guard.is_up)

    assert "close" not in store.calls


async def test_probe_that_does_not_end_is_left_behind(
    guard: Guard, store: MoodyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that swallows a cancellation holds `close` up for a moment, and is asked no more."""
    monkeypatch.setattr(module, "_CLOSE_SECONDS", READ)
    tasks = asyncio.all_tasks()
    gate = asyncio.Event()

    async def cling() -> None:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            await gate.wait()
            raise StoreError("still out of reach") from None

    store.mood = refuse
    await fail(guard)
    store.mood = cling
    await until(lambda: store.at_once == 1)
    await guard.close()
    store.calls.clear()
    gate.set()
    await until(lambda: tasks == asyncio.all_tasks())

    assert [] == store.calls


async def test_close_has_a_deadline(guard: Guard, store: MoodyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that hangs does not hold a shutdown up."""
    monkeypatch.setattr(module, "_CLOSE_SECONDS", READ)
    store.moods["close"] = hang
    with pytest.raises(StoreError, match="did not answer within"):
        await guard.close()


def test_probe_survives_a_change_of_the_event_loop(store: MoodyStore) -> None:
    """An outage that began on one event loop ends on the next, which asks for itself."""
    guard = make(store)
    store.mood = refuse
    asyncio.run(fail(guard))

    async def recover() -> None:
        await fail(guard)
        store.mood = well
        await until(lambda: guard.is_up)

    asyncio.run(recover())
    assert guard.is_up


@pytest.mark.parametrize("calls", [0, 1])
def test_probe_of_an_abandoned_event_loop_does_no_harm(store: MoodyStore, calls: int) -> None:
    """A loop that was closed with the probe in it, as some test clients do, hinders neither `close` nor the next."""
    guard = make(store)
    store.mood = refuse
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncio complains of what was left in it
    loop.run_until_complete(fail(guard))
    probe = guard._probe
    loop.close()

    async def close() -> None:
        await fail(guard, calls)
        assert (probe is guard._probe) == (calls == 0)
        await guard.close()

    asyncio.run(close())
    assert "close" == store.calls[-1]


async def send(guard: Guard, batches: Iterable[int]) -> None:
    """Sends each batch again until the store took it."""
    for sequence in batches:
        while True:
            try:
                await guard.apply("writer", sequence, [Increment(*REQ, sequence)])
            except StoreError:
                await asyncio.sleep(0)
            else:
                break


async def test_flapping_store_counts_exactly(guard: Guard, store: MoodyStore, caplog: pytest.LogCaptureFixture) -> None:
    """Through many short outages and lost replies each batch counts once, and every outage is two lines."""
    dice = random.Random(0)  # noqa: S311 -- no secret

    async def flap() -> None:
        if dice.random() < 0.7:
            await refuse()

    class Lossy(MoodyStore):
        async def apply(self, writer: str, sequence: int, increments: object) -> None:
            await MemoryStore.apply(self, writer, sequence, increments)  # type: ignore[arg-type]
            await self.touch("apply")

    lossy = Lossy()
    lossy.mood = flap
    guard = make(lossy)
    await send(guard, range(1, 101))
    lossy.mood = well
    await until(lambda: guard.is_up)

    assert 5050 == await guard.get_total(*REQ)
    levels = [record.levelname for record in caplog.records]
    assert ["ERROR", "WARNING"] * (len(levels) // 2) == levels
    # An outage lasts half a pause of the probe or longer, however fast the store fails.
    assert 2 <= len(levels) <= 2 * lossy.calls.count("open")
