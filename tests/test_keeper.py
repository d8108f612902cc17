"""stores/keeper.py: the book, and the file that follows it."""

# ruff: noqa: ASYNC240 -- a test may wait for its file
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coo_middleware.stores import Increment, StoreError
from coo_middleware.stores.disk import lock, unlock
from coo_middleware.stores.keeper import Book, Keeper
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.stores.state import State, decode, encode
from coo_middleware.stores.worker import Job
from coo_middleware.testing import Clock
from tests.test_disk import no_larger_file

COUNTER = ("p", "k", "req")
DAY = 86_400

Make = Callable[[], Keeper]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.json"


@pytest.fixture
def make(path: Path, clock: Clock) -> Make:
    return lambda: Keeper(path, lambda: MemoryStore(clock=clock), clock)


def save(keeper: Keeper) -> None:
    """One piece of work for the keeper, which must come to a good end."""
    job: Job[None] = Job(lambda _: None)
    keeper.work([job])
    assert job.future.done()


async def change(keeper: Keeper) -> None:
    """An increment in the book alone."""
    assert keeper.book is not None
    await keeper.book.memory.increment_usage(*COUNTER, 1)
    keeper.changes += 1


async def test_state_returns_as_it_was(clock: Clock) -> None:
    """Counters, windows, totals, means, responses and the writers' numbers survive in a document."""
    book = Book(MemoryStore(clock=clock), State(), clock())
    for metric in ("req", "latency"):
        await book.memory.set_usage("p", "set", metric, 7)
        for delta in (100, 300):
            await book.memory.increment_usage("p", "k", metric, delta)
            clock.advance(20)
    await book.apply("writer", 3, [Increment(*COUNTER, 5, age=7_000)], clock())
    await book.set_cache("text", b"text", 50, clock())
    await book.set_cache("short", b"text", 1, clock())
    clock.advance(1)

    memory = MemoryStore(clock=clock)
    again = Book(memory, decode(encode(book.snapshot(clock()))), clock())
    await again.apply("writer", 3, [Increment(*COUNTER, 5)], clock())
    for seconds in (0, 10, 40, 60):
        clock.advance(seconds)
        for counter in (COUNTER, ("p", "k", "latency"), ("p", "set", "req"), ("p", "set", "latency")):
            for window in (1, 60, 120, 7_200, DAY):
                assert await book.memory.get_usage_in_window(*counter, window) == await memory.get_usage_in_window(
                    *counter, window
                )
            assert await book.memory.get_usage(*counter) == await memory.get_usage(*counter)
            assert await book.memory.get_total(*counter) == await memory.get_total(*counter)
        for key in ("text", "short"):
            assert await book.memory.get_cache(key) == await memory.get_cache(key)


async def test_book_keeps_nothing_that_is_gone(clock: Clock) -> None:
    """Responses that left or expired, and writers silent for 35 days, leave book and document."""
    memory = MemoryStore(clock=clock, max_entries=2)
    book = Book(memory, State(), clock())
    await book.apply("silent", 1, [], clock())
    for key, ttl in (("expired", 1), ("pushed out", 90 * DAY), ("deleted", 90 * DAY), ("kept", 90 * DAY)):
        await book.set_cache(key, b"", ttl, clock())
    clock.advance(34 * DAY)
    await book.apply("busy", 1, [], clock())
    await memory.delete_cache("deleted")
    assert {"silent", "busy"} == book.snapshot(clock()).writers.keys()
    clock.advance(2 * DAY)
    state = book.snapshot(clock())

    assert {"busy"} == state.writers.keys() == book._writers.keys()
    assert {"kept"} == state.responses.keys() == book._expires.keys()


async def test_older_batch_sent_again_does_not_set_back_the_number(clock: Clock) -> None:
    """A late duplicate of an earlier batch leaves the writer's last number."""
    book = Book(MemoryStore(clock=clock), State(), clock())
    for sequence in (1, 2, 1, 2):
        await book.apply("writer", sequence, [Increment(*COUNTER, 1)], clock())

    assert 2 == await book.memory.get_total(*COUNTER)


async def test_nothing_is_written_without_a_change(make: Make, path: Path) -> None:
    """A document is as new as the last change, not as the last question."""
    keeper = make()
    save(keeper)
    assert not path.exists()
    await change(keeper)
    save(keeper)
    written = path.stat()
    save(keeper)
    keeper.rest()
    keeper.close()

    assert (written.st_ino, written.st_mtime_ns) == (path.stat().st_ino, path.stat().st_mtime_ns)


@pytest.mark.parametrize("content", ["", "{}", "{", '{"version": 1}', "\0" * 4096])
def test_broken_file_is_set_aside(make: Make, path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    """It keeps its content under a dated name, which the log tells once."""
    path.write_text(content)
    with caplog.at_level(logging.WARNING):
        keeper = make()
        save(keeper)
    keeper.close()

    (aside,) = path.parent.glob("data.json.corrupt-*Z")
    assert content == aside.read_text()
    assert [True] == [aside.name in each.message for each in caplog.records]


def test_document_of_another_version_is_left_alone(make: Make, path: Path) -> None:
    """It is neither read nor set aside nor overwritten, and the lock is free again."""
    path.write_text('{"version": 99}')
    with pytest.raises(StoreError, match="version 99, where this program writes 1"):
        save(make())

    assert ["data.json", "data.json.lock"] == sorted(each.name for each in path.parent.iterdir())
    unlock(lock(path))


async def test_child_of_a_fork_leaves_file_and_lock_to_its_parent(make: Make, path: Path) -> None:
    """The child drops its copies; its own attempt is refused, and the parent's lock and its name stay."""
    parent, child = make(), make()
    save(parent)
    await change(parent)
    assert parent._held is not None
    child._held, child.book, child.changes = os.dup(parent._held), parent.book, 1
    parent.before_fork()
    child.after_fork()
    assert child.book is None
    child.rest()
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
        save(child)
    child.after_fork()
    save(parent)
    parent.close()

    assert 1.0 == json.loads(path.read_text())["counters"]["p"]["k"]["req"]["total"]


async def test_change_that_comes_while_the_last_ones_are_written_is_written_too(
    make: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing ends when nothing is left to write."""
    keeper = make()
    save(keeper)
    await change(keeper)
    book = keeper.book
    assert book is not None
    late = [book.memory.increment_usage(*COUNTER, 1)]
    snapshot = book.snapshot

    def with_late_change(now: float) -> State:
        state = snapshot(now)
        if late:
            with pytest.raises(StopIteration):
                late.pop().send(None)
            keeper.changes += 1
        return state

    monkeypatch.setattr(book, "snapshot", with_late_change)
    keeper.close()

    assert 2.0 == json.loads(path.read_text())["counters"]["p"]["k"]["req"]["total"]
    assert 0 == keeper.losses


async def test_close_gives_up_what_the_disk_refuses(make: Make, path: Path) -> None:
    """It raises, counts the loss, and leaves the lock and the former document."""
    keeper = make()
    save(keeper)
    await change(keeper)
    save(keeper)
    former = path.read_bytes()
    await change(keeper)
    with no_larger_file(10), pytest.raises(OSError, match="File too large"):
        keeper.close()

    assert 1 == keeper.losses
    assert former == path.read_bytes()
    unlock(lock(path))
