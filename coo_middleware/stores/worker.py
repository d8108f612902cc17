"""Worker: a thread of its own for what a store reads and writes, apart from every event loop."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Sequence

C = TypeVar("C")
T = TypeVar("T")

_MOST_TOGETHER: Final = 256


@dataclass(frozen=True, slots=True)
class Job(Generic[C]):
    """`function` is to be called with what the hand works on, and `future` takes what comes of it."""

    function: Callable[[C], object]
    future: Future[object] = field(default_factory=Future)


class Hand(ABC, Generic[C]):
    """What a worker works with. No two of its methods run at the same time."""

    @abstractmethod
    def work(self, jobs: Sequence[Job[C]]) -> None:
        """Settles the future of each job; what it raises is the fate of those that are left."""

    def rest(self) -> bool:
        """Called every so often for what nobody waits for; True asks to be called again soon."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Lets go of everything; a later job takes it up again."""

    @abstractmethod
    def before_fork(self) -> None:
        """Lets go of what must not be copied into a child process."""

    @abstractmethod
    def after_fork(self) -> None:
        """In a child process: forgets what is the parent's."""


class Worker(Generic[C]):
    """Runs jobs in the order in which they came. Those that wait at the same time go to the hand together.

    The thread begins with the first job and ends with `stop`, after which a further job begins another. A fork waits
    for the hand to finish; the child process has a thread of its own as soon as it asks for one.
    """

    def __init__(self, name: str, hand: Hand[C], interval: float) -> None:
        self._name: Final = name
        self._hand: Final = hand
        self._interval: Final = interval
        self._starting: Final = Lock()
        self._working: Final = Lock()
        self._queue: SimpleQueue[Job[C] | None] = SimpleQueue()
        self._ended: Future[None] | None = None
        _WORKERS.add(self)

    async def run(self, function: Callable[[C], T]) -> T:
        """What `function` returns or raises, after the hand has made it last."""
        job = Job(function)
        with self._starting:
            if self._ended is None:
                self._start()
            self._queue.put(job)
        return cast("T", await wrap_future(job.future))

    async def stop(self) -> None:
        """Returns when the jobs so far are done and the hand has let go; raises what the hand raises then."""
        with self._starting:
            ended, self._ended = self._ended, None
            self._queue.put(None)
            self._queue = SimpleQueue()
        if ended is not None:
            await wrap_future(ended)

    def before_fork(self) -> None:
        """Waits until nothing is under way, and keeps it so."""
        self._starting.acquire()
        self._working.acquire()
        with suppress(Exception):
            self._hand.before_fork()

    def after_fork(self, *, child: bool) -> None:
        """Goes on; a child process begins without a thread and without the parent's jobs."""
        if child:
            self._ended, self._queue = None, SimpleQueue()
            self._hand.after_fork()
        self._working.release()
        self._starting.release()

    def _start(self) -> None:
        ended: Future[None] = Future()
        # As if it ran already, so that nobody who stops waiting for the end can call it off.
        ended.set_running_or_notify_cancel()
        # A daemon: a store that was never closed must not keep its process from ending.
        Thread(target=self._live, args=(self._queue, ended), name=self._name, daemon=True).start()
        self._ended = ended

    def _live(self, queue: SimpleQueue[Job[C] | None], ended: Future[None]) -> None:
        due, going = monotonic() + self._interval, True
        while going:
            jobs = _gather(queue, max(0.0, due - monotonic()))
            going = None not in jobs
            self._do([job for job in jobs if job and job.future.set_running_or_notify_cancel()])
            if monotonic() >= due:
                due = monotonic() + (0.0 if self._rest() else self._interval)
        try:
            with self._working:
                self._hand.close()
        except Exception as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    def _do(self, jobs: list[Job[C]]) -> None:
        if not jobs:
            return
        with self._working:
            try:
                self._hand.work(jobs)
            except Exception as error:
                for job in jobs:
                    if not job.future.done():
                        job.future.set_exception(error)

    def _rest(self) -> bool:
        # Nobody waits for it: what fails now fails again when somebody does.
        with self._working, suppress(Exception):
            return self._hand.rest()
        return False


def _gather(queue: SimpleQueue[Job[C] | None], patience: float) -> list[Job[C] | None]:
    jobs: list[Job[C] | None] = []
    with suppress(Empty):
        jobs.append(queue.get(timeout=patience))
        while len(jobs) < _MOST_TOGETHER and jobs[-1] is not None:
            jobs.append(queue.get_nowait())
    return jobs


_WORKERS: Final[WeakSet[Worker[Any]]] = WeakSet()
_PAUSED: Final[list[Worker[Any]]] = []


def _before_fork() -> None:
    # In one order for all, lest two threads that fork wait for each other.
    for worker in sorted(_WORKERS, key=id):
        worker.before_fork()
        _PAUSED.append(worker)


def _after_fork(*, child: bool) -> None:
    while _PAUSED:
        _PAUSED.pop().after_fork(child=child)


os.register_at_fork(
    before=_before_fork,
    after_in_parent=lambda: _after_fork(child=False),
    after_in_child=lambda: _after_fork(child=True),
)
