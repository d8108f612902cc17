"""A circuit breaker: after so many faults in a row it is open, and one good answer closes it again."""

from __future__ import annotations

from typing import Final


class Breaker:
    """Counts faults in a row; the caller decides what a fault is and says when one probed successfully."""

    __slots__ = ("_faults", "_threshold", "is_open")

    def __init__(self, threshold: int) -> None:
        self._threshold: Final = threshold
        self._faults = 0
        self.is_open = False

    def succeed(self) -> bool:
        """A good answer. True when it closed the breaker."""
        self._faults = 0
        was_open, self.is_open = self.is_open, False
        return was_open

    def fail(self) -> bool:
        """A fault. True when it opened the breaker."""
        self._faults += 1
        if self.is_open or self._faults < self._threshold:
            return False
        self.is_open = True
        return True
