"""core/forecast.py: what calls will take, forecast from what those before them took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.forecast import Experience, Moments, presume
from coo_middleware.core.outcome import Usage

CEILING = 4096
LENGTHS: dict[str, Callable[[Random], float]] = {
    "exponential": lambda random: random.expovariate(1 / 300),
    "lognormal": lambda random: random.lognormvariate(5.5, 1.0),
}
SOME = (1, 4, 16, 64, 256)


def dice(seed: int) -> Random:
    return Random(seed)  # noqa: S311 -- no secret


@dataclass
class Crowd:
    """Calls that come at random and last as long as their answers are; `in_flight` of them at a time, on average."""

    draw: Callable[[Random], float]
    in_flight: int
    weighted: bool = True
    calls: int = 40_000

    def run(self, reserve: Callable[[Moments, int], float]) -> tuple[float, float]:
        """The share of the calls at whose beginning all reservations in flight covered the truth, and by how much of it
        they exceeded it on average: in the long run, of three of them.
        """
        covered, excess = zip(*(self.run_once(reserve, dice(seed)) for seed in (1, 2, 3)), strict=True)
        return sum(covered) / 3, sum(excess) / 3

    def run_once(self, reserve: Callable[[Moments, int], float], random: Random) -> tuple[float, float]:
        moments = Moments()
        mean = sum(self.length(random) for _ in range(20_000)) / 20_000
        now = reserved = truth = reserved_ever = truth_ever = 0.0
        running: list[tuple[float, float, int, float]] = []
        covered = 0
        for begun in range(self.calls):
            now += random.expovariate(self.in_flight / mean)
            while running and running[0][0] <= now:
                _, length, then, amount = heappop(running)
                moments.learn(length, begun - then if self.weighted else 1.0)
                reserved, truth = reserved - amount, truth - length
            length = self.length(random)
            amount = min(CEILING, reserve(moments, len(running) + 1)) if moments.weight else CEILING
            heappush(running, (now + length, length, begun, amount))
            reserved, truth = reserved + amount, truth + length
            if begun >= self.calls // 2:
                covered += reserved >= truth
                reserved_ever, truth_ever = reserved_ever + reserved, truth_ever + truth
        return covered / (self.calls - self.calls // 2), reserved_ever / truth_ever - 1

    def length(self, random: Random) -> float:
        return min(CEILING, self.draw(random))


@pytest.mark.parametrize("name", LENGTHS)
def test_reservations_cover_the_truth_and_little_more(name: str) -> None:
    """At each moment what is reserved for the calls in flight covers what they take, in 99 cases of 100, and the more
    of them there are, the less is reserved beyond it.
    """
    results = [Crowd(LENGTHS[name], in_flight).run(Moments.expect) for in_flight in SOME]

    assert 0.99 <= min(covered for covered, _ in results)
    excess = [excess for _, excess in results]
    assert sorted(excess, reverse=True) == excess
    assert excess[2] < 1
    assert excess[-1] < 0.25


def test_reserving_the_ceiling_starves() -> None:
    """The first control: who reserves all that a request allows withholds three times what is used, ever."""
    results = [Crowd(LENGTHS["lognormal"], in_flight, calls=8000).run(lambda *_: CEILING) for in_flight in SOME]

    assert 0.99 <= min(covered for covered, _ in results)
    assert 3 < min(excess for _, excess in results)


def test_reserving_the_mean_overshoots() -> None:
    """The second control: who reserves the mean of all calls falls short, since those in flight are the long ones."""
    results = [Crowd(LENGTHS["lognormal"], in_flight, calls=8000).run(lambda *_: 400.0) for in_flight in SOME]

    assert max(covered for covered, _ in results) < 0.5
    assert max(excess for _, excess in results) < -0.4


def test_learning_each_call_once_overshoots() -> None:
    """The third control: without the weight of those that are in flight longer no margin covers many calls."""
    covered, excess = Crowd(LENGTHS["lognormal"], 64, weighted=False).run(Moments.expect)

    assert covered < 0.01
    assert excess < -0.3


@pytest.mark.parametrize("in_flight", SOME)
def test_calls_that_begin_together_are_covered(in_flight: int) -> None:
    """Calls that all begin before one of them ends are covered too, in 99 cases of 100."""
    random, moments, covered, rounds = dice(1), Moments(), 0, 400
    for _ in range(600):
        moments.learn(random.lognormvariate(5.5, 1.0), 1)
    for _ in range(rounds):
        lengths = [random.lognormvariate(5.5, 1.0) for _ in range(in_flight)]
        covered += sum(map(moments.expect, range(1, in_flight + 1))) >= sum(lengths)
        for begun, length in enumerate(lengths):
            moments.learn(length, in_flight - begun)

    assert 0.99 <= covered / rounds


def test_what_never_varies_is_known_after_a_while() -> None:
    """The margin is one of what varies, and of how little has been seen: with one value seen it is wide."""
    moments = Moments()
    moments.learn(100.0, 1.0)
    first = moments.expect(1)
    for _ in range(1000):
        moments.learn(100.0, 1.0)

    assert first > 500
    assert 100 <= moments.expect(1) < 101


def test_what_calls_take_now_counts_more_than_what_they_took() -> None:
    """After some thousands of calls of another length the old one is forgotten."""
    moments = Moments()
    for length in [4000.0] * 3000 + [100.0] * 6000:
        moments.learn(length, 1.0)

    assert moments.expect(100) < 250


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(1, 1000), st.floats(1e-3, 1e6))
def test_a_forecast_is_never_below_the_mean(values: list[float], in_flight: int, weight: float) -> None:
    """The margin is never negative, is smaller where more are in flight, and does not depend on the unit of weights."""
    moments, scaled = Moments(), Moments()
    for value in values:
        moments.learn(value, 1.0)
        scaled.learn(value, weight)

    assert moments.mean <= moments.expect(in_flight + 1) <= moments.expect(in_flight)
    assert scaled.expect(in_flight) == pytest.approx(moments.expect(in_flight), rel=1e-6, abs=1e-3)


def test_what_is_presumed_is_given_up_for_what_is_seen() -> None:
    """A presumption is taken as exact until something is learned, and little is left of it after many values."""
    moments = presume(0.3, 2000.0)

    assert pytest.approx(0.3, rel=1e-4) == moments.expect(1)
    for _ in range(3000):
        moments.learn(0.2, 1000.0)
    assert 0.2 <= moments.expect(100) < 0.21


def test_experience_learns_what_is_known() -> None:
    """Of a call without one of the counts only the other one is learned."""
    experience = Experience(presume(0.3, 2000.0))
    experience.learn(1000.0, Usage(None, 50), 1.0)
    experience.learn(1000.0, Usage(400, None), 1.0)

    assert 2 == experience.learned
    assert (600 + 400) / 3000 == pytest.approx(experience.texts.mean, rel=1e-3)
    assert 50 == experience.outputs.mean


def test_what_is_no_text_is_learned_apart() -> None:
    """Images, and requests without a text, do not make texts dear; their tokens are expected beside those of a text."""
    experience = Experience(presume(0.3, 2000.0))
    for _ in range(500):
        experience.learn(10.0, Usage(1003, 5), 1.0)
        experience.learn(0.0, Usage(1000, 5), 1.0)

    assert 0.3 == pytest.approx(experience.texts.mean)
    assert 1000 == pytest.approx(experience.others.mean)
    assert 1000 + 0.3 * 5000 == pytest.approx(experience.foresee_input(5000.0, 1), rel=0.01)


def test_of_nothing_nothing_is_expected() -> None:
    """What has not been learned is 0, to be replaced by what a request says of itself."""
    assert (0.0, 0.0, 0.0) == (Moments().count, Moments().mean, Moments().expect(1))
