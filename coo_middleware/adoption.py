"""Trying the cache out: `policy.cache.mode` observe and shadow."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from coo_middleware.core.trial import Trial, judge_trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.entry import Entry
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.plan import Plan
    from coo_middleware.recorder import Recorder


class Adoption:
    """Chooses the hits that are forwarded all the same; `draw` gives a number from 0 to below 1 each time."""

    __slots__ = ("_draw",)

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw: Final = draw

    def withholds(self, plan: Plan) -> bool:
        """Whether a fresh stored response must not answer this request: in observe none does, in shadow a share of them
        does not, but a client that wants nothing else than a stored response gets it.
        """
        policy = plan.policy
        if policy.mode != "shadow":
            return policy.mode == "observe"
        return not plan.directives.only_if_cached and self._draw() < policy.shadow_share


def settle_trial(plan: Plan, entry: Entry | None, answer: Answer, refusal: str, recorder: Recorder) -> Trial | None:
    """What came in place of `entry`, counted in this process's own counters: `would_hits`, and `shadow.` with the kind
    of the difference. None where nothing was withheld. A fault of ours costs the comparison and no more.
    """
    if entry is None:
        return None
    recorder.counts["would_hits"] += 1
    try:
        trial = judge_trial(plan, entry, answer, refusal)
    except Exception as error:
        recorder.report("internal_errors", error)
        return Trial()
    if trial.divergence is not None:
        recorder.counts["shadow." + trial.divergence.kind] += 1
    return trial
