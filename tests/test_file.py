"""stores/file.py: what the contract cannot see. The contract itself runs in test_stores.py."""

# ruff: noqa: ASYNC240 -- a test may wait for its file
import asyncio
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import settings
from hypothesis.stateful import rule, run_state_machine_as_test

from coo_middleware.core.limits import Take
from coo_middleware.stores import Increment, RuntimeStore, StoreError, StoreSettings, disk, file, keeper, open_store
from coo_middleware.stores.file import FileStore
from coo_middleware.testing import Clock
from tests.processes import COUNTER, Killing
from tests.proof import PROOF, report
from tests.store_machine import TTL, StoreMachine
from tests.test_disk import mode_of, no_larger_file

FORK = """
import asyncio, os, sys
from coo_middleware.stores import StoreError
from coo_middleware.stores.file import FileStore

store = FileStore(path=sys.argv[1])
COUNTER = ("p", "k", "req")

async def add():
    await store.increment_usage(*COUNTER, 1)
    return await store.get_total(*COUNTER)

asyncio.run(add())
child = os.fork()
if not child:
    try:
        asyncio.run(store.get_total(*COUNTER))
    except StoreError as error:
        os._exit(0 if f"in use by process {os.getppid()} on" in str(error) else 1)
    os._exit(2)
assert 0 == os.waitpid(child, 0)[1]
print(asyncio.run(add()))
asyncio.run(store.close())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "data.json"


def total_in(path: Path) -> float:
    """The total of the counter as it stands in the document."""
    total: float = json.loads(path.read_bytes())["counters"]["p"]["k"]["req"]["total"]
    return total


@pytest.mark.timeout(60 + 30 * PROOF)
def test_file_agrees_with_a_model(tmp_path: Path) -> None:
    """After any calls in any order, with time passing and the file opened anew between them, the store reads what a
    plain log would.
    """
    paths = (tmp_path / f"{number}.json" for number in range(10**6))

    class FileMachine(StoreMachine):
        """The model against a document."""

        async def make(self, clock: Clock) -> RuntimeStore:
            return FileStore(path=next(paths), usage_ttl_seconds=TTL, clock=clock)

        @rule()
        def reopen(self) -> None:
            self.wait(self.store.close())

    run_state_machine_as_test(FileMachine, settings=settings(max_examples=10 * PROOF, stateful_step_count=20))


async def test_settings_reach_the_store(path: Path) -> None:
    """The store's limits are those of `storage.runtime`."""
    asked = StoreSettings(type="file", path=str(path), usage_ttl_seconds=5, max_bytes=70_000, max_entries=2)
    async with open_store(asked) as store:
        assert isinstance(store, FileStore)
        book = store._keeper.book
        assert book is not None
        bounds = book.memory._responses._max_size, book.memory._responses._max_count

        assert (path, 5, 70_000, 2) == (store._path, book.memory._usage_ttl, *bounds)


async def test_file_and_folder_are_for_one_user(path: Path) -> None:
    """The folder is mode 0700, and every file in it 0600; nothing else lies there."""
    async with FileStore(path=path) as store:
        await store.increment_usage(*COUNTER, 1)

        assert 0o700 == mode_of(path.parent)
        assert {"data.json": 0o600, "data.json.lock": 0o600} == {
            each.name: mode_of(each) for each in path.parent.iterdir()
        }


async def test_second_store_is_refused(path: Path) -> None:
    """The error names the holder and the ways out; the first goes on, and the file is free when it closes."""
    second = FileStore(path=path)
    async with FileStore(path=path) as first:
        with pytest.raises(StoreError, match=rf"in use by process {os.getpid()} on .* since .*type sqlite"):
            await second.get_cache("key")
        await first.set_cache("key", b"value", 600)

    assert b"value" == await second.get_cache("key")
    await second.close()


async def test_store_that_was_never_open_may_be_closed(tmp_path: Path) -> None:
    """Closing after a refusal is harmless."""
    (tmp_path / "data.json").mkdir()
    store = FileStore(path=tmp_path / "data.json")
    with pytest.raises(StoreError, match="this is a link, a folder or a device"):
        await store.ping()

    await store.close()


async def test_changes_that_wait_together_share_a_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty changes at once cost two documents at most, and none is acknowledged before it lies on the disk."""
    written = []

    def count(path: Path, content: bytes) -> None:
        disk.replace(path, content)
        written.append(total_in(path))

    monkeypatch.setattr(keeper, "replace", count)
    async with FileStore(path=path) as store:

        async def add() -> None:
            await store.increment_usage(*COUNTER, 1)
            acknowledged.append(written[-1])

        acknowledged: list[float] = []
        await asyncio.gather(*(add() for _ in range(50)))

    assert 50 == written[-1]
    assert len(written) <= 2
    assert all(number <= total for number, total in enumerate(acknowledged, 1))


async def test_full_disk_keeps_changes_that_were_not_acknowledged(path: Path) -> None:
    """They raise StoreError, are read all the same, and count once when the disk has space and they are sent again."""
    async with FileStore(path=path) as store:
        await store.apply("writer", 1, [Increment(*COUNTER, 1)])
        former = path.read_bytes()
        with no_larger_file(10):
            for _ in range(2):
                with pytest.raises(StoreError, match="could not be opened or written: File too large; look at"):
                    await store.apply("writer", 2, [Increment(*COUNTER, 1)])
            with pytest.raises(StoreError, match="File too large"):
                await store.ping()
            assert 2 == await store.get_total(*COUNTER)
            assert former == path.read_bytes()
        await store.apply("writer", 2, [Increment(*COUNTER, 1)])

        assert 2 == total_in(path)


async def test_disk_that_has_space_again_gets_what_is_missing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to ask."""
    monkeypatch.setattr(file, "RETRY_SECONDS", 0.01)
    async with FileStore(path=path) as store:
        with no_larger_file(10), pytest.raises(StoreError):
            await store.increment_usage(*COUNTER, 1)
        until = monotonic() + 60
        while not path.exists() and monotonic() < until:  # noqa: ASYNC110 -- the disk offers no event to wait for
            await asyncio.sleep(0.001)

        assert 1 == total_in(path)


