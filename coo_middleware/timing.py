"""How long a request took, and where the time went."""

from __future__ import annotations

from time import perf_counter
from typing import Final


class Timing:
    """One request's times, in seconds. It begins with its making."""

    __slots__ = ("_chunks", "_ended", "_first", "_handed", "_last", "_started", "_waited", "store_time")

    def __init__(self) -> None:
        self._started: Final = perf_counter()
        self._chunks = 0
        self._ended = self._first = self._handed = self._last = self._waited = 0.0
        self.store_time = 0.0

    def add_store_time(self, began: float) -> None:
        """The store was waited for since `began`, by perf_counter."""
        self.store_time += perf_counter() - began

    def hand_over(self) -> None:
        """What answers is asked from now on: the app, another one's call, or what is stored."""
        self._handed, self._waited = perf_counter(), self.store_time

    def note_chunk(self) -> None:
        """A piece of the answer has been sent on."""
        self._last = perf_counter()
        self._chunks += 1
        if self._chunks == 1:
            self._first = self._last

    def end(self) -> None:
        """The client has what it gets, whatever is still done for it."""
        self._ended = perf_counter()

    @property
    def duration(self) -> float:
        """How long it has taken, or took."""
        return (self._ended or perf_counter()) - self._started

    @property
    def first_chunk(self) -> float | None:
        """How long the client waited for the first content, None where none was sent."""
        return self._first - self._started if self._chunks else None

    @property
    def chunk_gap(self) -> float | None:
        """The mean time between two pieces, None where there were not two."""
        return (self._last - self._first) / (self._chunks - 1) if self._chunks > 1 else None

    @property
    def overhead(self) -> float:
        """What we took ourselves before anything was asked to answer."""
        taken = self._handed - self._started - self._waited
        return taken if taken > 0 else 0.0
