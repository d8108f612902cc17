"""One call of a provider, from its plan to its record."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.adoption import settle_trial
from coo_middleware.context import CooContext
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
from coo_middleware.core.record import CacheStatus, ErrorType, classify_error
from coo_middleware.core.steering import answer_wishes, effective_ttl
from coo_middleware.core.storable import refuse_fields
from coo_middleware.core.trial import TRIAL_FIELDS, Trial
from coo_middleware.making import make_entry
from coo_middleware.reply import Reply
from coo_middleware.timing import Timing

if TYPE_CHECKING:
    from coo_middleware.accounts import Accounts
    from coo_middleware.core.batch import Batch, Rest
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.freshness import Fwd
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.request import Headers
    from coo_middleware.passage import Passage

# Beside every status from 500 on; 0 is no answer at all.
_FAILED: Final = frozenset({0, 408, 429})
_COUNTS: Final[dict[CacheStatus, str]] = {"hit": "hits", "stale": "stale", "collapsed": "collapsed"}


class Call:
    """Settles one request once: what is stored, and what is counted for whom."""

    __slots__ = (
        "_accounts",
        "_headers",
        "_spare",
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
        "passage",
        "plan",
        "reply",
        "rest",
        "revalidates",
        "timing",
        "trial",
    )

    def __init__(
        self,
        accounts: Accounts,
        plan: Plan,
        headers: Headers,
        context: CooContext,
        *,
        batch: Batch | None = None,
        passage: Passage | None = None,
    ) -> None:
        self.batch: Final = batch
        self.rest: Rest | None = None
        self._accounts: Final = accounts
        self._headers: Final = headers
        self.passage: Final = passage
        self.timing: Final = Timing()
        self.generation = 0
        self._spare: tuple[Entry, bytes] | None = None
        self._tried: Entry | None = None
        self.trial: Trial | None = None
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

    def make_refresh(self) -> Call:
        """A call that asks for the same on nobody's behalf."""
        passage = self.passage.make_refresh() if self.passage else None
        context = make_context(self.plan, passage)
        call = Call(self._accounts, self.plan, self._headers, context, batch=self.batch, passage=passage)
        call.is_refresh = True
        call.generation = self.generation
        return call

    def make_rest(self, rest: Rest) -> Call:
        """A call that asks for what is left of this request."""
        left = rest.left
        call = Call(self._accounts, left.plan, self._headers, self.context, batch=left, passage=self.passage)
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
                fields = [*hit_fields(entry, now, self.plan.shape, len(content)), *self._limits]
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
        fields = [*spare_fields(entry, now, self.plan.shape, len(content), status), *self._limits]
        return Reply(200, fields, content, entry, "stale")

    def make_shared_reply(self, entry: Entry, content: bytes) -> Reply:
        """The response that another request's call has just brought, in the shape that this one wants."""
        fields = [*follower_fields(entry, self.plan, self.fwd, len(content)), *self._limits]
        return Reply(200, fields, content, entry, "collapsed")

    def announce(self, status: int, headers: Headers) -> Headers:
        """What the answer to this request adds to a header section that begins with `status`."""
        if self._tried is not None:
            return (*TRIAL_FIELDS, *self._limits)
        lives = effective_ttl(self.plan.policy, self.plan.directives, answer_wishes(headers), self.context.ttl) > 0
        stored = lives and status == 200 and self.plan.policy.mode != "observe" and not self._refuse_early(headers)
        return (*forward_fields(self.plan, self.fwd, stored=stored), *self._limits)

    def tell_shared(self, headers: Headers, *, rewritten: bool) -> list[tuple[bytes, bytes]]:
        """The header section that another request's call brought, as this one gets it."""
        fields = (*forward_fields(self.plan, self.fwd, collapsed=True), *self._limits)
        return shared_fields(headers, fields, rewritten=rewritten)

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
        self._settle_reuse()
        if reply.entry is None:
            self._accounts.recorder.counts["only_if_cached"] += 1
            return
        self._adopt(reply.cache_status, reply.entry.provider, reply.entry.key_id)
        self._accounts.record(self, reply.cache_status, 200, reply.entry.usage, error_type="", stored="hit")

    def hear_out(self) -> None:
        """What was answered is another process's to count and to store."""
        answer = self._accounts.find_answer(self.plan, self.exchange)
        self.answer = answer if answer.status else None

    def end(self) -> None:
        """The client has what it gets; the record may still have to wait for what the call cost."""
        self.timing.end()

    def finish_shared(self, leader: Call, *, raised: bool, left: bool) -> None:
        """Counts a request that was answered by the call of another one, which has been settled."""
        answer = leader.answer
        self._settle_reuse()
        if answer is None:
            return
        error_type = "client_disconnect" if left else classify_error(answer, raised=raised, disconnected=False)
        self._adopt("collapsed", leader.context.provider, leader.context.key_id)
        usage = None if left else answer.outcome.usage
        self._accounts.record(self, "collapsed", answer.status, usage, error_type=error_type, stored="collapsed")

    def finish(self, now: float, *, raised: bool, disconnected: bool) -> Entry | None:
        """Counts a forwarded request, and gives the entry to store, None when it must not be."""
        answer, bypass, given = self._accounts.find_answer(self.plan, self.exchange), self.plan.bypass, self.context
        self.answer = answer
        limited = self.passage is not None and self.passage.refusal is not None
        refusal = "limited" if limited else "exception" if raised else ""
        refusal = refusal or refuse_answer(self.plan, answer, given.ttl, bypassed=given.is_bypassed)
        self.trial = settle_trial(self.plan, self._tried, answer, refusal, self._accounts.recorder)
        # A stale one that was to be renewed is; a fresh one would have stayed until its time is over.
        refusal = refusal or ("would-hit" if self.trial and not self.revalidates else "")
        error_type = "limited" if limited else classify_error(answer, raised=raised, disconnected=disconnected)
        what = "limited" if limited else "bypass." + bypass if bypass else "refreshes" if self.is_refresh else "misses"
        self._accounts.recorder.counts[what] += 1
        if refusal and not bypass:
            self._accounts.recorder.counts["unstored." + refusal] += 1
        # Without a whole request no provider was asked.
        if bypass != "aborted":
            asked = self._settle(answer, error_type)
            status, usage = 429 if limited else answer.status, answer.outcome.usage
            self._accounts.record(
                self, "bypass" if bypass else "miss", status, usage, error_type=error_type, stored=refusal, asked=asked
            )
        return None if refusal else make_entry(self.plan, self.context, answer, self.generation, now)

    @property
    def _limits(self) -> Headers:
        """What the answer says about the limits of this caller."""
        return () if self.passage is None else self.passage.tell()

    def _settle_reuse(self) -> None:
        if self.passage is not None:
            self.passage.end_reuse()

    def _settle(self, answer: Answer, error_type: ErrorType) -> bool:
        """Settles what limits were taken of; whether this call itself asked a provider."""
        if self.passage is None:
            return True
        return self.passage.end(answer, error_type, self.context.provider)

    def make_refusal(self) -> Reply | None:
        """What answers where limits kept the request from the app."""
        reply = None if self.passage is None else self.passage.make_refusal()
        if reply is None:
            return None
        return replace(reply, headers=[*reply.headers, *forward_fields(self.plan, self.fwd)])

    def _refuse_forwarding(self) -> Reply:
        body = self.plan.format.error_body(504, "only-if-cached was asked for, and no fresh response is stored")
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        return Reply(504, add_fields(headers, forward_fields(self.plan, self.fwd), rewritten=False), body)

    def _adopt(self, cache_status: CacheStatus, provider: str, key_id: str) -> None:
        self.context.cache_status = cache_status
        self.context.provider, self.context.key_id = provider, key_id
        self._accounts.recorder.counts[_COUNTS[cache_status]] += 1

    def _refuse_early(self, headers: Headers) -> str:
        """What the header section alone tells against sharing."""
        if self.plan.bypass or self.plan.directives.no_store or self.context.is_bypassed:
            return "bypass"
        return refuse_fields(headers, self.plan.policy, self.plan.caller)


def make_context(plan: Plan, passage: Passage | None) -> CooContext:
    """What the handler of a request gets."""
    attempts = None if passage is None else passage.attempts
    return CooContext("bypass" if plan.bypass else "miss", plan.provider, plan.caller, attempts=attempts)


def _resize(asking: bytes | None, headers: Headers) -> tuple[bytes, Headers] | None:
    return None if asking is None else (asking, resize_fields(headers, len(asking)))
