"""Where requests are settled: what each of them was, whose, and what it cost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from coo_middleware.core.record import Record
from coo_middleware.estimator import add_estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.call import Call
    from coo_middleware.config import Policy
    from coo_middleware.core.exchange import Answer, Exchange
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.record import CacheStatus, ErrorType
    from coo_middleware.prices import Prices
    from coo_middleware.recorder import Recorder


class Accounts:
    """Settles with `recorder`. `count` estimates the tokens of answers for which the provider tells none."""

    __slots__ = ("_count", "_is_on", "_prices", "recorder")

    def __init__(
        self, policy: Policy, recorder: Recorder, prices: Prices, count: Callable[[str], int] | None = None
    ) -> None:
        self._count: Final = count
        self._is_on: Final = policy.metrics.enabled
        self._prices: Final = prices
        self.recorder: Final = recorder

    def open(self) -> None:
        """Has the published prices loaded aside, where they are installed, before a request needs them."""
        self.recorder.spawn(asyncio.to_thread(self._prices.open))

    def find_answer(self, plan: Plan, exchange: Exchange) -> Answer:
        """The answer that went by, with an estimate of its usage where one is wanted and the provider told none."""
        answer = exchange.answer()
        if self._count is None:
            return answer
        try:
            return add_estimate(self._count, plan.content, answer, exchange.documents)
        except Exception as error:
            # The request is counted all the same.
            self.recorder.report("internal_errors", error)
            return answer

    def record(
        self,
        call: Call,
        cache_status: CacheStatus,
        status: int,
        usage: Usage | None,
        *,
        error_type: ErrorType,
        stored: str,
        asked: bool = True,
    ) -> None:
        """Counts a request; unless it `asked` a provider itself, as a refused one did not, for no provider."""
        if not self._is_on:
            return
        plan, context, timing = call.plan, call.context, call.timing
        provider, model = context.provider, plan.model
        # By place, in the order of its fields: by name it takes half as long again.
        record = Record(
            provider,
            context.key_id,
            plan.format.operation,
            model,
            status,
            cache_status,
            usage,
            timing.duration,
            error_type,
            stored,
            call.trial,
            None if usage is None else self._prices.cost(provider, model, usage),
            asked,
            timing.first_chunk,
            timing.chunk_gap,
            timing.overhead,
            timing.store_time,
        )
        self.recorder.record(record)
