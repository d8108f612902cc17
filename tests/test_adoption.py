"""Which hits are forwarded all the same."""

from __future__ import annotations

import pytest

from coo_middleware.adoption import Adoption, settle_trial
from coo_middleware.config import MetricsPolicy
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.trial import Trial
from coo_middleware.outbox import Outbox
from coo_middleware.recorder import Recorder
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import ANSWER
from tests.plans import HEADERS, make_plan
from tests.test_trial import answer_of, entry_of


def withheld(draws: list[float], policy: CachePolicy, wish: bytes = b"") -> list[bool]:
    """For which of these draws the hit does not answer."""
    numbers = iter(draws)
    adoption = Adoption(lambda: next(numbers))
    plan = make_plan(headers=(*HEADERS, (b"cache-control", wish)), policy=policy)
    return [adoption.withholds(plan) for _ in draws]


@pytest.mark.parametrize("wish", [b"", b"only-if-cached"])
def test_serving_withholds_nothing_and_observing_everything(wish: bytes) -> None:
    """Neither serve nor observe leaves anything to chance."""
    assert [False, False] == withheld([0.0, 0.9], CachePolicy(), wish)
    assert [True, True] == withheld([0.0, 0.9], CachePolicy(mode="observe"), wish)


def test_a_shadow_withholds_its_share() -> None:
    """Of all draws those below the share are forwarded; a share of 0 and of 1 mean none and all."""
    draws = [0.0, 0.24, 0.25, 0.999]

    assert [True, True, False, False] == withheld(draws, CachePolicy(mode="shadow", shadow_share=0.25))
    assert [False] * 4 == withheld(draws, CachePolicy(mode="shadow", shadow_share=0.0))
    assert [True] * 4 == withheld(draws, CachePolicy(mode="shadow", shadow_share=1.0))


def test_who_wants_only_a_stored_response_gets_it() -> None:
    """A client that said only-if-cached is never asked for elsewhere (RFC 9111 section 5.2.1.7)."""
    assert [False] == withheld([0.0], CachePolicy(mode="shadow", shadow_share=1.0), b"only-if-cached")


def make_recorder() -> Recorder:
    return Recorder(Outbox(MemoryStore(), ""), MetricsPolicy())


def test_a_trial_is_counted_here() -> None:
    """The process's own counters tell the would-be hits and the kinds of differences."""
    recorder, plan = make_recorder(), make_plan(policy=CachePolicy(mode="shadow"))
    entry = entry_of(plan)

    settle_trial(plan, entry, answer_of(), "", recorder)
    settle_trial(plan, entry, answer_of(ANSWER.replace(b"Hello", b"Hi")), "", recorder)
    settle_trial(plan, entry, answer_of(), "status", recorder)

    assert {"would_hits": 3, "shadow.equal": 1, "shadow.text": 1} == recorder.counts


def test_nothing_withheld_is_no_trial() -> None:
    """A request that had no stored response is none of a trial's business."""
    recorder = make_recorder()

    assert None is settle_trial(make_plan(), None, answer_of(), "", recorder)
    assert {} == recorder.counts


def test_a_fault_of_ours_costs_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the comparison fails, the would-be hit is counted all the same, and the fault is reported."""

    def fail(*arguments: object) -> Trial:
        raise RuntimeError

    monkeypatch.setattr("coo_middleware.adoption.judge_trial", fail)
    recorder, plan = make_recorder(), make_plan(policy=CachePolicy(mode="shadow"))

    assert Trial() == settle_trial(plan, entry_of(plan), answer_of(), "", recorder)
    assert {"would_hits": 1, "internal_errors": 1} == recorder.counts
