"""Recorder: increments gather, leave in one batch, and none is lost or doubled by a store that fails."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from coo_middleware import recorder as module
from coo_middleware.config import MetricsPolicy
from coo_middleware.core.outcome import Usage
from coo_middleware.core.record import Record
from coo_middleware.outbox import Outbox
from coo_middleware.recorder import OTHER, Recorder
from coo_middleware.stores import Increment, StoreAwayError, StoreError
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import Clock


class Flaky(MemoryStore):
    """A memory store that raises what `faults` holds, one a batch, and does so after it has applied the batch."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__()
        self.faults = list(faults)
        self.sequences: list[int] = []
        self.applied = asyncio.Event()

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        self.sequences.append(sequence)
        await super().apply(writer, sequence, increments)
        if self.faults:
            raise self.faults.pop(0)
        self.applied.set()


def make_record(key_id: str = "k1", duration: float = 0.25, provider: str = "openai") -> Record:
    return Record(
        provider=provider,
        key_id=key_id,
        operation="chat",
        model="m",
        status=200,
        cache_status="miss",
        usage=Usage(9, 2),
        duration=duration,
        error_type="",
        stored="",
    )


def make_recorder(store: MemoryStore, flush_seconds: float = 10.0, max_keys: int = 2) -> Recorder:
    return Recorder(Outbox(store), MetricsPolicy(flush_seconds=flush_seconds, max_keys=max_keys))


async def test_records_leave_in_one_batch() -> None:
    """Two records of one key are one batch: sums of tokens, and latency as the mean of both in milliseconds."""
    store = Flaky()
    recorder = make_recorder(store)
    recorder.record(make_record(duration=0.25))
    recorder.record(make_record(duration=0.75))
    await recorder.drain()
    metrics = ("req", "input_tokens", "output_tokens", "tokens", "errors", "latency")

    assert [1] == store.sequences
    assert [2, 18, 4, 22, 0, 500] == [await store.get_usage("openai", "k1", metric) for metric in metrics]


async def test_a_batch_leaves_by_itself() -> None:
    """After `flush_seconds` the batch goes without anybody asking, and again for what comes later."""
    store = Flaky()
    recorder = make_recorder(store, flush_seconds=0.001)
    async with asyncio.timeout(10):
        for _ in range(2):
            store.applied.clear()
            recorder.record(make_record())
            await store.applied.wait()

    assert [1, 2] == store.sequences


async def test_a_failed_batch_is_sent_again_under_its_own_number(caplog: pytest.LogCaptureFixture) -> None:
    """A store that applied a batch and then failed gets it again with the same number, before what is newer; nothing
    is lost or doubled.
    """
    store = Flaky(StoreError("secret"), StoreError("secret"))
    recorder = make_recorder(store)
    recorder.record(make_record())
    await recorder.drain()
    recorder.record(make_record())
    await recorder.drain()
    await recorder.drain()

    assert [1, 1, 1, 2] == store.sequences
    assert 2 == await store.get_total("openai", "k1", "req")
    assert {"store_errors": 2} == recorder.counts
    assert "secret" not in caplog.text


async def test_a_failed_batch_is_tried_again_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but time has to pass: also after a drain that failed, the batch is on its way again."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)
    store = Flaky(StoreError(), StoreError())
    recorder = make_recorder(store)
    recorder.record(make_record())
    recorder._timer = None
    await recorder.drain()
    async with asyncio.timeout(10):
        await store.applied.wait()

    assert [1, 1, 1] == store.sequences


async def test_keys_beyond_the_bound_count_under_other() -> None:
    """Of three keys two have their own counters; the third is not lost but counted under `other`."""
    store = MemoryStore()
    recorder = make_recorder(store)
    for key_id in ("k1", "k2", "k3", "k1"):
        recorder.record(make_record(key_id))
    await recorder.drain()

    assert [2, 1, 0] == [await store.get_total("openai", key_id, "req") for key_id in ("k1", "k2", "k3")]
    assert 1 == await store.get_total(OTHER, OTHER, "req")


@pytest.mark.parametrize("name", ["k" * 3000, "\ud800", 7, []], ids=["long", "surrogate", "number", "list"])
async def test_a_name_that_no_store_takes_holds_nothing_up(name: str) -> None:
    """A handler may name a key as it likes: a name that cannot be one counts under `other` and the batch goes."""
    store = MemoryStore()
    recorder = make_recorder(store)
    recorder.record(make_record(name))
    recorder.record(make_record())
    await recorder.drain()

    assert [1, 1] == [await store.get_total(*key, "req") for key in ((OTHER, OTHER), ("openai", "k1"))]
    assert {} == recorder.counts


async def test_drain_waits_for_spawned_work() -> None:
    """Spawned work is held until it is done, and drain returns after it."""
    recorder = make_recorder(MemoryStore())
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append("work")

    recorder.spawn(work())
    await recorder.drain()

    assert ["work"] == done
    assert not recorder._tasks


