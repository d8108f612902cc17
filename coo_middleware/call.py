"""One call of a provider, from its plan to its record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from coo_middleware.adoption import settle_trial
from coo_middleware.core.exchange import Exchange
from coo_middleware.core.freshness import judge
from coo_middleware.core.judgement import refuse_answer
from coo_middleware.core.notice import (
    add_fields,
    follower_fields,
    forward_fields,
    hit_fields,
    resize_fields,
    shared_fields,
    spare_fields,
)
from coo_middleware.core.record import CacheStatus, ErrorType, Record, classify_error
from coo_middleware.core.steering import answer_wishes, effective_ttl
from coo_middleware.core.storable import refuse_fields
from coo_middleware.core.trial import TRIAL_FIELDS, Trial
from coo_middleware.estimator import add_estimate
from coo_middleware.making import make_entry
from coo_middleware.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.config import Policy
    from coo_middleware.context import CooContext
    from coo_middleware.core.batch import Batch, Rest
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.freshness import Fwd
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.request import Headers
    from coo_middleware.recorder import Recorder

# Beside every status from 500 on; 0 is no answer at all.
_FAILED: Final = frozenset({0, 408, 429})
_COUNTS: Final[dict[CacheStatus, str]] = {"hit": "hits", "stale": "stale", "collapsed": "collapsed"}


class Call:
    """Settles one request once: what is stored, and what is counted for whom."""

    __slots__ = (
        "_count",
        "_ended",
        "_headers",
        "_policy",
        "_recorder",
        "_spare",
        "_started",
        "_trial",
        "_tried",
        "answer",
        "asking",
        "batch",
        "context",
        "exchange",
        "fwd",
        "generation",
        "is_cut_off",
        "is_refresh",
        "plan",
        "reply",
        "rest",
        "revalidates",
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
        batch: Batch | None = None,
    ) -> None:
        self.batch: Final = batch
        self.rest: Rest | None = None
        self._count: Final = count
        self._headers: Final = headers
        self._policy: Final = policy
        self._recorder: Final = recorder
        self._started: Final = time.perf_counter()
        self._ended = 0.0
        self.generation = 0
        self._spare: tuple[Entry, bytes] | None = None
        self._tried: Entry | None = None
        self._trial: Trial | None = None
        self.plan: Final = plan
        self.context: Final = context
        self.fwd: Fwd = "miss"
        # By a store that did not answer to this request's look-up.
        self.is_cut_off = False
        self.is_refresh = False
        self.revalidates = False
        self.reply: Reply | None = None
        self.answer: Answer | None = None
        # What the app gets where usage is asked for.
        self.asking: Final = _resize(plan.asking, headers)
        strip = plan.format.strip if plan.asked.usage else None
        limit = plan.policy.max_entry_bytes if batch is None else batch.limit
        self.exchange: Final = Exchange(plan.format, limit, streams=plan.shape.stream, strip=strip)

    def make_refresh(self, context: CooContext) -> Call:
        """A call that asks for the same on nobody's behalf."""
        call = Call(
            self._policy, self.plan, self._headers, context, self._recorder, count=self._count, batch=self.batch
        )
        call.is_refresh = True
        call.generation = self.generation
        return call

    def make_rest(self, rest: Rest) -> Call:
        """A call that asks for what is left of this request."""
        call = Call(
            self._policy,
            rest.left.plan,
            self._headers,
            self.context,
            self._recorder,
            count=self._count,
            batch=rest.left,
        )
        call.generation = self.generation
        return call

    def find_reply(self, entry: Entry | None, content: bytes | None, now: float) -> None:
        """Sets `reply` when `entry` may answer with `content`, or nothing stored may and the client wants nothing else
        (RFC 9111 section 5.2.1.7).
        """
        if entry is not None and content is not None:
            verdict = judge(entry, self.plan.directives, now)
            self.fwd = verdict.fwd
            if verdict.serves:
                status: CacheStatus = "hit" if verdict.fwd == "request" else "stale"
                fields = hit_fields(entry, now, self.plan.shape, len(content))
                self.revalidates = verdict.revalidates and not self.plan.directives.only_if_cached
                self.reply = Reply(200, fields, content, entry, status)
                return
            self._spare = (entry, content) if verdict.spares else None
        if self.plan.directives.only_if_cached:
            self.reply = self._refuse_forwarding()

    def withhold(self, entry: Entry, now: float) -> None:
        """Has the request forwarded though `entry` would answer it, for policy.cache.mode to see what comes. A response
        still answers where the upstream fails; a marker has nothing to answer with.
        """
        if self.reply is not None and self.reply.entry is not None:
            self._tried, self._spare, self.reply = entry, (entry, self.reply.content), None
        elif self.plan.policy.mode == "observe":
            verdict = judge(entry, self.plan.directives, now)
            self._tried, self.revalidates = entry if verdict.serves else None, verdict.revalidates

    def spares(self, status: int = 0) -> bool:
        """Whether a stale response answers in place of a failure with that status, 0 for an exception."""
        return self._spare is not None and (status >= 500 or status in _FAILED)

    def make_spare_reply(self, status: int, now: float) -> Reply | None:
        """That stale response, None where there is none."""
        if self._spare is None:
            return None
        entry, content = self._spare
        fields = spare_fields(entry, now, self.plan.shape, len(content), status)
        return Reply(200, fields, content, entry, "stale")

    def make_shared_reply(self, entry: Entry, content: bytes) -> Reply:
        """The response that another request's call has just brought, in the shape that this one wants."""
        return Reply(200, follower_fields(entry, self.plan, self.fwd, len(content)), content, entry, "collapsed")

    def announce(self, status: int, headers: Headers) -> Headers:
        """What the answer to this request adds to a header section that begins with `status`."""
        if self._tried is not None:
            return TRIAL_FIELDS
        lives = effective_ttl(self.plan.policy, self.plan.directives, answer_wishes(headers), self.context.ttl) > 0
        stored = lives and status == 200 and self.plan.policy.mode != "observe" and not self._refuse_early(headers)
        return forward_fields(self.plan, self.fwd, stored=stored)

    def tell_shared(self, headers: Headers, *, rewritten: bool) -> list[tuple[bytes, bytes]]:
        """The header section that another request's call brought, as this one gets it."""
        return shared_fields(headers, forward_fields(self.plan, self.fwd, collapsed=True), rewritten=rewritten)

    def may_share(self, headers: Headers) -> bool:
        """Whether an answer with that header section may go to other requests with the same key."""
        return not self._refuse_early(headers)

    @property
    def codings(self) -> bytes:
        """The content codings that the client takes, in its words."""
        return b",".join(value for name, value in self._headers if name.lower() == b"accept-encoding")

    @property
    def is_trial(self) -> bool:
        """Whether it is made to see what comes in place of a stored response."""
        return self._tried is not None

    def finish_reply(self, reply: Reply) -> None:
        """Counts a reused response for the provider and key that once did the work; a refusal is nobody's."""
        if reply.entry is None:
            self._recorder.counts["only_if_cached"] += 1
            return
        self._adopt(reply.cache_status, reply.entry.provider, reply.entry.key_id)
        self._record(reply.cache_status, 200, reply.entry.usage, "", "hit")

    def hear_out(self) -> None:
        """What was answered is another process's to count and to store."""
        answer = self._find_answer()
        self.answer = answer if answer.status else None

    def end(self) -> None:
        """The client has what it gets; the record may still have to wait for what the call cost."""
        self._ended = time.perf_counter()

    def finish_shared(self, leader: Call, *, raised: bool, left: bool) -> None:
        """Counts a request that was answered by the call of another one, which has been settled."""
        answer = leader.answer
        if answer is None:
            return
        error_type = "client_disconnect" if left else classify_error(answer, raised=raised, disconnected=False)
        self._adopt("collapsed", leader.context.provider, leader.context.key_id)
        self._record("collapsed", answer.status, None if left else answer.outcome.usage, error_type, "collapsed")

    def finish(self, now: float, *, raised: bool, disconnected: bool) -> Entry | None:
        """Counts a forwarded request, and gives the entry to store, None when it must not be."""
        answer, bypass = self._find_answer(), self.plan.bypass
        self.answer = answer
        given = self.context
        refusal = "exception" if raised else refuse_answer(self.plan, answer, given.ttl, bypassed=given.is_bypassed)
        self._trial = settle_trial(self.plan, self._tried, answer, refusal, self._recorder)
        # A stale one that was to be renewed is; a fresh one would have stayed until its time is over.
        refusal = refusal or ("would-hit" if self._trial and not self.revalidates else "")
        error_type = classify_error(answer, raised=raised, disconnected=disconnected)
        self._recorder.counts["bypass." + bypass if bypass else "refreshes" if self.is_refresh else "misses"] += 1
        if refusal and not bypass:
            self._recorder.counts["unstored." + refusal] += 1
        # Without a whole request no provider was asked.
        if bypass != "aborted":
            self._record("bypass" if bypass else "miss", answer.status, answer.outcome.usage, error_type, refusal)
        return None if refusal else make_entry(self.plan, self.context, answer, self.generation, now)

    def _find_answer(self) -> Answer:
        """The answer that went by, with an estimate of its usage where one is wanted and the provider told none."""
        answer = self.exchange.answer()
        if self._count is None:
            return answer
        try:
            return add_estimate(self._count, self.plan.content, answer, self.exchange.documents)
        except Exception as error:
            # The request is counted all the same.
            self._recorder.report("internal_errors", error)
            return answer

    def _refuse_forwarding(self) -> Reply:
        body = self.plan.format.error_body(504, "only-if-cached was asked for, and no fresh response is stored")
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        return Reply(504, add_fields(headers, forward_fields(self.plan, self.fwd), rewritten=False), body)

    def _adopt(self, cache_status: CacheStatus, provider: str, key_id: str) -> None:
        self.context.cache_status = cache_status
        self.context.provider, self.context.key_id = provider, key_id
        self._recorder.counts[_COUNTS[cache_status]] += 1

    def _refuse_early(self, headers: Headers) -> str:
        """What the header section alone tells against sharing."""
        if self.plan.bypass or self.plan.directives.no_store or self.context.is_bypassed:
            return "bypass"
        return refuse_fields(headers, self.plan.policy, self.plan.caller)

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
            duration=(self._ended or time.perf_counter()) - self._started,
            error_type=error_type,
            stored=stored,
            trial=self._trial,
        )
        self._recorder.record(record)


def _resize(asking: bytes | None, headers: Headers) -> tuple[bytes, Headers] | None:
    return None if asking is None else (asking, resize_fields(headers, len(asking)))
