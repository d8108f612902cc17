"""Outbox keeps increments until the store has them, and the store applies each batch once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.outbox import Outbox
from coo_middleware.stores import Increment, StoreError
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REQ = ("openai", "key1", "req")


class Distant(MemoryStore):
    """A store that is away when it is told to be, and may lose its reply."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.is_away = False
        self.loses_replies = False
        self.batches: list[tuple[str, int, int]] = []

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        if self.is_away:
            raise StoreError("away")
        self.batches.append((writer, sequence, len(increments)))
        await super().apply(writer, sequence, increments)
        if self.loses_replies:
            raise StoreError("the reply was lost")


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def send(outbox: Outbox) -> bool:
    try:
        await outbox.send()
    except StoreError:
        return False
    return True


async def test_a_lost_reply_doubles_nothing() -> None:
    """A batch whose fate is unknown is sent again under its number, before anything newer."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, now=clock)
    outbox.add(REQ, 1)
    store.loses_replies = True
    lost = await send(outbox)
    outbox.add(REQ, 1)
    store.loses_replies = False
    sent = await send(outbox)

    assert (False, True) == (lost, sent)
    assert [(1, 1), (1, 1), (2, 1)] == [batch[1:] for batch in store.batches]
    assert 2 == await store.get_total(*REQ)
    assert not outbox


async def test_what_waited_is_counted_in_the_windows_of_its_time() -> None:
    """After an outage of five minutes the last minute does not hold what happened before it, the last hour does."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, now=clock)
    store.is_away = True
    outbox.add(REQ, 3)
    await send(outbox)
    clock.advance(300)
    outbox.add(REQ, 4)
    store.is_away = False
    await outbox.send()

    assert [4, 7, 4] == [
        await store.get_usage_in_window(*REQ, 60),
        await store.get_usage_in_window(*REQ, 3600),
        await store.get_usage(*REQ),
    ]


async def test_a_batch_is_bounded() -> None:
    """Many counters leave in several batches, none of which is too much for one deadline."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, now=clock)
    for number in range(2_500):
        outbox.add(("openai", f"key{number}", "req"), 1)
    await outbox.send()

    assert [(1, 1000), (2, 1000), (3, 500)] == [batch[1:] for batch in store.batches]


async def test_the_next_process_sends_what_a_journal_holds(tmp_path: Path) -> None:
    """Increments that were journalled survive their process, and count once though the store had some already."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, str(tmp_path), now=clock)
    await outbox.open()
    outbox.add(REQ, 1)
    store.loses_replies = True
    await send(outbox)
    outbox.add(REQ, 1)
    await send(outbox)
    store.loses_replies = False
    await outbox.close()

    heir = Outbox(store, str(tmp_path), now=clock)
    await heir.open()
    assert heir
    await heir.send()

    assert 2 == await store.get_total(*REQ)
    assert [1, 1, 1, 2] == [sequence for _, sequence, _ in store.batches]
    assert 1 == len({writer for writer, _, _ in store.batches})


@pytest.mark.parametrize("flushes", [50, 400])
async def test_an_outage_fills_no_disk(tmp_path: Path, flushes: int) -> None:
    """However often a journal is written while the store is away, few batches wait, and none of the sum is lost."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, str(tmp_path), now=clock)
    await outbox.open()
    store.is_away = True
    for _ in range(flushes):
        outbox.add(REQ, 1)
        await send(outbox)
        clock.advance(0.05)
    waiting = len(outbox._queue)
    store.is_away = False
    await outbox.send()
    await outbox.close()

    assert waiting <= 66
    assert flushes == await store.get_total(*REQ)
    assert [] == files_in(tmp_path)


async def test_a_disk_that_refuses_keeps_nothing_from_the_store(tmp_path: Path) -> None:
    """What cannot be journalled is sent all the same, and the journal's fault is told afterwards."""
    clock = Clock()
    store = Distant(clock)
    occupied = tmp_path / "file"
    occupied.write_text("no folder")
    outbox = Outbox(store, str(occupied), now=clock)
    outbox.add(REQ, 1)

    assert not await send(outbox)
    assert 1 == await store.get_total(*REQ)
    assert not outbox


async def test_a_batch_that_no_store_takes_holds_up_nothing() -> None:
    """A batch that is refused as invalid is dropped and told, and what waits behind it is sent."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, now=clock)
    outbox.add(("openai", "k" * 4_000, "req"), 1)
    with pytest.raises(ValueError, match="2048 bytes"):
        await outbox.send()
    outbox.add(REQ, 1)
    await outbox.send()

    assert 1 == await store.get_total(*REQ)


async def test_a_fork_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a parent gathered is the parent's to send, and its child sends under a name of its own."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, now=clock)
    outbox.add(REQ, 1)
    await outbox.send()
    outbox.add(REQ, 10)
    is_child = [outbox.follow_fork()]
    monkeypatch.setattr("coo_middleware.outbox.os.getpid", lambda: -1)
    is_child += [outbox.follow_fork(), outbox.follow_fork()]
    outbox.add(REQ, 2)
    await outbox.send()

    assert [False, True, False] == is_child
    assert 3 == await store.get_total(*REQ)
    assert 2 == len({writer for writer, _, _ in store.batches})


async def test_many_batches_that_cannot_merge_on_disk_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that the disk refuses loses nothing."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, str(tmp_path), now=clock)
    store.is_away = True

    def refuse(*_: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr("coo_middleware.stores.journal.Journal.replace", refuse)
    for _ in range(70):
        outbox.add(REQ, 1)
        await send(outbox)
    store.is_away = False
    await send(outbox)

    assert 70 == await store.get_total(*REQ)