async def test_drain_waits_for_work_that_begins_meanwhile() -> None:
    """Work that is spawned while a batch is on its way is waited for as well."""
    done: list[str] = []

    async def work() -> None:
        done.append("work")

    class Spawning(Flaky):
        async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
            await super().apply(writer, sequence, increments)
            recorder.spawn(work())

    recorder = make_recorder(Spawning())
    recorder.record(make_record())
    await recorder.drain()

    assert ["work"] == done


async def test_who_gives_up_draining_cancels_no_work() -> None:
    """A drain that is cancelled leaves the work going on."""
    recorder = make_recorder(MemoryStore())
    gate = asyncio.Event()
    done: list[str] = []

    async def work() -> None:
        await gate.wait()
        done.append("work")

    recorder.spawn(work())
    draining = asyncio.create_task(recorder.drain())
    await asyncio.sleep(0)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    gate.set()
    await recorder.drain()

    assert ["work"] == done


def test_sums_outlive_their_event_loop() -> None:
    """What a loop recorded and did not send, the next one sends; work cut short by the loop's end is not waited for."""
    store = MemoryStore()
    recorder = make_recorder(store)

    async def record() -> None:
        recorder.record(make_record())
        recorder.spawn(asyncio.sleep(60))

    async def read() -> float:
        await recorder.drain()
        return await store.get_total("openai", "k1", "req")

    asyncio.run(record())
    asyncio.run(record())

    assert 2 == asyncio.run(read())


def test_each_event_loop_has_its_own_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer that its loop did not live to see keeps no later batch waiting."""
    store = Flaky()
    recorder = make_recorder(store)

    async def record() -> None:
        recorder.record(make_record())

    async def record_and_wait() -> None:
        await record()
        async with asyncio.timeout(10):
            await store.applied.wait()

    asyncio.run(record())
    monkeypatch.setattr(recorder, "_policy", MetricsPolicy(flush_seconds=0.001))
    asyncio.run(record_and_wait())

    assert [1] == store.sequences


def test_a_loop_that_stops_in_mid_batch_holds_nothing_up() -> None:
    """A loop that is left with a batch on its way, as a signal may leave it, blocks no later one: the batch goes again
    under its own number.
    """

    class Hanging(Flaky):
        async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
            await super().apply(writer, sequence, increments)
            if len(self.sequences) == 1:
                await asyncio.Event().wait()

    async def record() -> None:
        recorder.record(make_record())
        await store.applied.wait()

    store = Hanging()
    recorder = make_recorder(store, flush_seconds=0.001)
    with asyncio.Runner() as left:
        left.run(record())
        asyncio.run(asyncio.wait_for(recorder.drain(), 10))

    assert [1, 1] == store.sequences
    assert 1 == asyncio.run(store.get_total("openai", "k1", "req"))


def test_a_report_tells_kind_and_place_only(caplog: pytest.LogCaptureFixture) -> None:
    """A fault's log line names the error's class and where it was raised, for its text might quote a prompt; the first,
    the tenth and the hundredth are logged.
    """
    recorder = make_recorder(MemoryStore())

    def fail() -> None:
        raise KeyError("a prompt")

    try:
        fail()
    except KeyError as error:
        recorder.report("internal_errors", error)
    for _ in range(98):
        recorder.report("internal_errors", KeyError("a prompt"))
    recorder.report("internal_errors", KeyError("a prompt"))

    assert {"internal_errors": 100} == recorder.counts
    assert [("coo_middleware", logging.ERROR)] * 3 == [(name, level) for name, level, _ in caplog.record_tuples]
    assert "internal_errors (1 so far): KeyError at " in caplog.messages[0]
    assert ".fail:" in caplog.messages[0]
    assert "internal_errors (100 so far): KeyError at unknown; the request went on" == caplog.messages[2]
    assert "prompt" not in caplog.text


def test_a_store_that_is_known_to_be_away_is_counted_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The guard has logged the outage; what the requests meet meanwhile only counts."""
    recorder = make_recorder(MemoryStore())
    recorder.report("store_errors", StoreAwayError("out of reach"))

    assert {"store_errors": 1} == recorder.counts
    assert [] == caplog.messages


@pytest.mark.parametrize("model", ["\ud800", "m" * 10_000, "a\nb"], ids=["surrogate", "long", "line"])
async def test_a_model_that_no_store_takes_holds_nothing_up(model: str) -> None:
    """A made-up model is counted as `other`, and what other requests counted is in the store."""
    store = MemoryStore()
    recorder = make_recorder(store)
    recorder.record(replace(make_record(), model=model))
    recorder.record(make_record())
    await recorder.drain()

    assert 2 == await store.get_total("openai", "k1", "req")
    assert 1 == await store.get_total("openai", "k1", "requests:other:miss:2xx")
    assert 1 == await store.get_total("openai", "k1", "requests:m:miss:2xx")


