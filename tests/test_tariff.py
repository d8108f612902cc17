"""core/tariff.py: what the tokens of one model cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.outcome import Usage
from coo_middleware.core.tariff import Rate, Tariff

FLAT = Tariff(Rate(2.0), Rate(10.0))
APART = Tariff(Rate(2.0), Rate(10.0), Rate(0.5), Rate(2.5), Rate(40.0), Rate(80.0))

counts = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("tariff", "usage", "cost"),
    [
        (FLAT, Usage(100, 10), 300.0),
        (FLAT, Usage(100, None), 200.0),
        (FLAT, Usage(None, 10), 100.0),
        (FLAT, Usage(100, 10, cache_read_tokens=60, input_audio_tokens=5, output_audio_tokens=5), 300.0),
        (APART, Usage(100, 10), 300.0),
        (APART, Usage(100, 10, cache_read_tokens=60), 40 * 2.0 + 60 * 0.5 + 100.0),
        (APART, Usage(100, 10, cache_read_tokens=60, cache_write_tokens=40), 60 * 0.5 + 40 * 2.5 + 100.0),
        (APART, Usage(100, 10, input_audio_tokens=100, output_audio_tokens=4), 4000.0 + 6 * 10.0 + 4 * 80.0),
        (APART, Usage(0, 0), 0.0),
        (Tariff(Rate(2.0), Rate(10.0), request=7.0), Usage(1, 1), 19.0),
    ],
)
def test_each_part_has_its_rate(tariff: Tariff, usage: Usage, cost: float) -> None:
    """Input counts what was read from a cache: it is paid for once, at its own rate where it has one."""
    assert cost == tariff.cost(usage)


def test_a_long_request_is_dearer_as_a_whole() -> None:
    """The tier that a request's input exceeds is that of all its tokens, of its output too."""
    tiered = Tariff(Rate(1.0, ((200, 2.0), (400, 4.0))), Rate(10.0, ((200, 15.0),)))

    expected = [200 + 10.0, 201 * 2.0 + 15.0, 400 * 2.0 + 15.0, 401 * 4.0 + 15.0]
    assert expected == [tiered.cost(Usage(count, 1)) for count in (200, 201, 400, 401)]


@given(counts, counts, counts, counts)
def test_a_cost_is_never_negative(inputs: int, outputs: int, read: int, heard: int) -> None:
    """A provider that tells more of a part than of the whole pays nobody back."""
    usage = Usage(inputs, outputs, cache_read_tokens=read, input_audio_tokens=heard)

    assert 10.0 * outputs <= APART.cost(usage)
