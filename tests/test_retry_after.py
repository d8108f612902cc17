"""What Retry-After says."""

import pytest

from coo_middleware.core.retry_after import find_retry_after, read_retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (7.0, "7"),
        (0.0, "0"),
        (1.5, "1.5"),
        (10.0, "Tue, 14 Nov 2023 22:13:30 GMT"),
        (0.0, "Tue, 14 Nov 2023 22:13:10 GMT"),
        (None, ""),
        (None, "-1"),
        (None, "nan"),
        (None, "inf"),
        (None, "soon"),
        (None, "Tue, 99 Nov 2023 22:13:30 GMT"),
    ],
)
def test_seconds_and_dates_are_read(seconds: float | None, value: str) -> None:
    """A number of seconds and an HTTP date are read, a date that has passed is 0, and what is neither is None."""
    assert seconds == read_retry_after(value, NOW)


def test_milliseconds_are_preferred() -> None:
    """`retry-after-ms` says it more exactly than `retry-after`, in any case of letters."""
    fields = ((b"Retry-After", b"2"), (b"Retry-After-Ms", b"1250"), (b"date", b"x"))

    assert 1.25 == find_retry_after(fields, NOW)
    assert 2.0 == find_retry_after(fields[:1], NOW)
    assert None is find_retry_after(fields[2:], NOW)
