"""What the tokens of one model cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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
        inputs = usage.input_tokens or 0
        read = _part(self.cache_read, usage.cache_read_tokens)
        write = _part(self.cache_write, usage.cache_write_tokens)
        heard = _part(self.input_audio, usage.input_audio_tokens)
        said = _part(self.output_audio, usage.output_audio_tokens)
        parts = [
            (self.input, inputs - sum(count for _, count in (read, write, heard))),
            (self.output, (usage.output_tokens or 0) - said[1]),
            *(read, write, heard, said),
        ]
        return self.request + sum(rate.of(inputs) * max(0, count) for rate, count in parts)


_FREE: Final = Rate(0.0)


def _part(rate: Rate | None, count: int | None) -> tuple[Rate, int]:
    """The tokens that are paid for apart, and at which rate."""
    return (_FREE, 0) if rate is None else (rate, count or 0)
