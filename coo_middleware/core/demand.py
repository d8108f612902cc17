"""What a call takes of limits: an estimate before it, the truth after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["requests", "tokens", "input_tokens", "output_tokens", "cost", "concurrency"]
KINDS: Final[tuple[Kind, ...]] = ("requests", "tokens", "input_tokens", "output_tokens", "cost", "concurrency")


@dataclass(frozen=True, slots=True)
class Demand:
    """What one call takes: requests, tokens, and US dollars."""

    requests: float = 1.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cost: float = 0.0

    @property
    def tokens(self) -> float:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def concurrency(self) -> float:
        """A call is one call at a time."""
        return 1.0

    def of(self, kind: Kind) -> float:
        """What it takes of limits of one kind."""
        amount: float = getattr(self, kind)
        return amount


# Of a call that was never made.
NOTHING: Final = Demand(requests=0.0)
