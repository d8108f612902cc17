"""core/window.py: which buckets answer for a window."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.window import LEVELS, LONGEST_WINDOW, Span, Windows, bucket_span, divide, level_of, span_of

DAY = 86_400
NOW = 1_700_000_000.25

steps = st.lists(
    st.tuples(
        st.floats(0, 5) | st.floats(0, 500) | st.floats(0, 10_000) | st.floats(0, 3 * DAY),
        st.integers(0, 1000),
        st.just(0.0) | st.floats(0, 200) | st.floats(0, LONGEST_WINDOW),
    ),
    max_size=60,
)
windows = st.integers(1, 125) | st.integers(100, 7_300) | st.integers(7_000, LONGEST_WINDOW)


@pytest.mark.parametrize(
    ("window", "size"),
    [(1, 1), (120, 1), (121, 60), (7_200, 60), (7_201, 3_600), (DAY, 3_600), (35 * DAY, 3_600)],
)
def test_finest_level_answers(window: int, size: int) -> None:
    """Windows up to 2 min are accurate to 1 s, up to 2 h to 1 min, up to 35 d to 1 h."""
    assert size == level_of(window).size


@pytest.mark.parametrize("window", [0, -1, 0.5, 35 * DAY + 1, float("nan"), float("inf")])
def test_other_windows_are_refused(window: float) -> None:
    """A window that is not within 1 s and 35 d is an error that names the limits."""
    with pytest.raises(ValueError, match=r"window_seconds must be at least 1 and at most 3024000"):
        bucket_span(window, NOW)


def test_kept_buckets_reach_one_beyond_the_longest_window() -> None:
    """Each level keeps the buckets of its longest window and the oldest one that counts whole."""
    assert [121, 121, 841] == [level.kept for level in LEVELS]


@given(windows, st.floats(0, 4e9))
def test_span_begins_with_the_bucket_that_holds_the_window_s_begin(window: int, now: float) -> None:
    """The oldest bucket holds the instant `window` seconds ago, and the level keeps that many buckets."""
    size, oldest = bucket_span(window, now)
    assert oldest * size <= now - window < (oldest + 1) * size
    level = level_of(window)
    assert 1 <= level.bucket(now) - oldest + 1 <= level.kept


@given(steps, windows, st.floats(0, 8_000))
def test_window_counts_at_most_one_bucket_more_than_asked(
    steps: list[tuple[float, int, float]], window: int, later: float
) -> None:
    """Against an exact log with late entries: all of the window counts, nothing older than one bucket more."""
    now, log, kept = NOW, [], Windows(NOW)
    for pause, amount, age in steps:
        now += pause
        log.append((now - age, amount))
        kept.add(amount, now, age)
    now += later

    def exact(seconds: float) -> int:
        return sum(amount for when, amount in log if when >= now - seconds)

    assert exact(window) <= kept.last(window, now) <= exact(window + level_of(window).size)


@given(steps, windows, st.floats(-8_000, 8_000))
def test_buckets_add_up_to_the_window(steps: list[tuple[float, int, float]], window: int, later: float) -> None:
    """Each bucket is what a plain count of the kept ones gives it, whatever the clock does, and their sum is the
    window's.
    """
    now, kept = NOW, Windows(NOW)
    for pause, amount, age in steps:
        now += pause
        kept.add(amount, now, age)
    span = span_of(window, now + later)
    newest, amounts = kept.snapshot()[span.size]
    values = kept.spread(span)

    assert span.spread(enumerate(amounts, newest + 1 - len(amounts))) == values
    assert span.count == len(values)
    assert kept.last(window, now + later) == sum(values)


@pytest.mark.parametrize("later", [-1e9, 1e9])
def test_buckets_of_a_clock_far_away(later: float) -> None:
    """A clock that was set back by decades finds all in the running bucket, one set ahead nothing; neither costs
    memory.
    """
    kept = Windows(NOW)
    kept.add(3, NOW)

    assert [0.0] * 60 + [3.0 if later < 0 else 0.0] == kept.spread(span_of(60, NOW + later))


def test_span_tells_its_buckets() -> None:
    """How many they are, and when the oldest begins."""
    span = span_of(121, NOW)

    assert Span(60, 28_333_331, 28_333_333) == span
    assert (3, 1_699_999_860.0) == (span.count, span.begins)


def test_mean_of_no_sample_is_0() -> None:
    """A bucket without samples has no mean, and 0 stands for it."""
    assert [2.5, 0, 0] == divide([5, 0, 0], [2, 0, 1])


def test_clock_that_goes_back_loses_nothing() -> None:
    """What is added after the clock went back counts as if at the latest time seen, so that a limit still holds."""
    kept = Windows(NOW)
    kept.add(1, NOW)
    kept.add(2, NOW - 7_200)

    assert [3, 3] == [kept.last(1, NOW), kept.last(1, NOW - 7_200)]


def test_busy_counter_stays_within_ten_kilobytes() -> None:
    """Forty days of an increment a minute take no more than the buckets that any window can ask for."""
    kept = Windows(NOW)
    for minute in range(40 * 1440):
        kept.add(1, NOW + minute * 60)

    rings = kept._rings.values()
    assert sum(sys.getsizeof(ring._amounts) for ring in rings) <= 10 * 1024
    assert [121, 121, 841] == [len(ring._amounts) for ring in rings]
