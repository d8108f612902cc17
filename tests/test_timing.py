"""How long a request took, and where the time went."""

from __future__ import annotations

from time import perf_counter

import pytest

from coo_middleware.timing import Timing


def test_what_has_not_happened_has_no_time() -> None:
    """Of an answer without content there is no first chunk, of one chunk no gap, and unasked nothing took anything."""
    timing = Timing()
    before = (timing.first_chunk, timing.chunk_gap, timing.overhead, timing.store_time)
    timing.note_chunk()

    assert (None, None, 0.0, 0.0) == before
    assert timing.first_chunk is not None
    assert timing.chunk_gap is None


def test_the_times_are_parts_of_the_whole() -> None:
    """The gap is the mean between first and last chunk; store and overhead come before what answers is asked."""
    timing = Timing()
    timing.add_store_time(perf_counter())
    timing.hand_over()
    overhead = timing.overhead
    for _ in range(5):
        timing.note_chunk()
    timing.add_store_time(perf_counter() - 1.0)
    timing.end()
    first, gap, duration = timing.first_chunk, timing.chunk_gap, timing.duration

    assert first is not None
    assert gap is not None
    assert 0 < overhead <= first <= first + 4 * gap <= duration == timing.duration
    assert overhead == timing.overhead
    assert 1 <= timing.store_time == pytest.approx(1, abs=0.5)
