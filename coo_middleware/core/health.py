"""How a provider's key fares: its failures lately, its latency, and when it rests.

All times are seconds by one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, inf
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from coo_middleware.core.record import ErrorType

Verdict: TypeAlias = Literal["sound", "limited", "refused", "failed", "unknown"]

# What failed counts this long, and a mean follows what it measures within it.
_LATELY_SECONDS: Final = 10.0
# A slow key that nobody calls is tried again after a few of these.
_FORGIVING_SECONDS: Final = 60.0
# A busy key of which one call in a hundred fails must not rest most of the time.
_TOLERATED: Final = 0.1
# Credentials, payments and permissions: they are the key's, and do not mend in seconds.
_REFUSED: Final = frozenset({401, 402, 403})
_LEAST_WEIGHT: Final = 0.1


@dataclass(slots=True)
class Fading:
    """A sum of which what was added `seconds` ago still counts 1/e of itself."""

    seconds: float
    amount: float = 0.0
    at: float = 0.0

    def add(self, amount: float, now: float) -> None:
        """Counts `amount` from now on."""
        self.amount, self.at = self.read(now) + amount, now

    def read(self, now: float) -> float:
        """What it is now."""
        return self.amount * exp((self.at - now) / self.seconds)


@dataclass(slots=True)
class Latency:
    """An exponentially weighted moving average of durations in seconds; where nothing is measured it goes to 0."""

    mean: float = 0.0
    at: float = -inf

    def add(self, seconds: float, now: float) -> None:
        """Takes a measurement."""
        weight = max(_LEAST_WEIGHT, 1 - exp((self.at - now) / _LATELY_SECONDS))
        self.mean, self.at = self.mean + (seconds - self.mean) * weight, now

    def read(self, now: float) -> float:
        """The average, 0 where it is not known."""
        return self.mean * exp((self.at - now) / _FORGIVING_SECONDS)


@dataclass(slots=True)
class Health:
    """One key's. It rests for `pause` seconds, doubled for each time in a row, or for as long as the provider says, and
    never for longer than `longest`.
    """

    pause: float
    longest: float
    since: float = -inf
    until: float = -inf
    rests: int = 0
    latency: Latency = field(default_factory=Latency)
    calls: Fading = field(default_factory=lambda: Fading(_LATELY_SECONDS))
    errors: Fading = field(default_factory=lambda: Fading(_LATELY_SECONDS))

    def note(self, verdict: Verdict, began: float, now: float, told: float | None) -> float:
        """Takes what became of a call that began at `began`; the seconds of the rest that begins now, 0 where none
        does. `told` is for how long the provider wants to be left alone.
        """
        if verdict == "unknown":
            return 0.0
        self.calls.add(1.0, now)
        if verdict == "sound":
            self.latency.add(now - began, now)
            # What began before the last rest tells nothing of how it is after it.
            self.rests = 0 if began >= self.since else self.rests
            return 0.0
        self.errors.add(1.0, now)
        return self._rest(verdict, began, now, told)

    def rest(self, seconds: float, now: float) -> None:
        """Lets it rest for so long, unless it does for longer."""
        if now + seconds > self.until:
            self.since, self.until = now, now + seconds

    def wait(self, now: float) -> float:
        """For how many more seconds it rests."""
        return max(0.0, self.until - now)

    def strength(self, now: float) -> float:
        """How much of its share it may have: from 0 at the end of a rest to 1 after as long as that was."""
        if now < self.until:
            return 0.0
        return min(1.0, (now - self.until) / (self.until - self.since)) if self.until > self.since else 1.0

    def error_share(self, now: float) -> float:
        """The share of its calls that failed lately; it fades where there are none."""
        return self.errors.read(now) / (self.calls.read(now) + 1)

    def _rest(self, verdict: Verdict, began: float, now: float, told: float | None) -> float:
        if verdict == "failed" and not told and self.error_share(now) <= _TOLERATED:
            return 0.0
        # Of calls that were under way together the first says it all.
        self.rests += began >= self.since
        doubled = self.pause * 2.0 ** min(max(self.rests, 1) - 1, 64)
        seconds = min(self.longest, told or (self.longest if verdict == "refused" else doubled))
        self.rest(seconds, now)
        return seconds


def judge_attempt(status: int, error_type: ErrorType) -> Verdict:
    """What the end of a call says about the key that it was made with. Other statuses from 400 on are the caller's
    fault, and of a client that left nothing is known.
    """
    if error_type in ("client_disconnect", "limited"):
        return "unknown"
    if status == 429:
        return "limited"
    if status in _REFUSED:
        return "refused"
    if status >= 500 or status == 408 or error_type in ("exception", "in_stream", "cut"):
        return "failed"
    return "unknown" if status >= 400 else "sound"
