"""One call of a provider, from its plan to its record."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import read_json
from coo_middleware.core.entry import Entry, reused_fields
from coo_middleware.core.exchange import Exchange
from coo_middleware.core.notice import add_fields, forward_fields, hit_fields, resize_fields
from coo_middleware.core.record import CacheStatus, ErrorType, Record, classify_error
from coo_middleware.core.request import Headers
from coo_middleware.core.storable import refuse_storing
from coo_middleware.estimator import estimate_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.config import Policy
    from coo_middleware.context import CooContext
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan
    from coo_middleware.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Reply:
    """What answers without the app: the stored response `entry`, or, where that is None, a refusal."""

    status: int
    headers: Headers
    content: bytes
    entry: Entry | None = None


class Call:
    """Settles one request once: what is stored, and what is counted for whom."""

    __slots__ = (
        "_count",
        "_policy",
        "_recorder",
        "_started",
        "asking",
        "context",
        "exchange",
        "fields",
        "plan",
        "reply",
    )

    def __init__(
        self,
        policy: Policy,
        plan: Plan,
        headers: Headers,
        context: CooContext,
        recorder: Recorder,
        *,
        count: Callable[[str], int] | None = None,
    ) -> None:
        self._count: Final = count
        self._policy: Final = policy
        self._recorder: Final = recorder
        self._started: Final = time.perf_counter()
        self.plan: Final = plan
        self.context: Final = context
        self.fields: Final = forward_fields(plan)
        self.reply: Reply | None = None
        # What the app gets where usage is asked for.
        self.asking: Final = _resize(plan.asking, headers)
        strip = plan.format.strip if plan.asking is not None else None
        self.exchange: Final = Exchange(
            plan.format, policy.cache.max_entry_bytes, streams=plan.shape.stream, strip=strip
        )

    def find_reply(self, entry: Entry | None, content: bytes | None, now: float) -> None:
        """Sets `reply` when `entry` may answer with `content`, or nothing stored may and the client wants nothing else
        (RFC 9111 section 5.2.1.7).
        """
        if entry is not None and content is not None:
            self.reply = Reply(200, hit_fields(entry, now, self.plan.shape, len(content)), content, entry)
        elif self.plan.directives.only_if_cached:
            body = self.plan.format.error_body(504, "only-if-cached was asked for, and no fresh response is stored")
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            self.reply = Reply(504, add_fields(headers, self.fields, rewritten=False), body)

    def finish_reply(self, reply: Reply) -> None:
        """Counts a reused response for the provider and key that once did the work; a refusal is nobody's."""
        if reply.entry is None:
            self._recorder.counts["only_if_cached"] += 1
            return
        self.context.cache_status = "hit"
        self.context.provider, self.context.key_id = reply.entry.provider, reply.entry.key_id
        self._recorder.counts["hits"] += 1
        self._record("hit", 200, reply.entry.usage, "", "hit")

    def finish(self, now: float, *, raised: bool, disconnected: bool) -> Entry | None:
        """Counts a forwarded request, and gives the entry to store, None when it must not be."""
        answer, bypass = self._add_estimate(self.exchange.answer()), self.plan.bypass
        refusal = "exception" if raised else self._refuse(answer)
        error_type = classify_error(answer, raised=raised, disconnected=disconnected)
        self._recorder.counts["bypass." + bypass if bypass else "misses"] += 1
        if refusal and not bypass:
            self._recorder.counts["unstored." + refusal] += 1
        # Without a whole request no provider was asked.
        if bypass != "aborted":
            self._record("bypass" if bypass else "miss", answer.status, answer.outcome.usage, error_type, refusal)
        return None if refusal else self._make_entry(answer, now)

    def _add_estimate(self, answer: Answer) -> Answer:
        """The answer with an estimate of its usage, where one is wanted and the provider told none."""
        if self._count is None or answer.outcome.usage is not None or answer.status != 200:
            return answer
        request = read_json(self.plan.content)
        if not isinstance(request, dict):
            return answer
        try:
            usage = estimate_usage(self._count, request, self.exchange.documents())
        except Exception as error:
            # The request is counted all the same.
            self._recorder.report("internal_errors", error)
            return answer
        return replace(answer, outcome=replace(answer.outcome, usage=usage))

    def _refuse(self, answer: Answer) -> str:
        if self.plan.bypass:
            return self.plan.bypass
        if self.plan.directives.no_store:
            return "no-store"
        if self.context.is_bypassed:
            return "handler"
        return refuse_storing(answer, self._policy.cache, stream=self.plan.shape.stream)

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
            shape=self.plan.asked,
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


def _resize(asking: bytes | None, headers: Headers) -> tuple[bytes, Headers] | None:
    return None if asking is None else (asking, resize_fields(headers, len(asking)))
