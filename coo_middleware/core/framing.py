"""What every framing of a stream gives: events, of which each keeps the bytes it came as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `raw` as it came, `name` ("" when it has none), `data` (None likewise).

    The names are those of the framing: SSE's `event:`, AWS's `:event-type`; "error" where the frame itself reports one.
    """

    raw: bytes
    name: str
    data: str | None


class Decoder(Protocol):
    """Cuts a stream into events, however it was chunked; every byte that is fed leaves in one event's `raw` or in the
    rest. `broken` is set once what came is not of this framing, or an event is over the decoder's limit; from then on
    bytes pass through in nameless events without data.
    """

    broken: bool

    def __init__(self, limit: int) -> None: ...

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes; never raises."""

    def close(self) -> list[Event]:
        """The events that the end of the stream completes. Where it cannot complete what is left, nothing, or `broken`
        is set if the framing knows that something is missing.
        """

    @property
    def rest(self) -> bytes:
        """What belongs to no event so far."""

    def take_rest(self) -> bytes:
        """The rest, once."""
