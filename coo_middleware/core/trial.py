"""Hits that were not served, because the operator wants to see first what they would be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.difference import Divergence, Said, compare_answers

if TYPE_CHECKING:
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.policy import CachePolicy
    from coo_middleware.core.request import Headers

WOULD_HITS: Final = "would_hits"
TOKENS_WOULD_SAVE: Final = "tokens_would_save"
COST_WOULD_SAVE: Final = "cost_would_save"
SHADOW_CHECKS: Final = "shadow_checks"
SHADOW_DIFFERS: Final = "shadow_differs"

_SAME: Final = ("equal", "volatile")

# RFC 9211 section 2.2: `bypass` is what the cache was configured not to handle.
TRIAL_FIELDS: Final[Headers] = (
    (b"cache-status", b"coo; fwd=bypass; detail=would-hit"),
    (b"x-coo-cache", b"MISS"),
)


def trial_policy(policy: CachePolicy) -> CachePolicy:
    """The policy as its mode leaves it: while observing, requests in flight are not shared either."""
    return replace(policy, collapse=False) if policy.mode == "observe" else policy


@dataclass(frozen=True, slots=True)
class Trial:
    """A fresh stored response that did not answer. `divergence` is how the upstream's answer differed from it, None
    where there was nothing to compare: no content is kept, or the answer that came was none that could be stored.
    """

    divergence: Divergence | None = None


def make_marker(entry: Entry) -> Entry:
    """What observing keeps of an answer: that it came, when, of whom and at what cost, and none of its content."""
    return replace(entry, headers=(), content=b"")


def judge_trial(plan: Plan, entry: Entry, answer: Answer, refusal: str) -> Trial:
    """The trial of a hit on `entry` that was forwarded, and got `answer`; `refusal` is why that could not be stored, or
    "".
    """
    if plan.policy.mode == "observe" or refusal or answer.content is None:
        return Trial()
    stored = Said(entry.shape, entry.headers, entry.content)
    return Trial(compare_answers(plan.format, stored, Said(plan.asked, answer.headers, answer.content)))


def count_trial(trial: Trial, usage: Usage | None, cost: float | None, number: int = 1) -> list[tuple[str, float]]:
    """The increments of one trial, or of so many alike; `usage` is what the upstream's answer took, and `cost` what it
    cost in US dollars: what the hit would have saved, or all of them.
    """
    counts = [(WOULD_HITS, float(number))]
    if usage is not None and usage.tokens:
        counts.append((TOKENS_WOULD_SAVE, float(usage.tokens)))
    if cost:
        counts.append((COST_WOULD_SAVE, cost))
    if trial.divergence is not None:
        counts.append((SHADOW_CHECKS, float(number)))
        counts += [(SHADOW_DIFFERS, float(number))] * (trial.divergence.kind not in _SAME)
    return counts
