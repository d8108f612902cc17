"""Outbox keeps increments until the store has them, and the store applies each batch once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.outbox import Outbox, make_outbox
from coo_middleware.stores import Increment, StoreError
from coo_middleware.stores.journal import Journal
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
    outbox = Outbox(store, "w", now=clock)
    outbox.add(REQ, 1)
    store.loses_replies = True
    lost = await send(outbox)
    outbox.add(REQ, 1)
    store.loses_replies = False
    sent = await send(outbox)

    assert (False, True) == (lost, sent)
    assert [("w", 1, 1), ("w", 1, 1), ("w", 2, 1)] == store.batches
    assert 2 == await store.get_total(*REQ)
    assert not outbox


async def test_what_waited_is_counted_in_the_windows_of_its_time() -> None:
    """After an outage of five minutes the last minute does not hold what happened before it, the last hour does."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, "w", now=clock)
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
    outbox = Outbox(store, "w", now=clock)
    for number in range(2_500):
        outbox.add(("openai", f"key{number}", "req"), 1)
    await outbox.send()

    assert [("w", 1, 1000), ("w", 2, 1000), ("w", 3, 500)] == store.batches


async def test_the_next_process_sends_what_a_journal_holds(tmp_path: Path) -> None:
    """Increments that were journalled survive their process, and count once though the store had some already."""
    clock = Clock()
    store = Distant(clock)
    outbox = Outbox(store, "w1", Journal(tmp_path, "w1"), clock)
    await outbox.open()
    outbox.add(REQ, 1)
    store.loses_replies = True
    await send(outbox)
    outbox.add(REQ, 1)
    await send(outbox)
    store.loses_replies = False
    await outbox.close()

    heir = Outbox(store, "w2", Journal(tmp_path, "w2"), clock)
    await heir.open()
    assert heir
    await heir.send()

    assert 2 == await store.get_total(*REQ)
    assert [("w1", 1), ("w1", 1), ("w1", 1), ("w1", 2)] == [batch[:2] for batch in store.batches]


@pytest.mark.parametrize("flushes", [50, 400])
async def test_an_outage_fills_no_disk(tmp_path: Path, flushes: int) -> None:
    """However often a journal is written while the store is away, few batches wait, and none of the sum is lost."""
    clock = Clock()
    store = Distant(clock)
    outbox = make_outbox(store, str(tmp_path))
    outbox._now = clock  # type: ignore[misc]
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
