"""The doctor: what the configuration says, how operations are tried, and the memory store."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError

import pytest

from coo_middleware.config import make_config
from coo_middleware.doctor import examine, operations
from coo_middleware.doctor.clock import judge_clock
from coo_middleware.doctor.finding import Finding, in_bytes, ok, refused
from coo_middleware.stores import RuntimeStore, StoreError, StoreSettings
from coo_middleware.stores.memory import MemoryStore
from tests.visits import CANARY, OPERATIONS, bad, the, visit

NOT_SHARED = [("warning", "persistence"), ("warning", "sharing")]


class SlowStore(MemoryStore):
    """Takes its time to read a response."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def get_cache(self, key: str) -> bytes | None:
        await asyncio.sleep(self._seconds)
        return await super().get_cache(key)


class ForgetfulStore(MemoryStore):
    """Acknowledges increments and forgets them."""

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        """Does nothing."""


class FailingStore(MemoryStore):
    """Refuses responses with a text that names no way out."""

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        raise StoreError("no room")


async def attempt(store: RuntimeStore, settings: StoreSettings | None = None) -> list[Finding]:
    return [each async for each in operations.try_operations(store, "doctor", settings or StoreSettings())]


async def test_memory_store_is_said_to_keep_and_share_nothing() -> None:
    """The memory store works, loses everything at a restart, and is not shared by several workers."""
    findings = await visit(type="memory")

    assert NOT_SHARED == bad(findings)
    assert "restart" in the("persistence", findings).text
    assert "worker" in the("sharing", findings).text


async def test_every_operation_of_the_contract_is_timed() -> None:
    """Each operation has a median in milliseconds, and no other finding has one."""
    findings = await visit(type="memory")

    assert OPERATIONS == [each.check for each in findings if each.milliseconds is not None]
    assert all(0 <= (each.milliseconds or 0) < 100 for each in findings)


async def test_operations_leave_no_total_and_no_response() -> None:
    """After the operations the counter's value and total are what they were, and no response is left."""
    store = MemoryStore()

    await attempt(store)

    assert (0, 0) == (
        await store.get_total("coo-doctor", "doctor", "req"),
        await store.get_usage("coo-doctor", "doctor", "req"),
    )
    assert {} == store.snapshot()[1]


async def test_a_second_visit_counts_as_well() -> None:
    """The mark that the last visit's batches left does not make the next one's count for nothing."""
    store = MemoryStore()

    assert [[], []] == [bad(await attempt(store)) for _ in range(2)]
    assert 0 == await store.get_total("coo-doctor", "doctor", "req")


async def test_an_operation_near_its_deadline_is_a_warning_beyond_it_a_fault() -> None:
    """Latency is judged by the deadline that the guard sets: half of it warns, all of it is a fault."""
    assert [("warning", "get_cache")] == bad(await attempt(SlowStore(0.06)))
    assert [("fault", "get_cache")] == bad(await attempt(SlowStore(0.11)))


async def test_the_deadlines_are_those_of_the_settings() -> None:
    """What the doctor judges by is what the configuration gives a request."""
    settings = StoreSettings(read_deadline_seconds=1.0, write_deadline_seconds=2.0)

    findings = await attempt(SlowStore(0.06), settings)

    assert [] == bad(findings)
    assert {"1000 ms", "2000 ms"} == {each.text.rpartition(" is ")[2] for each in findings}


async def test_a_store_that_hangs_ends_the_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation without an answer is a fault, and nothing more is tried."""
    monkeypatch.setattr(operations, "_PATIENCE_SECONDS", 0.05)

    findings = await attempt(SlowStore(60), StoreSettings(read_deadline_seconds=0.01, write_deadline_seconds=0.01))

    assert [("fault", "get_cache")] == bad(findings)
    assert OPERATIONS[:3] == [each.check for each in findings]


async def test_counters_that_do_not_move_are_a_fault() -> None:
    """Metrics not updating: an increment that was acknowledged and is not read is found."""
    findings = await attempt(ForgetfulStore())

    assert [("fault", "get_usage_in_window")] == bad(findings)
    assert "primary" in findings[-1].remedy


async def test_a_refusal_is_told_in_the_stores_words() -> None:
    """A StoreError ends the visit as a fault with its text."""
    findings = await attempt(FailingStore())

    assert [("fault", "set_cache")] == bad(findings)
    assert "no room" == findings[-1].text


def test_an_errors_way_out_becomes_the_remedy() -> None:
    """What an error says behind its last semicolon is what to do."""
    assert Finding("store", "fault", "a is wrong; b too", "do c") == refused(
        "store", StoreError("a is wrong; b too; do c")
    )


async def test_settings_that_explain_missing_metrics_are_found() -> None:
    """Metrics not updating: metrics that are switched off, and settings of another store, are warnings."""
    config = make_config(
        {
            "storage": {"runtime": {"type": "memory", "addr": f"redis://:{CANARY}@localhost", "password": CANARY}},
            "policy": {"metrics": {"enabled": False}, "cache": {"enabled": False}},
        }
    )

    findings = await examine(config)

    assert [("warning", "metrics"), ("warning", "configuration"), ("warning", "configuration")] == bad(findings)[:3]
    assert "the memory store; the cache is off" == findings[0].text
    assert CANARY not in repr(findings)


@pytest.mark.parametrize(("here", "level"), [(1000.0, "ok"), (1002.4, "ok"), (1003.0, "warning"), (997.0, "warning")])
def test_a_clock_is_judged_by_two_seconds(here: float, level: str) -> None:
    """Clocks may be 2 s apart, beyond the doubt with which that is known."""
    assert level == judge_clock("clock", 1000.0, here, 0.5).level


def test_a_skew_is_told_with_its_direction() -> None:
    """Ahead and behind are told apart."""
    assert "this machine is 60 s ahead of the server" == judge_clock("clock", 0, 60, 0).text
    assert "this machine is 60 s behind the server" == judge_clock("clock", 60, 0, 0).text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 20, "5 MiB"), (3 << 40, "3072.0 GiB")],
)
def test_sizes_are_told_in_a_unit_that_suits(number: int, text: str) -> None:
    """A size is told in the largest unit that leaves at least one of it."""
    assert text == in_bytes(number)


def test_findings_are_frozen() -> None:
    """A finding crosses floors and does not change."""
    with pytest.raises(FrozenInstanceError):
        ok("check", "text").text = "other"  # type: ignore[misc]
