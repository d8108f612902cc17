"""Equal questions that are under way share one answer."""

import asyncio

import pytest

from coo_middleware.inquiries import Inquiries


class Oracle:
    """Answers when it is let, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def ask(self) -> int:
        self.asked += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.asked


async def test_a_crowd_asks_once() -> None:
    """A thousand who ask the same at once get one answer; who asks afterwards, or something else, gets another."""
    oracle, inquiries = Oracle(), Inquiries[int]()
    tasks = [inquiries.begin("a", oracle.ask) for _ in range(1_000)]
    other = inquiries.begin("b", oracle.ask)
    await asyncio.sleep(0)
    oracle.gate.set()

    assert {2} == {await inquiries.end(task) for task in (*tasks, other)}
    assert 2 == oracle.asked
    assert 3 == await inquiries.end(inquiries.begin("a", oracle.ask))


async def test_who_leaves_takes_nobody_along() -> None:
    """A request that is cancelled while it waits leaves the others their answer, and nothing is kept."""
    oracle, inquiries = Oracle(), Inquiries[int]()
    waiters = [asyncio.create_task(inquiries.end(inquiries.begin("a", oracle.ask))) for _ in range(2)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    oracle.gate.set()

    assert 1 == await waiters[1]
    assert waiters[0].cancelled()
    assert {} == inquiries._tasks


async def test_a_fault_is_everybodys_and_no_longer() -> None:
    """All who wait get the fault; who asks afterwards asks anew."""
    oracle, inquiries = Oracle(), Inquiries[int]()
    oracle.error = LookupError()
    tasks = [inquiries.begin("a", oracle.ask) for _ in range(2)]
    oracle.gate.set()
    for task in tasks:
        with pytest.raises(LookupError):
            await inquiries.end(task)
    oracle.error = None

    assert 2 == await inquiries.end(inquiries.begin("a", oracle.ask))


def test_a_loop_that_has_ended_keeps_nobody_waiting() -> None:
    """A question that a loop left behind is put again in the next one."""
    inquiries = Inquiries[int]()

    async def leave() -> None:
        inquiries.begin("a", Oracle().ask)

    async def ask() -> int:
        oracle = Oracle()
        oracle.gate.set()
        return await inquiries.end(inquiries.begin("a", oracle.ask))

    asyncio.run(leave())

    assert 1 == asyncio.run(ask())
