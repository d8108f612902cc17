"""What a store promises about limits; part of the contracts. A store that keeps none skips it."""

# ruff: noqa: S101, SIM300 -- this module is tests
from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from coo_middleware.core.limits import Admission, Settlement, Take, Takes
from coo_middleware.testing.calls import DAY, INVALID_LIMITS, Call

if TYPE_CHECKING:
    from coo_middleware.stores import RuntimeStore
    from coo_middleware.testing.contract import Clock

_NAMES: Final = ("a", "a:b", "b:a", "a%3Ab", "{a}", "{a}b", "..", "*", "a b\r\n\x00", "a'b\"\\", "n" * 1024)
_LONG: Final = 40.0 * DAY


def tokens(amount: float, name: str = "tokens") -> Take:
    """`amount` of a hundred a minute."""
    return Take(name, 100, 60, amount)


def calls(limit: float, name: str = "calls", amount: float = 1) -> Take:
    """A call, of which there may be `limit` at the same time."""
    return Take(name, limit, 0, amount)


async def reserve(store: RuntimeStore, *choices: Takes, ticket: str = "", lease: float = _LONG) -> Admission:
    """What became of it; skips the test where the store keeps no limits."""
    admission = await store.reserve(ticket or secrets.token_hex(8), choices, lease)
    if admission is None:
        pytest.skip("this store keeps no limits")
    return admission


async def choose(store: RuntimeStore, *choices: Takes, ticket: str = "", lease: float = _LONG) -> int:
    """The choice that was taken."""
    return (await reserve(store, *choices, ticket=ticket, lease=lease)).choice


async def count(store: RuntimeStore, *takes: Take) -> list[float]:
    """What is used of each limit."""
    found = await reserve(store, tuple(replace(take, amount=0) for take in takes))
    return [level.used for level in found.levels[0]]


async def settle(store: RuntimeStore, ticket: str, *takes: Take) -> None:
    """Tells what was used under a ticket."""
    await store.settle([Settlement(ticket, takes)])


