"""Each request meets its limits, each subject its own, and names tell nothing that is secret."""

from __future__ import annotations

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.demand import Demand
from coo_middleware.core.limit_rules import LimitRules, Subjects
from coo_middleware.core.limits import Take, check_takes
from coo_middleware.core.quotas import LimitRule, Subject

ALICE = Subjects("0123456789ab", "gpt-4o", "/v1/chat/completions", "openai", "key-1")
EVERYTHING = LimitRule(
    "all", window_seconds=3600.0, requests=6, tokens=5, input_tokens=4, output_tokens=3, cost=2.5, concurrency=1
)
ALL_SUBJECTS: tuple[Subject, ...] = ("caller", "model", "path", "provider", "key")
TEXTS = st.text(max_size=300)


def names(rule: LimitRule, subjects: Subjects = ALICE) -> list[str]:
    return [limit.name for limit in LimitRules((rule,)).find(subjects)]


def test_each_amount_is_a_limit_of_its_own() -> None:
    """A rule makes a limit of each kind that it gives an amount; calls at the same time have no window."""
    demand = Demand(1.0, 30.0, 12.0, 0.5)
    limits = LimitRules((EVERYTHING,)).find(ALICE)

    assert [
        Take("rule:all:requests:3600.0", 6.0, 3600.0, 1.0),
        Take("rule:all:tokens:3600.0", 5.0, 3600.0, 42.0),
        Take("rule:all:input_tokens:3600.0", 4.0, 3600.0, 30.0),
        Take("rule:all:output_tokens:3600.0", 3.0, 3600.0, 12.0),
        Take("rule:all:cost:3600.0", 2.5, 3600.0, 0.5),
        Take("rule:all:concurrency:0.0", 1.0, 0.0, 1.0),
    ] == [limit.take(demand) for limit in limits]
    assert ["all:requests", "all:tokens"] == [limit.label for limit in limits][:2]


def test_an_amount_of_0_is_no_limit() -> None:
    """What is not limited makes no take, and a rule with one limit shows under its own name."""
    limits = LimitRules((LimitRule("minute", requests=60),)).find(ALICE)

    assert ["minute"] == [limit.label for limit in limits]
    assert ["requests"] == [limit.kind for limit in limits]


@pytest.mark.parametrize(
    "rule",
    [
        LimitRule("a", requests=1),
        LimitRule("a", requests=1, path="/v1/*"),
        LimitRule("a", requests=1, model="gpt-?o", provider="open*"),
        LimitRule("a", requests=1, model="GPT-4*"),
    ],
)
def test_a_rule_fits_by_path_model_and_provider(rule: LimitRule) -> None:
    """`*` stands for any text, `?` for one character; the case of a model does not count."""
    assert LimitRules((rule,)).applies(ALICE.path, ALICE.model, ALICE.provider)
    assert 1 == len(names(rule))


@pytest.mark.parametrize(
    "rule",
    [
        LimitRule("a", requests=1, path="/v2/*"),
        LimitRule("a", requests=1, path="/V1/*"),
        LimitRule("a", requests=1, model="gpt-4"),
        LimitRule("a", requests=1, model="gpt-4o", provider="anthropic"),
    ],
)
def test_a_rule_that_does_not_fit_limits_nothing(rule: LimitRule) -> None:
    """All that a rule says has to fit, and whole."""
    assert not LimitRules((rule,)).applies(ALICE.path, ALICE.model, ALICE.provider)
    assert [] == names(rule)


@pytest.mark.parametrize("subject", ALL_SUBJECTS)
def test_each_subject_has_its_own(subject: Subject) -> None:
    """Two values of what a rule is per have two limits; values of anything else share one."""
    fields = {each: getattr(ALICE, each) for each in ALL_SUBJECTS}
    other = Subjects(**fields | {subject: "other"})
    per = names(LimitRule("a", per=(subject,), requests=1), other)
    rest = tuple(each for each in ALL_SUBJECTS if each not in {subject, "key"})

    assert per != names(LimitRule("a", per=(subject,), requests=1))
    assert names(LimitRule("a", per=rest, requests=1), other) == names(LimitRule("a", per=rest, requests=1))


@pytest.mark.parametrize("model", ["GPT-4o", " gpt-4o ", "Gpt-4O"])
def test_spellings_of_a_model_are_one_subject(model: str) -> None:
    """Writing a model's name in another way gives nobody a limit of its own, nor a way past its rule."""
    rule = LimitRule("a", per=("model",), model="gpt-4o", requests=1)
    other = Subjects(ALICE.caller, model, ALICE.path, ALICE.provider, ALICE.key)

    assert names(rule) == names(rule, other)


def test_keys_of_two_providers_are_two() -> None:
    """Keys that have one name with two providers have limits of their own."""
    rule = LimitRule("a", per=("key",), requests=1)
    other = Subjects(ALICE.caller, ALICE.model, ALICE.path, "anthropic", ALICE.key)

    assert names(rule) != names(rule, other)


@given(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS))
def test_a_name_is_fit_for_a_store_and_for_one_subject(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Whatever a caller sends, the name is one that every store takes, and is another for another subject."""
    rule = LimitRule("n" * 64, per=ALL_SUBJECTS, requests=1)
    first, second = (LimitRules((rule,)).find(Subjects(*each))[0] for each in (one, other))
    folded = [(each[0], each[1].strip().casefold(), *each[2:]) for each in (one, other)]
    check_takes(((first.take(Demand()),),))

    assert (folded[0] == folded[1]) == (first.name == second.name)


def test_names_tell_no_secret() -> None:
    """A path may hold a credential, and a model may be anything: neither is spelled out where it is not plain."""
    rule = LimitRule("a", per=ALL_SUBJECTS, requests=1)
    secret = Subjects("0123456789ab", "tell me about my secret", "/sk-secret/v1/chat/completions", "openai", "key-1")
    [name] = names(rule, secret)

    assert "secret" not in name
    assert name.startswith("rule:a:requests:60.0:caller=0123456789ab:model=~")


def test_windows_of_two_lengths_are_two() -> None:
    """A rule whose window is changed begins anew, and does not count in a window of another length."""
    assert names(LimitRule("a", requests=1, window_seconds=60)) != names(LimitRule("a", requests=1, window_seconds=61))


def test_what_has_no_limits_costs_next_to_nothing() -> None:
    """To find out that none of fifty rules applies takes less than two microseconds, once such a request has come."""
    rules = LimitRules(LimitRule(f"r{n}", requests=1, model=f"m{n}*", path=f"/v{n}/*") for n in range(50))
    seconds = min(
        timeit.repeat(lambda: rules.applies(ALICE.path, ALICE.model, ALICE.provider), number=10_000, repeat=5)
    )

    assert seconds / 10_000 < 2e-6
