"""What Amazon Bedrock meters is told in the inclusive sense."""

import pytest

from coo_middleware.core.outcome import Usage
from coo_middleware.formats.metering import inclusive_usage, read_token_fields

PREFIX = b"x-amzn-bedrock-"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(b"input-token-count", b"9"), (b"output-token-count", b"17")], Usage(9, 17)),
        (
            [
                (b"cache-read-input-token-count", b"0"),
                (b"cache-write-input-token-count", b"18131"),
                (b"input-token-count", b"4"),
                (b"output-token-count", b" 50 "),
            ],
            Usage(18135, 50, cache_read_tokens=0, cache_write_tokens=18131),
        ),
        ([(b"input-token-count", b"9")], Usage(9, None)),
        ([(b"input-token-count", b"-9"), (b"output-token-count", b"\xff")], None),
        ([(b"invocation-latency", b"791")], None),
        ([], None),
    ],
)
def test_fields_tell_usage(fields: list[tuple[bytes, bytes]], expected: Usage | None) -> None:
    """Names count in any case, input takes in what was cached, and what is absent or odd is unknown."""
    assert expected == read_token_fields([(PREFIX + name, value) for name, value in fields])
    assert expected == read_token_fields([(b"Date", b"1"), *((PREFIX.title() + name, value) for name, value in fields)])


def test_the_preferred_spelling_wins() -> None:
    """Of two spellings of one counter the first is taken, and the second only where it stands alone."""
    names = ("in",), ("out",), ("read", "older"), ("write",)

    assert Usage(7, 2, cache_read_tokens=2) == inclusive_usage({"in": 5, "out": 2, "read": 2, "older": 9}, names)
    assert Usage(9, None, cache_read_tokens=9) == inclusive_usage({"older": 9}, names)
