"""Finding: what one check of the doctor's saw, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at, `text` says what was seen and `remedy` what to do about it, empty where all is
    well. A warning will do harm one day, a fault does it now. Of a timed operation, `milliseconds` is the median. No
    text holds a secret.
    """

    check: str
    level: Level
    text: str
    remedy: str = ""
    milliseconds: float | None = None


def ok(check: str, text: str) -> Finding:
    """A finding that asks for nothing."""
    return Finding(check, "ok", text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """A finding that will do harm one day."""
    return Finding(check, "warning", text, remedy)


def fault(check: str, text: str, remedy: str) -> Finding:
    """A finding that does harm now."""
    return Finding(check, "fault", text, remedy)


def refused(check: str, error: Exception) -> Finding:
    """The fault that one of our own errors tells: what is wrong; and the way out."""
    text, _, remedy = str(error).rpartition("; ")
    return fault(check, text or remedy, remedy if text else "see the store's own log")


def in_bytes(number: float) -> str:
    """`number` bytes in a unit that suits it."""
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
