"""What the tokens of one model cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coo_middleware.core.outcome import Usage


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars per token: `first`, or that of the last of `tiers` (from how many input tokens, which dollars) whose
    number a request exceeds.
    """

    first: float
    tiers: tuple[tuple[int, float], ...] = ()

    def of(self, input_tokens: int) -> float:
        """What each token of a request with so many input tokens costs."""
        if not self.tiers:
            return self.first
        return next((rate for start, rate in reversed(self.tiers) if input_tokens > start), self.first)


@dataclass(frozen=True, slots=True)
class Tariff:
    """The rates of one model; None where a part of the input or of the output costs what the rest of it does.
    `request` is what each request costs beside its tokens, in US dollars.
    """

    input: Rate
    output: Rate
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    input_audio: Rate | None = None
    output_audio: Rate | None = None
    request: float = 0.0

    def cost(self, usage: Usage) -> float:
        """What it cost, in US dollars; what is not known of it costs nothing."""
        inputs, outputs, paid = usage.input_tokens or 0, usage.output_tokens or 0, self.request
        rest, speech = inputs, usage.output_audio_tokens
        if usage.cache_read_tokens or usage.cache_write_tokens or usage.input_audio_tokens:
            for rate, count in (
                (self.cache_read, usage.cache_read_tokens or 0),
                (self.cache_write, usage.cache_write_tokens or 0),
                (self.input_audio, usage.input_audio_tokens or 0),
            ):
                if rate is not None:
                    rest -= count
                    paid += rate.of(inputs) * max(0, count)
        if speech and self.output_audio is not None:
            outputs -= speech
            paid += self.output_audio.of(inputs) * max(0, speech)
        return paid + self.input.of(inputs) * max(0, rest) + self.output.of(inputs) * max(0, outputs)
