"""A circuit breaker: after so many faults in a row it is open, until whoever probes says that it may close."""

from __future__ import annotations

from typing import Final


class Breaker:
    """Closed until `threshold` faults in a row, or `trip`, open it; `reset` alone closes it again.

    A call tells with its outcome the `epoch` it began in. What began before the last transition counts for nothing:
    a fault of the last outage opens no breaker that has closed since, and a late good answer closes none.
    """

    __slots__ = ("_faults", "_threshold", "epoch", "is_open")

    def __init__(self, threshold: int) -> None:
        self._threshold: Final = threshold
        self._faults = 0
        self.epoch = 0
        self.is_open = False

    def succeed(self, epoch: int) -> None:
        """A call that began in `epoch` went well: the row of faults ends."""
        if epoch == self.epoch:
            self._faults = 0

    def fail(self, epoch: int) -> bool:
        """A call that began in `epoch` met a fault. True when that opened the breaker."""
        if epoch != self.epoch:
            return False
        self._faults += 1
        return self._faults >= self._threshold and self.trip()

    def trip(self) -> bool:
        """Opens the breaker. True unless it was open."""
        return self._turn(is_open=True)

    def reset(self) -> bool:
        """Closes the breaker. True unless it was closed."""
        return self._turn(is_open=False)

    def _turn(self, *, is_open: bool) -> bool:
        if is_open == self.is_open:
            return False
        self.is_open = is_open
        self.epoch += 1
        self._faults = 0
        return True
