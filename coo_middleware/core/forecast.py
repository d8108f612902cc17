"""What a call will take, forecast from what those before it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from coo_middleware.core.outcome import Usage

# Of what so many calls ago taught, 1 / e is left.
_MEMORY: Final = 1024
_KEPT: Final = 1 - 1 / _MEMORY
# Of a normal distribution 99.5 % lie below; what calls at the same time have in common takes the half per cent.
_NORMAL: Final = 2.6
# A mean that is weighted by the values themselves errs more than by their number: twice, for exponential ones.
_LEARNING: Final = 2.0
# More tokens than this for a character, or for each that was counted, are no text but an image, a file, a tool.
_DENSEST: Final = 2.0
# Lengths are skewed, their sum the less so the more there are of them: with this, 99 % of single ones lie below, from
# exponential to lognormal lengths with a sigma of 1.
_SKEWED: Final = 1.7


@dataclass(slots=True)
class Moments:
    """The weighted mean and spread of values, of which older ones fade."""

    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    weights_squared: float = 0.0

    @property
    def count(self) -> float:
        """How many values of one weight would tell as much (Kish, Survey Sampling, 1965)."""
        return self.weight**2 / self.weights_squared if self.weights_squared else 0.0

    @property
    def mean(self) -> float:
        """Of what has been learned; 0 where nothing has."""
        return self.total / self.weight if self.weight else 0.0

    def learn(self, value: float, weight: float) -> None:
        """Takes in a value; `weight` is above 0."""
        self.weight = self.weight * _KEPT + weight
        self.total = self.total * _KEPT + value * weight
        self.squares = self.squares * _KEPT + value * value * weight
        self.weights_squared = self.weights_squared * _KEPT**2 + weight * weight

    def expect(self, in_flight: int) -> float:
        """What to reserve for one of so many calls in flight, so that all of them together are covered in 99 cases of
        100: the mean, and its part of a margin for the error of their sum; 0 where nothing has been learned.
        """
        mean, count = self.mean, self.count
        if not count:
            return 0.0
        # A few values show too little of how much they differ.
        spread = sqrt(max(0.0, self.squares / self.weight - mean * mean) + (mean / count) ** 2)
        return mean + spread * (_NORMAL * sqrt(1 / in_flight + _LEARNING / count) + _SKEWED / in_flight)


def presume(value: float, weight: float) -> Moments:
    """What is taken for known, as firmly as so much of what is learned, until better is."""
    return Moments(weight, value * weight, value * value * weight, 1.0)


@dataclass(slots=True)
class Experience:
    """What calls of one name took: `texts` are input tokens for each unit of a text's size, `others` those of one call
    that stand for no text, `outputs` those of a whole answer. `begun` counts the calls, `in_flight` those that have not
    ended, `learned` those that taught something.
    """

    texts: Moments
    others: Moments = field(default_factory=Moments)
    outputs: Moments = field(default_factory=Moments)
    begun: int = 0
    in_flight: int = 0
    learned: int = 0

    def foresee_input(self, size: float, in_flight: int) -> float:
        """The tokens to reserve for a request whose text has that size, with so many calls in flight."""
        return size * self.texts.expect(in_flight) + self.others.expect(in_flight)

    def learn(self, size: float, usage: Usage, weight: float) -> None:
        """Takes in what one call took whose text had that size.

        `weight` is for how many calls it was in flight when they began, itself among them. Long ones are in flight more
        often than they are begun, and it is those in flight that reservations stand for: unweighted, these would fall
        short by more than half where lengths vary much.
        """
        self.learned += 1
        if usage.input_tokens is not None:
            told = usage.input_tokens
            text = told if told <= size * _DENSEST else size * self.texts.mean
            self.others.learn(told - text, weight)
            if size:
                self.texts.learn(text / size, size * weight)
        if usage.output_tokens is not None:
            self.outputs.learn(usage.output_tokens, weight)
