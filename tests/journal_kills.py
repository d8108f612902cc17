"""Processes that share one journal folder until they are killed, and a store that remembers what it was sent."""

from __future__ import annotations

import os
import random
import time
from collections import Counter, deque
from itertools import count
from typing import TYPE_CHECKING, Final

from coo_middleware.core.backlog import Amount, Batch
from coo_middleware.stores.journal import Journal
from tests.processes import CONTEXT

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

AMOUNTS: Final = 3


class Log:
    """Lines that outlive their writer's kill: each is one write at the end of the file."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def add(self, line: str) -> None:
        os.write(self.file, line.encode() + b"\n")


def send(store: Log, batch: Batch) -> None:
    """The store notes the batch; `applied` tells what it makes of it."""
    store.add(" ".join([batch.writer, str(batch.sequence), *(amount.name[1] for amount in batch.amounts)]))


def applied(path: Path) -> Counter[str]:
    """How often each increment counts in a store that applies a batch unless it had its number or a later one."""
    counts: Counter[str] = Counter()
    last: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        writer, sequence, *names = line.split()
        if int(sequence) > last[writer]:
            last[writer] = int(sequence)
            counts.update(names)
    return counts


def make_batch(writer: str, sequence: int) -> Batch:
    """A batch of increments that no other has."""
    names = [("p", f"{writer}-{sequence}-{part}", "req") for part in range(AMOUNTS)]
    return Batch(writer, sequence, tuple(Amount(name, 1_700_000_000.25, 1.5, 1) for name in names))


def work(folder: Path, writer: str) -> None:
    """Adopts, appends, merges, sends and forgets, in any order that is allowed."""
    dice = random.Random(writer)  # noqa: S311 -- not for secrets
    acknowledged, store = Log(folder / "acknowledged"), Log(folder / "store")
    journal = Journal(folder / "journal", writer)
    queue = deque(journal.open())
    for sequence in count(1):
        batch = make_batch(writer, sequence)
        queue.append(batch)
        journal.append(batch)
        acknowledged.add(" ".join(amount.name[1] for amount in batch.amounts))
        if dice.random() < 0.2:
            merge(journal, queue, writer)
        while queue and dice.random() < 0.6:
            send(store, queue[0])
            journal.forget(queue.popleft())


def merge(journal: Journal, queue: deque[Batch], writer: str) -> None:
    """Makes one batch of those that were never sent, as the outbox does."""
    unsent = [batch for batch in [*queue][1:] if batch.writer == writer]
    if unsent:
        amounts = tuple(amount for batch in unsent for amount in batch.amounts)
        merged = Batch(writer, unsent[0].sequence, amounts)
        journal.replace(unsent, [merged])
        for _ in unsent:
            queue.pop()
        queue.append(merged)


def kill(folder: Path, kills: int) -> None:
    """Keeps two processes at work, killing one or the other at any moment; afterwards all that they left is sent."""
    dice = random.Random(kills)  # noqa: S311 -- not for secrets
    workers: list[BaseProcess] = []
    for number in range(kills + 2):
        if len(workers) == 2:
            # One in four while it begins.
            time.sleep(dice.choice((0.0, 0.03, 0.03, 0.03)) + dice.uniform(0, 0.03))
            victim = workers.pop(dice.randrange(2))
            victim.kill()
            victim.join()
        workers.append(CONTEXT.Process(target=work, args=(folder, f"{number:05}")))
        workers[-1].start()
    for worker in workers:
        worker.kill()
        worker.join()
    store, last = Log(folder / "store"), Journal(folder / "journal", "last")
    for batch in last.open():
        send(store, batch)
        last.forget(batch)
    last.close()
