"""Which values labels may have, and how many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.families import REQUEST_DURATION, REQUESTS_TOTAL, Family
from coo_middleware.core.label_values import LabelValues, Ration, rank
from coo_middleware.core.providers import KeySettings, LLMProvider
from coo_middleware.core.routes import RoutePolicy

EU = LLMProvider("eu", "openai", api_keys=("sk-1",), keys=(KeySettings("team-a", "sk-2"),))
VALUES = LabelValues([EU], [RoutePolicy(provider="in-house")], ["gpt-*", "llama-?"])

sets = st.lists(st.tuples(st.sampled_from("pq"), st.text("kl", max_size=1), st.text("mn", max_size=2)), max_size=60)


@pytest.mark.parametrize(
    ("expected", "names"),
    [
        (("eu", "eu-1", "gpt-5"), ("eu", "eu-1", "gpt-5")),
        (("eu", "team-a", "llama-3"), ("eu", "team-a", "llama-3")),
        (("eu", "other", "other"), ("eu", "a1b2c3", "mistral")),
        (("openai", "other", "none"), ("openai", "team-a", "none")),
        (("aws.bedrock", "other", "gpt-5"), ("aws.bedrock", "", "gpt-5")),
        (("in-house", "other", "gpt-5"), ("in-house", "anonymous", "gpt-5")),
        (("other", "other", "gpt-5"), ("bedrock", "k", "gpt-5")),
        (("other", "other", "other"), ('made"up\n', "k", "gpt-\n5")),
        (("other", "other", "other"), ("", "", "gpt-" + "5" * 10_000)),
        (("other", "other", "other"), ("x/y", "", "gpt-\ud800")),
    ],
)
def test_what_is_not_configured_is_other(expected: tuple[str, str, str], names: tuple[str, str, str]) -> None:
    """Providers and keys are labels where they are configured or ours, models where a pattern fits them."""
    assert expected == VALUES.fold(*names)


def test_without_a_pattern_no_model_is_a_label() -> None:
    """An empty list of models leaves none but the one without a name."""
    assert ("openai", "other", "other") == LabelValues([], models=()).fold("openai", "k", "gpt-5")


def admit_all(ration: Ration, given: list[tuple[str, str, str]], family: Family) -> list[tuple[str, ...]]:
    rest = ("2xx", "hit") if family is REQUESTS_TOTAL else ()
    return [ration.admit(family, (*names, *rest)) for names in given]


@given(sets)
def test_series_stay_within_the_ration(given: list[tuple[str, str, str]]) -> None:
    """However many label sets come, they are no more series than may be, but for one of `other` alone."""
    admitted = {*admit_all(Ration(30), given, REQUESTS_TOTAL)}

    assert len(admitted - {("other", "other", "other", "2xx", "hit")}) <= 30


@given(sets)
def test_what_was_admitted_once_stays_so(given: list[tuple[str, str, str]]) -> None:
    """A label set is counted in the same place whenever it comes, so that no counter goes down."""
    ration = Ration(20)

    assert admit_all(ration, given, REQUESTS_TOTAL) == admit_all(ration, given, REQUESTS_TOTAL)


def test_a_histogram_counts_as_all_its_series() -> None:
    """A label set of a histogram takes as many series as Prometheus makes of it."""
    ration = Ration(30)

    assert [("p", "m", "hit"), ("other", "other", "hit")] == admit_all(
        ration, [("p", "m", "hit"), ("p", "n", "hit")], REQUEST_DURATION
    )
    assert 20 == REQUEST_DURATION.cost


def test_the_provider_is_kept_as_long_as_there_is_room() -> None:
    """Beyond the ration key and model become `other` first, and the provider when that is too much as well."""
    own = [("x", "k", str(number)) for number in range(9)]
    admitted = admit_all(Ration(10), [*own, ("p", "k", "m"), ("q", "k", "m"), ("p", "k", "n")], REQUESTS_TOTAL)

    assert own == [values[:3] for values in admitted[:9]]
    assert ["p", "other", "p"] == [values[0] for values in admitted[9:]]


@given(sets, sets)
def test_more_label_sets_never_bring_one_back(
    first: list[tuple[str, str, str]], more: list[tuple[str, str, str]]
) -> None:
    """In the order of `rank` a label set that had no room has none when further ones have come: `other` only grows."""

    def admitted(given: list[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        ration, left = Ration(12), set()
        for values in sorted({*given}, key=lambda each: rank(REQUESTS_TOTAL, (*each, "hit", "2xx"))):
            if ration.admit(REQUESTS_TOTAL, (*values, "hit", "2xx"))[:3] == values:
                left.add(values)
        return left

    assert admitted(first + more) & {*first} <= admitted(first)
