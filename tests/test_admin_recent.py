"""admin/recent.py: one question a second, however many ask."""

from __future__ import annotations

import asyncio

import pytest

from coo_middleware.admin.recent import Recent


class Source:
    """Answers with a new number each time, when it may; fails while `error` is set."""

    def __init__(self) -> None:
        self.number = 0
        self.may = asyncio.Event()
        self.may.set()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        await self.may.wait()
        if self.error is not None:
            raise self.error
        self.number += 1
        return self.number


async def test_a_second_long_the_answer_is_the_same() -> None:
    """After that it is asked for anew; other names have answers of their own."""
    now, source = [0.0], Source()
    recent: Recent[int] = Recent(lambda: now[0])
    seen = []
    for moment, name in ((0.0, "a"), (0.9, "a"), (0.9, "b"), (1.0, "a")):
        now[0] = moment
        seen.append(await recent.get(name, source))

    assert [1, 1, 2, 3] == seen


async def test_those_who_ask_at_once_share_one_answer() -> None:
    """The source is asked once."""
    recent, source = Recent[int](), Source()
    source.may.clear()
    waiting = [asyncio.ensure_future(recent.get("a", source)) for _ in range(5)]
    await asyncio.sleep(0)
    source.may.set()

    assert [1] * 5 == await asyncio.gather(*waiting)


async def test_a_failure_is_not_remembered() -> None:
    """The next one asks again."""
    recent, source = Recent[int](), Source()
    source.error = LookupError()
    with pytest.raises(LookupError):
        await recent.get("a", source)
    source.error = None

    assert 1 == await recent.get("a", source)


async def test_whoever_gives_up_takes_nobody_along() -> None:
    """Another one that waits asks in its place."""
    recent, source = Recent[int](), Source()
    source.may.clear()
    first, second = (asyncio.ensure_future(recent.get("a", source)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.may.set()

    assert 1 == await second


async def test_only_so_many_are_kept() -> None:
    """Those asked for least recently leave."""
    recent, source = Recent[int](lambda: 0.0), Source()
    for name in range(65):
        await recent.get(name, source)

    assert [66, 65] == [await recent.get(name, source) for name in (0, 64)]
