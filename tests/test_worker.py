"""stores/worker.py: the thread beside the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic

import pytest

from coo_middleware.stores.worker import Hand, Job, Worker


class Notes(Hand[list[str]]):
    """A hand that writes down what it does."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.groups: list[int] = []
        self.rests = 0
        self.fails = False

    def work(self, jobs: Sequence[Job[list[str]]]) -> None:
        self.groups.append(len(jobs))
        for job in jobs:
            job.future.set_result(job.function(self.notes))

    def rest(self) -> bool:
        self.rests += 1
        if self.rests % 3 == 0:
            raise OSError
        return self.rests % 3 == 1

    def close(self) -> None:
        self.notes.append("closed")
        if self.fails:
            raise OSError("cannot close")

    def before_fork(self) -> None:
        self.notes.append("before fork")
        raise OSError

    def after_fork(self) -> None:
        self.notes.append("after fork")


@pytest.fixture
def hand() -> Notes:
    return Notes()


@pytest.fixture
async def worker(hand: Notes) -> AsyncIterator[Worker[list[str]]]:
    worker = Worker("notes", hand, 3600)
    yield worker
    hand.fails = False
    await worker.stop()


def note(text: str) -> Callable[[list[str]], str]:
    def write(notes: list[str]) -> str:
        notes.append(text)
        return text

    return write


async def test_jobs_run_in_their_order_in_one_thread(worker: Worker[list[str]], hand: Notes) -> None:
    """Each caller gets what its own job returned."""
    texts = [str(number) for number in range(600)]
    assert texts == await asyncio.gather(*(worker.run(note(text)) for text in texts))
    assert texts == hand.notes
    assert await worker.run(lambda _: threading.current_thread().name) == "notes"


async def test_jobs_that_wait_together_go_together(worker: Worker[list[str]], hand: Notes) -> None:
    """While the hand is busy others gather, up to a bound."""
    with worker._working:
        tasks = [asyncio.create_task(worker.run(note("x"))) for _ in range(600)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert 600 == sum(hand.groups)
    assert 256 in hand.groups
    assert len(hand.groups) <= 4


async def test_failure_of_a_job_is_its_caller_s(worker: Worker[list[str]]) -> None:
    """What the hand raises reaches those who still wait, and nobody later."""
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda _: 1 / 0)

    assert await worker.run(note("on")) == "on"


async def test_failure_spares_jobs_that_are_done(worker: Worker[list[str]]) -> None:
    """Of a group whose hand fails half way, the first half keeps its results."""
    with worker._working:
        first = asyncio.create_task(worker.run(note("first")))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(worker.run(job)) for job in (note("good"), lambda _: 1 / 0, note("late"))]
        await asyncio.sleep(0)
    results = await asyncio.gather(first, *rest, return_exceptions=True)

    assert ["first", "good"] == results[:2]
    assert isinstance(results[2], ZeroDivisionError)
    assert results[3] in ("late", results[2])


async def test_job_that_was_cancelled_in_the_queue_is_never_done(worker: Worker[list[str]], hand: Notes) -> None:
    """A caller who leaves before the hand begins leaves nothing behind, and harms nobody else."""
    going, go = threading.Event(), threading.Event()

    def hold(_: list[str]) -> bool:
        going.set()
        return go.wait(30)

    begun = asyncio.create_task(worker.run(hold))
    await asyncio.to_thread(going.wait, 30)
    waiting = asyncio.create_task(worker.run(note("waiting")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    go.set()
    await begun
    assert "next" == await worker.run(note("next"))

    assert waiting.cancelled()
    assert ["next"] == hand.notes


async def test_stop_ends_the_thread_after_the_jobs(worker: Worker[list[str]], hand: Notes) -> None:
    """What was asked before the stop is done, then the hand lets go; a later job begins anew."""
    tasks = [asyncio.create_task(worker.run(note("job"))) for _ in range(3)]
    await asyncio.sleep(0)
    await worker.stop()
    await asyncio.gather(*tasks)
    assert ["job", "job", "job", "closed"] == hand.notes

    await worker.stop()
    assert "again" == await worker.run(note("again"))


async def test_stop_raises_what_closing_raises(worker: Worker[list[str]], hand: Notes) -> None:
    """A hand that cannot let go in order says so."""
    hand.fails = True
    await worker.run(note("job"))

    with pytest.raises(OSError, match="cannot close"):
        await worker.stop()


async def test_stop_that_is_cancelled_stops_all_the_same(worker: Worker[list[str]], hand: Notes) -> None:
    """Who no longer waits for the end does not call it off."""
    await worker.run(note("job"))
    ended = worker._ended
    assert ended is not None
    with worker._working:
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
    await asyncio.wrap_future(ended)

    assert stopping.cancelled()
    assert ["job", "closed"] == hand.notes


async def test_hand_rests_now_and_then(hand: Notes) -> None:
    """What nobody waits for is done between jobs and without any, whether or not it fails."""
    worker = Worker("notes", hand, 0.001)
    await worker.run(note("job"))
    until = monotonic() + 30
    while hand.rests < 7 and monotonic() < until:
        await worker.run(note("job"))
    await worker.stop()

    assert hand.rests >= 7
    assert not super(Notes, hand).rest()


def test_worker_serves_several_event_loops() -> None:
    """Loops in turn, and the thread lives on between them."""
    hand = Notes()
    worker = Worker("notes", hand, 3600)
    for text in ("first", "second"):
        assert text == asyncio.run(worker.run(note(text)))
    asyncio.run(worker.stop())

    assert ["first", "second", "closed"] == hand.notes


async def test_fork_waits_for_the_hand(worker: Worker[list[str]], hand: Notes) -> None:
    """A fork finds nothing under way; the parent goes on with its thread, whatever the hand said."""
    await worker.run(note("job"))
    worker.before_fork()
    assert worker._working.locked()
    worker.after_fork(child=False)

    assert "on" == await worker.run(note("on"))
    assert ["job", "before fork", "on"] == hand.notes


async def test_child_of_a_fork_begins_without_a_thread(worker: Worker[list[str]], hand: Notes) -> None:
    """The child has a thread of its own from its first job on, and none of the parent's jobs."""
    parent = await worker.run(lambda _: threading.get_ident())
    queue = worker._queue
    worker.before_fork()
    worker.after_fork(child=True)

    assert parent != await worker.run(lambda _: threading.get_ident())
    assert ["before fork", "after fork"] == hand.notes
    queue.put(None)  # this process has both threads