async def test_limits_are_not_written_down(path: Path) -> None:
    """Reservations cost no document, and end when the file is closed."""
    takes = (Take("calls", 1, 0, 1),)
    async with FileStore(path=path) as store:
        former = path.read_bytes() if path.exists() else b""
        found = [await store.reserve(ticket, [takes], 600) for ticket in "ab"]
        assert former == (path.read_bytes() if path.exists() else b"")
    async with store:
        found.append(await store.reserve("c", [takes], 600))

    assert [0, -1, 0] == [each.choice for each in found]


async def test_close_says_what_could_not_be_written(path: Path) -> None:
    """The error is a StoreError, and the lock is free."""
    store = FileStore(path=path)
    with no_larger_file(300):
        with pytest.raises(StoreError):
            await store.increment_usage(*COUNTER, 1)
        with pytest.raises(StoreError, match="File too large"):
            await store.close()

    async with FileStore(path=path) as other:
        assert 0 == await other.get_total(*COUNTER)


async def test_change_that_a_failed_close_gave_up_is_not_acknowledged(path: Path) -> None:
    """Its caller learns that it is lost, though the file opens again before it asks."""
    async with FileStore(path=path) as store:
        run, asked = store._worker.run, asyncio.Event()

        async def run_late(function: object) -> None:
            asked.set()
            with no_larger_file(300), pytest.raises(StoreError):
                await store.close()
            await run(lambda _: None)

        store._worker.run = run_late  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreError, match="before the store was closed; send the change again"):
            await store.increment_usage(*COUNTER, 1)
        assert asked.is_set()


def test_store_serves_several_event_loops(path: Path) -> None:
    """Loops in turn, with and without closing in between."""
    store = FileStore(path=path)
    for _ in range(3):
        asyncio.run(store.increment_usage(*COUNTER, 1))
    asyncio.run(store.close())
    assert 3 == asyncio.run(store.get_total(*COUNTER))
    asyncio.run(store.close())


def test_store_stays_with_the_parent_after_a_fork(path: Path) -> None:
    """The child's calls are refused with the name of the parent, which goes on."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(path)], check=True, timeout=60, capture_output=True, text=True
    )

    assert "2.0\n" == done.stdout


async def test_cancelled_operations_break_nothing(path: Path) -> None:
    """A change that was cancelled is written with the next one or with the closing."""
    async with FileStore(path=path) as store:
        for number in range(20 * PROOF):
            changing = asyncio.create_task(store.increment_usage(*COUNTER, 1))
            for _ in range(1 + number % 4):
                await asyncio.sleep(0)
            changing.cancel()
            await asyncio.wait([changing])
        made = await store.get_total(*COUNTER)

    assert made == total_in(path) == 20 * PROOF


async def test_file_cannot_be_read_by_others_even_for_a_moment(path: Path) -> None:
    """Whatever name shows up while documents are written, its mode is 0600."""
    modes: set[int] = set()
    async with FileStore(path=path) as store:
        for _ in range(10):
            writing = asyncio.create_task(store.increment_usage(*COUNTER, 1))
            while not writing.done():
                await asyncio.sleep(0)
                for name in ("data.json", "data.json.new"):
                    try:
                        modes.add(stat.S_IMODE((path.parent / name).stat().st_mode))
                    except FileNotFoundError:
                        continue
            await writing

    assert {0o600} == modes


async def test_limits_hold_over_a_restart(path: Path) -> None:
    """With lower limits those responses stay that expire last, and counters return all."""
    counters = [("p", f"{number}", "req") for number in range(20)]
    async with FileStore(path=path) as store:
        for number in range(10):
            await store.set_cache(f"{number}", b"value", 600 + number)
        await asyncio.gather(*(store.increment_usage(*counter, 1) for counter in counters))
    async with FileStore(path=path, max_entries=3) as store:
        kept = [number for number in range(10) if await store.get_cache(f"{number}")]

        assert [7, 8, 9] == kept
        assert [1.0] * 20 == [await store.get_total(*counter) for counter in counters]


@pytest.mark.proof
@pytest.mark.timeout(60 + 30 * PROOF)
def test_kill_loses_and_doubles_nothing_that_was_acknowledged(path: Path) -> None:
    """Whenever the writer is killed, the document is whole, and every batch counts once."""
    killing = Killing("file", path)
    killing.run(10 * PROOF)
    report(killing.told(10 * PROOF))

    assert (0, 0, 0) == (killing.torn, killing.lost, killing.doubled)
    assert killing.acknowledged + 1 == asyncio.run(killing.finish())
    assert killing.acknowledged >= PROOF


@pytest.mark.proof
@pytest.mark.timeout(60 + 30 * PROOF)
def test_kill_tears_a_file_that_is_written_in_place(tmp_path: Path) -> None:
    """The loop above can fail: without our care the same kills leave a torn document."""
    killing = Killing("file", tmp_path / "data.json")
    kills = 0
    # On a busy machine some kills come before the first write.
    while kills < 10 * PROOF or (killing.torn == 0 and kills < 200):
        killing.run_control(10)
        kills += 10
    report(f"control, a file written in place: {kills} kills, {killing.torn} torn")

    assert killing.torn > 0