class LimitPromises(ABC):
    """For every store."""

    @abstractmethod
    async def advance(self, clock: Clock, seconds: float) -> None:
        """Lets `seconds` pass for the store that was made."""

    @pytest.mark.parametrize("call", INVALID_LIMITS.values(), ids=INVALID_LIMITS)
    async def test_limits_refuse_invalid_arguments(self, store: RuntimeStore, call: Call) -> None:
        """What no store can keep faithfully raises ValueError, and takes nothing."""
        await reserve(store, ())
        with pytest.raises(ValueError):  # noqa: PT011 -- each store has its own words
            await call(store)

        assert [0] == await count(store, tokens(0))

    async def test_limits_give_what_is_free(self, store: RuntimeStore) -> None:
        """What fits is taken, what does not takes nothing, and levels say how much is used and for how long."""
        found = [await reserve(store, (tokens(amount),)) for amount in (60, 41, 40, 1)]

        assert [0, -1, 0, -1] == [each.choice for each in found]
        assert [True, False, True, False] == [each.wait_seconds == 0 for each in found]
        assert [60, 60, 100, 100] == [each.levels[0][0].used for each in found]
        assert all(59.5 <= each.levels[0][0].reset_seconds <= 60.75 for each in found)

    async def test_limits_need_nothing_where_nothing_is_taken(self, store: RuntimeStore) -> None:
        """A choice without takes always fits."""
        await reserve(store, (calls(1),))
        found = await reserve(store, (calls(1),), ())

        assert 1 == found.choice
        assert () == found.levels[1]

    async def test_limits_slide(self, clock: Clock, store: RuntimeStore) -> None:
        """What was taken counts for the whole window and at most a grain longer, each by its own time."""
        await reserve(store, (tokens(50),))
        await self.advance(clock, 30)
        await reserve(store, (tokens(50),))
        await self.advance(clock, 29)
        assert -1 == await choose(store, (tokens(1),))
        await self.advance(clock, 2)

        assert [-1, 0] == [await choose(store, (tokens(amount),)) for amount in (51, 50)]

    async def test_limits_of_several_windows_hold_together(self, clock: Clock, store: RuntimeStore) -> None:
        """A call has to fit in the minute and in the longest window."""
        takes = tokens(60), Take("longest", 100, 35 * DAY, 60)
        await reserve(store, takes)
        await self.advance(clock, 34 * DAY)
        assert -1 == await choose(store, takes)
        assert [0, 60] == await count(store, *takes)
        await self.advance(clock, DAY + 4 * 3_600)

        assert 0 == await choose(store, takes)

    async def test_limits_take_all_or_nothing(self, store: RuntimeStore) -> None:
        """One limit that refuses consumes none of the others."""
        await reserve(store, (tokens(100, "b"),))
        found = [await reserve(store, (tokens(60, "a"), calls(1), tokens(1, "b"))) for _ in range(3)]

        assert [(-1, [0, 0, 100])] * 3 == [(each.choice, [level.used for level in each.levels[0]]) for each in found]
        assert 0 == await choose(store, (tokens(100, "a"), calls(1)))

    async def test_limits_take_the_first_choice_that_fits(self, store: RuntimeStore) -> None:
        """Of several the first with room is taken, alone; the levels of all are told."""
        choices = [(calls(1, f"calls {name}"), tokens(40, name)) for name in "abc"]
        found = [await reserve(store, *choices) for _ in range(4)]

        assert [0, 1, 2, -1] == [each.choice for each in found]
        levels = [[[level.used for level in levels] for levels in each.levels] for each in found]
        assert [[[1, 40]] * min(number, 3) + [[0, 0]] * (3 - number) for number in (1, 2, 3, 4)] == levels

    async def test_limits_tell_when_to_come_back(self, clock: Clock, store: RuntimeStore) -> None:
        """The wait ends when the first choice passes: a second before, none does."""
        await reserve(store, (tokens(10),))
        await self.advance(clock, 20)
        await reserve(store, (tokens(90),))
        wait = (await reserve(store, (tokens(90),), (tokens(10),))).wait_seconds
        assert 39.5 <= wait <= 40.75
        await self.advance(clock, wait - 1)
        assert -1 == await choose(store, (tokens(90),), (tokens(10),))
        await self.advance(clock, 1.01)

        assert 1 == await choose(store, (tokens(90),), (tokens(10),))

    async def test_limits_tell_each_a_moment_of_its_own(self, clock: Clock, store: RuntimeStore) -> None:
        """Who is refused is told of a place that nobody else was told of, as far as one window goes."""
        for _ in range(10):
            await reserve(store, (tokens(10),))
            await self.advance(clock, 2)
        waits = [(await reserve(store, (tokens(10),))).wait_seconds for _ in range(12)]
        expected = [40 + 2 * (number % 10) for number in range(12)]
        assert all(least - 0.5 <= wait <= least + 0.75 for least, wait in zip(expected, waits, strict=True))

        for number in range(10):
            await self.advance(clock, waits[number] - (waits[number - 1] if number else -0.01))
            assert 0 == await choose(store, (tokens(10),))

    @pytest.mark.parametrize("truth", [30, 60, 80, 150])
    async def test_limits_are_settled_with_the_truth(self, clock: Clock, store: RuntimeStore, truth: float) -> None:
        """What was used counts in the place of what was reserved, less or more, since the moment of the reservation."""
        await reserve(store, (tokens(60),), ticket="a")
        await self.advance(clock, 30)
        await settle(store, "a", tokens(truth))
        assert [truth] == await count(store, tokens(0))
        assert -1 == await choose(store, (tokens(max(0, 100 - truth) + 0.5),))
        await self.advance(clock, 31)

        assert [0] == await count(store, tokens(0))

    async def test_limits_give_back_what_was_not_used(self, store: RuntimeStore) -> None:
        """A call that was never made leaves nothing behind: all is free at once."""
        await reserve(store, (tokens(60), calls(1)), ticket="a")
        await settle(store, "a", tokens(0), calls(1, amount=0))
        found = await reserve(store, (tokens(0), calls(1, amount=0)))

        assert [(0, 0), (0, 0)] == [(level.used, level.reset_seconds) for level in found.levels[0]]
        assert 0 == await choose(store, (tokens(100), calls(1)))

    async def test_limits_are_settled_once(self, store: RuntimeStore) -> None:
        """A ticket that has been settled stays as it is, and one that is not known is no matter."""
        await settle(store, "unknown", tokens(50), calls(1))
        await reserve(store, (tokens(60),), ticket="a")
        await settle(store, "unknown", tokens(50), calls(1))
        for amount in (10, 90):
            await settle(store, "a", tokens(amount))

        assert [10, 0] == await count(store, tokens(0), calls(1))

    async def test_limits_are_settled_in_batches(self, store: RuntimeStore) -> None:
        """Each ticket of a batch is settled in each of its limits, and no other."""
        takes = tokens(10, "a"), tokens(20, "b"), calls(9)
        for number in range(4):
            await reserve(store, takes, ticket=f"t{number}")
        await store.settle([])
        await store.settle(
            [Settlement(f"t{number}", (tokens(1, "a"), tokens(2, "b"), calls(9))) for number in range(3)]
        )

        assert [13, 26, 1] == await count(store, *takes)

    async def test_limits_charge_what_was_reserved_as_nothing(self, store: RuntimeStore) -> None:
        """An estimate of 0 may be settled with more."""
        await reserve(store, (tokens(0),), ticket="a")
        await settle(store, "a", tokens(40))

        assert [40] == await count(store, tokens(0))

    async def test_limits_give_back_at_the_end_of_a_lease(self, clock: Clock, store: RuntimeStore) -> None:
        """Whoever gives no sign of life holds nothing any more; what it used in truth still counts, once."""
        await reserve(store, (tokens(100), calls(1)), ticket="a", lease=5)
        await self.advance(clock, 4)
        assert -1 == await choose(store, (tokens(1),))
        await self.advance(clock, 1)
        assert [0, 0] == await count(store, tokens(0), calls(1))
        for amount in (70, 90):
            await settle(store, "a", tokens(amount), calls(1))

        assert [70, 0] == await count(store, tokens(0), calls(1))

    async def test_limits_renew_leases(self, clock: Clock, store: RuntimeStore) -> None:
        """A lease that is renewed runs on from then; one that has ended, or was settled, does not begin again."""
        takes = tokens(40), calls(2)
        for ticket in ("a", "b"):
            await reserve(store, takes, ticket=ticket, lease=5)
        await self.advance(clock, 4)
        await store.renew([Settlement("a", takes), Settlement("unknown", (*takes, tokens(1, "new")))], 5)
        await self.advance(clock, 4)
        await store.renew([Settlement("b", takes)], 600)
        assert [40, 1] == await count(store, *takes)
        await self.advance(clock, 1)
        assert [0, 0] == await count(store, *takes)
        await store.renew([Settlement("a", takes)], 600)

        assert [0, 0] == await count(store, *takes)

    async def test_limits_of_what_is_at_the_same_time(self, clock: Clock, store: RuntimeStore) -> None:
        """A call counts until it is settled, with whatever amount, however long it takes; its lease is the wait."""
        for ticket in ("a", "b"):
            await reserve(store, (calls(2),), ticket=ticket, lease=3_600)
        await self.advance(clock, 1_800)
        refused = await reserve(store, (calls(2),))
        assert -1 == refused.choice
        assert all(1_799 <= each <= 1_800.5 for each in (refused.wait_seconds, refused.levels[0][0].reset_seconds))
        await settle(store, "a", calls(2))

        assert [0, -1] == [await choose(store, (calls(2),)) for _ in range(2)]

    async def test_limits_where_nothing_is_held(self, clock: Clock, store: RuntimeStore) -> None:
        """Who takes 0 at the same time holds nothing, and is refused while anything is held: so a key cools down."""
        cool = calls(0.5, amount=0)
        assert [0] * 5 == [await choose(store, (cool,), lease=600) for _ in range(5)]
        assert 0 == await choose(store, (calls(1),), lease=10)
        refused = await reserve(store, (cool, tokens(1)))
        assert -1 == refused.choice
        assert 9.5 <= refused.wait_seconds <= 10.5
        assert 1 == await choose(store, (cool, tokens(1)), (calls(0.5, "another", 0), tokens(1)))
        await self.advance(clock, 10.5)

        assert [0, 0] == [await choose(store, (cool, tokens(1))), await choose(store, (calls(1),))]

    async def test_limits_let_through_what_is_larger(self, store: RuntimeStore) -> None:
        """What is more than a whole limit takes all of it, when nothing else does, and is settled with the truth."""
        await reserve(store, (tokens(1, "busy"),))
        assert -1 == await choose(store, (tokens(500, "busy"),))
        assert 0 == await choose(store, (tokens(500),), ticket="a")
        assert [100] == await count(store, tokens(0))
        await settle(store, "a", tokens(500))

        assert [500] == await count(store, tokens(0))

    async def test_limits_of_fractions(self, store: RuntimeStore) -> None:
        """Three tenths fit into 0.3, which is less than what a computer makes of their sum, and a fourth does not."""
        found = [await choose(store, (Take("cost", 0.3, 60, 0.1),)) for _ in range(4)]

        assert [0, 0, 0, -1] == found

    async def test_limits_are_apart(self, store: RuntimeStore) -> None:
        """Every name is a limit of its own, whatever characters it holds."""
        for number, name in enumerate(_NAMES):
            await reserve(store, (tokens(number, name), calls(99, f"{name}!"[-1024:])), ticket=f"t{number}")

        assert [*range(len(_NAMES))] == await count(store, *(tokens(0, name) for name in _NAMES))

    async def test_limits_hold_under_concurrency(self, store: RuntimeStore) -> None:
        """Of many at the same moment as many are let through as there is room for."""
        found = await asyncio.gather(*(reserve(store, (tokens(10), calls(20))) for _ in range(50)))

        assert 10 == [each.choice for each in found].count(0)
        assert [100, 10] == await count(store, tokens(0), calls(20))
