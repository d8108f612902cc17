"""core/ledger.py: what it promises of true windows, against logs that keep everything. What it answers in plain cases
is in the contract of stores, which test_stores.py runs.
"""

# ruff: noqa: S311 -- the dice hide no secret

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.ledger import GRAINS, Ledger, Tally
from coo_middleware.core.limits import Settlement, Take

LONG = 1e9
# By so much two sums of the same seconds may differ.
INSTANT = 1e-5
LIMITS = {"second": (4.0, 1.0), "minute": (10.0, 60.0), "calls": (3.0, 0.0)}

amounts = st.integers(0, 24).map(lambda quarters: quarters / 4)
booleans, factors = st.booleans(), st.sampled_from([0.0, 0.5, 1.0, 2.0])
# Parts of which sums are exact.
pauses = st.sampled_from([0.0, 1 / 128, 0.25, 1.0, 5.0, 59.0, 61.0])


@dataclass
class Entry:
    """A reservation as a log has it: `counted` is its truth once that is known, 0 once its lease has ended."""

    ticket: str
    take: Take
    at: float
    ends: float
    counted: float
    is_settled: bool = False


class Log:
    """All that was reserved, by the true time; `lost` are the seconds in which the ledger's clock stood still."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.lost = 0.0

    def lapse(self, now: float) -> None:
        for entry in self.entries:
            if not entry.is_settled and entry.ends <= now:
                entry.counted = 0.0

    def settle(self, ticket: str, factor: float) -> Settlement:
        """The truth of a ticket: `factor` times what it took. A second one changes nothing."""
        mine = [entry for entry in self.entries if entry.ticket == ticket]
        for entry in mine:
            if not entry.is_settled:
                entry.is_settled, entry.counted = True, entry.take.amount * factor if entry.take.window_seconds else 0.0
        return Settlement(ticket, tuple(replace(each.take, amount=each.take.amount * factor) for each in mine))

    def sum(self, take: Take, now: float, seconds: float) -> float:
        """What counts of the last so many seconds."""
        since = now - seconds if take.window_seconds else -LONG
        return sum(each.counted for each in self.entries if each.take.name == take.name and each.at > since)

    def is_over(self, take: Take, now: float) -> bool:
        """Whether a true window has no room, for certain."""
        return self.sum(take, now, take.window_seconds - INSTANT) + free_amount(take) > take.limit

    def is_full(self, take: Take, now: float) -> bool:
        """Whether the window that is kept, a grain longer than the true one, may have no room."""
        kept = take.window_seconds * (1 + 1 / GRAINS) + self.lost + INSTANT
        return self.sum(take, now, kept) + free_amount(take) > take.limit


def free_amount(take: Take) -> float:
    return min(take.amount, take.limit)


@st.composite
def takes(draw: st.DrawFn) -> tuple[Take, ...]:
    names = draw(st.lists(st.sampled_from([*LIMITS]), min_size=1, max_size=3, unique=True))
    return tuple(Take(name, *LIMITS[name], 1 if name == "calls" else draw(amounts)) for name in names)


@given(st.data())
def test_no_true_window_is_over_and_none_is_withheld(data: st.DataObject) -> None:
    """Whatever is reserved, settled, and left to lapse, also by a clock that is set back: what is admitted fits into
    every true window with all that was known then, and what is refused does not fit into one that is a grain longer.
    """
    ledger, log, true, clock = Ledger(), Log(), 1e9, 1e9
    for number in range(data.draw(st.integers(1, 40))):
        pause, back = data.draw(pauses), data.draw(st.sampled_from([0.0] * 9 + [0.5, 3_600.0]))
        true, clock = true + pause, clock + pause - back
        log.lost += min(pause, back)
        log.lapse(true - log.lost)
        if data.draw(booleans) and log.entries:
            ticket = data.draw(st.sampled_from(log.entries)).ticket
            ledger.settle([log.settle(ticket, data.draw(factors))], clock)
            continue
        choices, lease = data.draw(st.lists(takes(), min_size=1, max_size=3)), data.draw(st.sampled_from([2.0, LONG]))
        choice = ledger.reserve(f"{number}", choices, lease, clock).choice
        for refused in choices[: choice if choice >= 0 else None]:
            assert any(log.is_full(take, true) for take in refused)
        for take in choices[choice] if choice >= 0 else ():
            assert not log.is_over(take, true)
            log.entries.append(Entry(f"{number}", take, true, true - log.lost + lease, free_amount(take)))


@given(st.lists(st.tuples(pauses, takes()), min_size=5, max_size=40))
def test_wait_is_true_to_the_instant(steps: list[tuple[float, tuple[Take, ...]]]) -> None:
    """The first who is refused passes after its wait, and an instant before would not have."""
    now, ledgers = 1e9, (Ledger(), Ledger())
    for number, (pause, asked) in enumerate(steps):
        now += pause
        found = [ledger.reserve(f"{number}", [asked], 90.0, now) for ledger in ledgers]
        if found[0].choice < 0:
            again = now + found[0].wait_seconds
            moments = zip(ledgers, (again - INSTANT, again + INSTANT), strict=True)
            assert [-1, 0] == [ledger.reserve("again", [asked], 90.0, moment).choice for ledger, moment in moments]
            return


class Exact:
    """An exact sliding window."""

    def __init__(self, limit: float, window: float) -> None:
        self.limit, self.window = limit, window
        self.taken: list[tuple[float, float]] = []

    def admits(self, now: float, amount: float) -> bool:
        self.taken = [each for each in self.taken if each[0] > now - self.window]
        if sum(taken for _, taken in self.taken) + amount > self.limit:
            return False
        self.taken.append((now, amount))
        return True


class Fixed(Exact):
    """The control: counts anew at the beginning of each minute."""

    def admits(self, now: float, amount: float) -> bool:
        self.taken = [each for each in self.taken if each[0] // self.window == now // self.window]
        return super().admits(now, amount)


class LedgerWindow(Exact):
    """The same with a ledger."""

    def __init__(self, limit: float, window: float) -> None:
        super().__init__(limit, window)
        self.ledger = Ledger()

    def admits(self, now: float, amount: float) -> bool:
        take = Take("tokens", self.limit, self.window, amount)
        return self.ledger.reserve(f"{now}", [(take,)], 90.0, now).choice == 0


def run(limiter: Exact, largest: int) -> tuple[float, float]:
    """What is admitted of 10,000 arrivals, twice as much as there may be, and the most in any true window."""
    dice, now = Random(7), 1.7e9
    admitted: list[tuple[float, float]] = []
    for _ in range(10_000):
        now += dice.expovariate(2 * limiter.limit / limiter.window / ((1 + largest) / 2))
        amount = dice.randint(1, largest)
        if limiter.admits(now, amount):
            admitted.append((now, amount))
    return sum(amount for _, amount in admitted), most(admitted, limiter.window)


def most(admitted: list[tuple[float, float]], window: float) -> float:
    """The most in any true window, each of which ends with something that was admitted."""
    found, used, first = 0.0, 0.0, 0
    for now, amount in admitted:
        used += amount
        while admitted[first][0] <= now - window + INSTANT:
            used -= admitted[first][1]
            first += 1
        found = max(found, used)
    return found


@pytest.mark.parametrize("largest", [1, 20])
def test_what_is_free_is_given(largest: int) -> None:
    """With twice as much asked for as there is, no window is over, and no less is given than 99 % of what an exact
    limiter gives.
    """
    (exact, _), (kept, fullest) = (run(limiter(200.0, 60.0), largest) for limiter in (Exact, LedgerWindow))

    assert fullest <= 200
    assert kept >= 0.99 * exact


def test_a_fixed_window_would_be_seen() -> None:
    """The control: who counts anew each minute lets more than the limit through in a true one."""
    assert run(Fixed(200.0, 60.0), 1)[1] > 220


def test_nothing_is_exactly_nothing() -> None:
    """However many fractions were added and taken away, a limit whose window has passed has 0."""
    ledger, dice, now = Ledger(), Random(7), 1e9
    for number in range(3_000):
        now += dice.random() / 50
        takes = Take("cost", 1e9, 1.0, dice.random() / 3), Take("calls", 1e9, 0.0, dice.random())
        ledger.reserve(f"{number}", [takes], 2.0, now)
        if number % 3:
            ledger.settle([Settlement(f"{number}", (replace(takes[0], amount=dice.random() / 7), takes[1]))], now)
    tallies = [ledger.tallies[name] for name in ("cost", "calls")]
    for tally in tallies:
        tally.advance(now + 3)

    assert [0.0, 0.0] == [tally.used for tally in tallies]
    assert [({}, {})] * 2 == [(tally.amounts, tally.holds) for tally in tallies]


def test_made_up_names_leave() -> None:
    """What counts nothing any more leaves, as fast as others come, and by itself while only one is used."""
    ledger, now = Ledger(), 1e9
    for number in range(5_000):
        now += 0.1
        ledger.reserve(
            f"{number}", [(Take(f"made up {number}", 1.0, 1.0, 1.0), Take(f"b{number}", 1.0, 0.0, 1.0))], 1.0, now
        )
    assert len(ledger.tallies) <= 100

    for number in range(100):
        ledger.reserve(f"steady {number}", [(Take("steady", 1.0, 1.0, 1.0),)], 1.0, now + 5 + number)
    assert ["steady"] == [*ledger.tallies]


def test_asking_leaves_nothing_behind() -> None:
    """Names of which nothing is held take no room."""
    ledger = Ledger()
    for number in range(100):
        ledger.reserve("refused", [(Take(f"{number}", 0.5, 0.0, 0.0), Take("calls", 1.0, 0.0, 1.0))], 90.0, 1e9)

    assert ["calls"] == [*ledger.tallies]


def test_the_least_recently_used_leaves_beyond_the_bound() -> None:
    """A flood of made-up names neither fills the memory nor pushes out what is in use."""
    ledger, busy = Ledger(max_tallies=3), Take("busy", 1e9, 86_400.0, 1.0)
    for number in range(100):
        ledger.reserve(f"{number}", [(busy,), ()], LONG, 1e9 + number)
        ledger.reserve(f"made up {number}", [(Take(f"{number}", 1.0, 86_400.0, 1.0),)], 90.0, 1e9 + number)

    assert {"busy", "98", "99"} == {*ledger.tallies}
    assert 100 == ledger.tallies["busy"].used


def test_clock_that_is_set_back_frees_nothing_and_blocks_nothing() -> None:
    """By whatever it is set back, the window goes on from where it was, and so do leases."""
    ledger, take, calls = Ledger(), Take("tokens", 10.0, 60.0, 10.0), Take("calls", 1.0, 0.0, 1.0)
    assert 0 == ledger.reserve("a", [(take, calls)], 90.0, 1e9).choice
    for back in (1.0, 59.0, 1e6, 2e9):
        found = ledger.reserve("b", [(take,), (calls,)], 90.0, 1e9 - back)
        assert -1 == found.choice
        assert 59.9 <= found.levels[0][0].reset_seconds <= 60.3
        assert 90 == pytest.approx(found.levels[1][0].reset_seconds)

    assert [-1, 0] == [ledger.reserve("c", [(take,)], 90.0, -1e9 + seconds).choice for seconds in (59.9, 60.3)]
    assert [-1, 0] == [ledger.reserve("d", [(calls,)], 90.0, -1e9 + seconds).choice for seconds in (89.9, 90.1)]


def test_tally_takes_moments_that_are_out_of_order() -> None:
    """What is taken at an earlier moment than the one before counts as long as that."""
    tally, take = Tally(60.0), Take("tokens", 10.0, 60.0, 4.0)
    for ticket, now in (("a", 1e9), ("b", 1e9 - 3_600)):
        tally.advance(now)
        tally.reserve(ticket, take, now, LONG)
    tally.advance(1e9 + 60)
    assert 8 == tally.used
    assert 1e9 + 60 < tally.find_release(take)[0] <= 1e9 + 60.3
    assert 0 < tally.level(1e9 + 60).reset_seconds <= 0.3
    tally.advance(1e9 + 60.3)

    assert 0 == tally.used


def test_what_rounding_leaves_is_nothing() -> None:
    """Fractions that are all given back leave their window free at once."""
    ledger, takes = Ledger(), [(Take("cost", 1.0, 60.0, amount),) for amount in (0.1, 0.2, 0.3)]
    for settled in (False, True):
        for number, each in enumerate(takes):
            if settled:
                ledger.settle([Settlement(f"{number}", (replace(each[0], amount=0.0),))], 1e9)
            else:
                ledger.reserve(f"{number}", [each], 90.0, 1e9)

    assert 0 == ledger.reserve("asked", [(replace(takes[0][0], amount=0.0),)], 90.0, 1e9).levels[0][0].reset_seconds


def test_limit_with_another_window_begins_anew() -> None:
    """A name whose window was changed in the settings counts nothing of before."""
    ledger, take = Ledger(), Take("tokens", 10.0, 60.0, 10.0)
    ledger.reserve("a", [(take,)], 90.0, 1e9)

    assert 0 == ledger.reserve("b", [(replace(take, window_seconds=30.0),)], 90.0, 1e9).choice
    assert 30.0 == ledger.tallies["tokens"].window


def test_limit_in_use_keeps_nothing_of_earlier_windows() -> None:
    """Promises and tickets that lapsed leave with their grain, also where the limit is never idle."""
    ledger, now, waits = Ledger(), 1e9, []
    for number in range(400):
        now += 0.25
        ledger.reserve(f"{number}", [(Take("tokens", 4.0, 1.0, 1.0),)], 0.5, now)
        waits.append(ledger.reserve("refused", [(Take("tokens", 4.0, 1.0, 4.0),)], 0.5, now).wait_seconds)
    tally = ledger.tallies["tokens"]

    assert max(len(tally.amounts), len(tally.lapsed), len(tally.promised)) <= 6
    assert max(waits) <= 1.01


def test_lease_that_is_shorter_ends_first() -> None:
    """Leases of one limit may be of any lengths, and each ends at its time."""
    ledger, take = Ledger(), Take("calls", 9.0, 0.0, 1.0)
    for ticket, lease in (("a", 50.0), ("b", 10.0), ("c", 30.0), ("d", 20.0)):
        ledger.reserve(ticket, [(take,)], lease, 1e9)
    ledger.renew([Settlement("a", (take,))], 15.0, 1e9)
    left = [
        ledger.reserve(f"{now}", [(replace(take, amount=0.0),)], 1.0, 1e9 + now).levels[0][0] for now in (9, 10, 15, 29)
    ]

    assert [4, 3, 2, 1] == [level.used for level in left]
    assert [21, 20, 15, 1] == [level.reset_seconds for level in left]


@given(st.lists(st.tuples(pauses, takes(), st.sampled_from([0.5, 5.0, 90.0])), max_size=30))
def test_what_is_written_down_is_the_same(steps: list[tuple[float, tuple[Take, ...], float]]) -> None:
    """A ledger whose tallies are dumped and loaded after each step answers as one that keeps them."""
    kept, written, now = Ledger(), Ledger(), 1e9
    for number, (pause, taken, lease) in enumerate(steps):
        now += pause
        answers = [ledger.reserve(f"{number}", [taken], lease, now) for ledger in (kept, written)]
        assert answers[0] == answers[1]
        for ledger in (kept, written):
            ledger.settle([Settlement(f"{number - 2}", taken)], now)
        for name, tally in written.tallies.items():
            written.tallies[name] = Tally.load(tally.dump())