async def test_series_beyond_the_bound_count_under_other() -> None:
    """A thousand models make no more counters than are allowed, and none of their requests is lost."""
    store = MemoryStore()
    recorder = Recorder(Outbox(store), MetricsPolicy(flush_seconds=10, max_series=100))
    for number in range(1000):
        recorder.record(replace(make_record(), model=f"m{number}"))
    await recorder.drain()
    recorder.add_saving("openai", "k1", "m-late", tokens=5, cost=0.5)
    await recorder.drain()
    counters = [name for _, _, name in store._counters if ":" in name]
    totals = [await store.get_total("openai", "k1", name) for name in counters if name.startswith("requests:")]

    assert len(counters) <= 100 + 8
    assert 1000 == sum(totals)
    assert 5 == await store.get_total("openai", "k1", "tokens_saved")
    assert 5 == await store.get_total("openai", "k1", "tokens_not_used:other")


async def test_without_series_there_are_the_metrics_of_the_guide_alone() -> None:
    """`series: false` counts no more than the guide asks for."""
    store = MemoryStore()
    recorder = Recorder(Outbox(store), MetricsPolicy(series=False))
    recorder.record(make_record())
    recorder.add_saving("openai", "k1", "m", tokens=5, cost=None)
    await recorder.drain()

    assert not [name for _, _, name in store._counters if ":" in name]
    assert 5 == await store.get_total("openai", "k1", "tokens_saved")


async def test_many_records_are_counted_a_few_at_a_time() -> None:
    """However many records wait, other work of the loop has its turn between some of them and the next, and a drain
    waits for all.
    """
    store = MemoryStore()
    recorder = make_recorder(store)
    waiting: list[int] = []

    async def watch() -> None:
        while recorder._pending:
            waiting.append(len(recorder._pending))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    for _ in range(1000):
        recorder.record(make_record())
    await recorder.drain()
    await watching

    assert all(before - after <= 2 * module._MOST_AT_ONCE for before, after in pairwise([1000, *waiting, 0]))
    assert 1000 == await store.get_total("openai", "k1", "req")


async def test_records_do_not_pile_up_until_they_are_sent() -> None:
    """Records are counted when there are many of them, however long a batch takes to leave."""
    recorder = make_recorder(MemoryStore(), flush_seconds=10.0)
    for _ in range(5):
        for _ in range(module._MOST_AT_ONCE):
            recorder.record(make_record())
        await asyncio.sleep(0)

    assert [] == recorder._pending


async def test_one_odd_record_costs_no_other() -> None:
    """A record whose amounts are no numbers, as a handler may report them, is a fault that is counted, and those beside
    it are counted as what they are.
    """
    store = MemoryStore()
    recorder = make_recorder(store)
    odd = replace(make_record(), duration="long")  # type: ignore[arg-type]
    for record in (make_record(), odd, make_record()):
        recorder.record(record)
    await recorder.drain()

    assert 2 == await store.get_total("openai", "k1", "req")
    assert {"internal_errors": 1} == recorder.counts


def test_a_child_counts_nothing_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited when a process was forked is its parent's to count; what the child records is its own."""
    store = MemoryStore()
    recorder = make_recorder(store)

    async def record() -> None:
        recorder.record(make_record())

    async def record_and_drain() -> float:
        await record()
        await recorder.drain()
        return await store.get_total("openai", "k1", "req")

    asyncio.run(record())
    monkeypatch.setattr("coo_middleware.outbox.os.getpid", lambda: -1)

    assert 1 == asyncio.run(record_and_drain())


async def test_a_record_counts_in_the_window_of_its_time() -> None:
    """However long a record waits to be counted, it counts as made when it was recorded."""
    clock = Clock()
    store = MemoryStore(clock=clock)
    recorder = Recorder(Outbox(store, now=clock), MetricsPolicy(flush_seconds=10))
    recorder.record(make_record())
    clock.advance(8)
    await recorder.drain()

    assert [0, 1] == [await store.get_usage_in_window("openai", "k1", "req", seconds) for seconds in (5, 10)]


async def test_observers_are_told_at_once() -> None:
    """An observer has each record, under the names that it is counted by, before the request has ended; one that raises
    keeps none from another.
    """
    told: list[Record] = []

    def fail(record: Record) -> None:
        raise LookupError

    recorder = Recorder(Outbox(MemoryStore()), MetricsPolicy(flush_seconds=10, max_models=1), fail, told.append)
    for model in ("m", "n"):
        recorder.record(replace(make_record(), model=model))

    assert ["m", OTHER] == [record.model for record in told]
    assert {"observer_errors": 2} == recorder.counts
