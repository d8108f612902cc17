"""core/limits.py: what a store may be asked to take."""

import pytest

from coo_middleware.core.limits import LONGEST_LIMIT_SECONDS, MOST, SHORTEST_LIMIT_SECONDS, Take, check_takes


@pytest.mark.parametrize(
    "take",
    [
        Take("n", 1e-9, 0.0, 0.0),
        Take("n" * 1024, MOST, LONGEST_LIMIT_SECONDS, MOST),
        Take(" :%\x00{}", 1.0, SHORTEST_LIMIT_SECONDS, 5.0),
    ],
)
def test_valid_takes_pass(take: Take) -> None:
    """The bounds themselves are allowed, and the same limit in several choices."""
    check_takes([(take,), (), (take,)])


@pytest.mark.parametrize(
    ("take", "text"),
    [
        (Take("", 1, 60, 1), "name must be 1 to 1024 ASCII characters; hash"),
        (Take("n" * 1025, 1, 60, 1), "name must be"),
        (Take("é", 1, 60, 1), "name must be"),
        (Take("n", 0, 60, 1), "limit must be a number above 0, .* leave a limit out where there is none"),
        (Take("n", float("inf"), 60, 1), "limit must be"),
        (Take("n", float("nan"), 60, 1), "limit must be"),
        (Take("n", 1, -60, 1), "window_seconds must be 0, or between 0.01 and 3024000, which is 35 days"),
        (Take("n", 1, 0.009, 1), "window_seconds must be"),
        (Take("n", 1, float("nan"), 1), "window_seconds must be"),
        (Take("n", 1, LONGEST_LIMIT_SECONDS + 1, 1), "window_seconds must be"),
        (Take("n", 1, 60, -1), "amount must be a number that is not negative, at most 1e15"),
        (Take("n", 1, 60, float("inf")), "amount must be"),
        (Take("n", 1, 60, float("nan")), "amount must be"),
    ],
)
def test_invalid_takes_are_refused(take: Take, text: str) -> None:
    """The error names the field and the rule, wherever the take stands."""
    with pytest.raises(ValueError, match=text):
        check_takes([(Take("valid", 1, 60, 1),), (Take("valid", 1, 60, 1), take)])


def test_choices_are_needed() -> None:
    """To take nothing is a choice, to choose among none is not."""
    check_takes([()])
    with pytest.raises(ValueError, match="choices: at least one is needed, and it may be empty"):
        check_takes([])


def test_a_limit_is_taken_once() -> None:
    """Two takes of one limit in one choice would each be let through without the other."""
    with pytest.raises(ValueError, match="name must be another in each take of a choice; add up"):
        check_takes([(Take("n", 1, 60, 1), Take("n", 1, 60, 1))])
