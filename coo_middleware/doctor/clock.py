"""Whether a server's clock and this machine's agree."""

from __future__ import annotations

from typing import Final

from coo_middleware.doctor.finding import Finding, ok, warning

SKEW_SECONDS: Final = 2.0


def judge_clock(check: str, server: float, here: float, doubt: float) -> Finding:
    """How far the server's clock and this machine's are apart; all in seconds, `doubt` is how exactly it is known."""
    skew = here - server
    if abs(skew) - doubt <= SKEW_SECONDS:
        return ok(check, f"within {SKEW_SECONDS:g} s of the server's")
    text = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server"
    return warning(check, text, "let both follow a time server (NTP): ages and windows are counted by their clocks")
