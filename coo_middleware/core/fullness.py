"""Which limits refuse, and when it is worth coming back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.limits import Level, Take

# Sums of fractions, such as costs, are not exact; as in the ledger.
_SLACK: Final = 1e-9
# When a call will end nobody knows; a lease says only when it would be given up.
_CONCURRENCY_SECONDS: Final = 1.0


def is_full(take: Take, level: Level) -> bool:
    """Whether a limit that stands so has no room for that. What is more than the whole limit needs it for itself."""
    return level.used + min(take.amount, take.limit) > take.limit * (1 + _SLACK)


def find_wait(takes: Sequence[Take], levels: Sequence[Level], wait_seconds: float) -> float:
    """In how many seconds to come back when those of `takes` that are full refuse: `wait_seconds`, as the store has it,
    but no more than one second where only calls at the same time are limited, nor longer than a window takes to clear.
    """
    full = [(take, level) for take, level in zip(takes, levels, strict=False) if is_full(take, level)]
    bounds = [level.reset_seconds if take.window_seconds else _CONCURRENCY_SECONDS for take, level in full]
    return min(wait_seconds, max(bounds, default=wait_seconds))
