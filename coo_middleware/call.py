"""One call of a provider, from its plan to its record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from coo_middleware.core.entry import Entry, reused_fields
from coo_middleware.core.exchange import Exchange
from coo_middleware.core.policy import refuse_storing
from coo_middleware.core.record import CacheStatus, ErrorType, Record, classify_error

if TYPE_CHECKING:
    from coo_middleware.config import Policy
    from coo_middleware.context import CooContext
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan
    from coo_middleware.recorder import Recorder


class Call:
    """Settles one request once: what is stored, and what is counted for whom."""

    __slots__ = ("_policy", "_recorder", "_started", "context", "exchange", "plan")

    def __init__(self, policy: Policy, plan: Plan, context: CooContext, recorder: Recorder) -> None:
        self._policy: Final = policy
        self._recorder: Final = recorder
        self._started: Final = time.perf_counter()
        self.plan: Final = plan
        self.context: Final = context
        strip = plan.format.strip if plan.asking is not None else None
        self.exchange: Final = Exchange(plan.format, policy.cache.max_entry_bytes, strip)

    def finish_hit(self, entry: Entry) -> None:
        """Counts a reused response for the provider and key that once did the work."""
        self.context.cache_status = "hit"
        self.context.provider, self.context.key_id = entry.provider, entry.key_id
        self._recorder.counts["hits"] += 1
        self._record("hit", 200, entry.usage, "", "hit")

    def finish(self, now: float, *, raised: bool, disconnected: bool) -> Entry | None:
        """Counts a forwarded request, and gives the entry to store, None when it must not be. Never raises."""
        try:
            return self._finish(now, raised=raised, disconnected=disconnected)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None

    def _finish(self, now: float, *, raised: bool, disconnected: bool) -> Entry | None:
        answer = self.exchange.answer()
        refusal = "exception" if raised else self._refuse(answer)
        error_type = classify_error(answer, raised=raised, disconnected=disconnected)
        self._recorder.counts["bypass." + self.plan.bypass if self.plan.bypass else "misses"] += 1
        if refusal and not self.plan.bypass:
            self._recorder.counts["unstored." + refusal] += 1
        self._record("bypass" if self.plan.bypass else "miss", answer.status, answer.outcome.usage, error_type, refusal)
        return None if refusal else self._make_entry(answer, now)

    def _refuse(self, answer: Answer) -> str:
        if self.plan.bypass:
            return self.plan.bypass
        if self.plan.directives.no_store:
            return "no-store"
        if self.context.is_bypassed:
            return "handler"
        return refuse_storing(answer, self._policy.cache, stream=self.plan.stream)

    def _make_entry(self, answer: Answer, now: float) -> Entry:
        ttl = self.context.ttl
        return Entry(
            digest=self.plan.digest,
            created=now,
            ttl=self._policy.cache.ttl_seconds if ttl is None else ttl,
            provider=self.context.provider,
            key_id=self.context.key_id,
            model=answer.outcome.model,
            format=self.plan.format.name,
            stream=self.plan.stream,
            usage=answer.outcome.usage,
            headers=reused_fields(answer.headers),
            content=answer.content or b"",
        )

    def _record(
        self, cache_status: CacheStatus, status: int, usage: Usage | None, error_type: ErrorType, stored: str
    ) -> None:
        if not self._policy.metrics.enabled:
            return
        record = Record(
            provider=self.context.provider,
            key_id=self.context.key_id,
            operation=self.plan.format.operation,
            model=self.plan.model,
            status=status,
            cache_status=cache_status,
            usage=usage,
            duration=time.perf_counter() - self._started,
            error_type=error_type,
            stored=stored,
        )
        self._recorder.record(record)
