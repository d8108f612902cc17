"""What may be stored, decided on values alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.core.directives import forbids_storing

if TYPE_CHECKING:
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.outcome import Outcome
    from coo_middleware.core.policy import CachePolicy


def refuse_storing(answer: Answer, policy: CachePolicy, *, stream: bool) -> str:
    """Why an answer must not be stored, or "" when it may be. `stream`: the request asked for a stream.

    A reader of this list should find in it every published case of a poisoned LLM cache: answers that were cut,
    empty, filtered, failed inside a 200, or somebody's session.
    """
    outcome = answer.outcome
    if answer.status != 200:
        return "status"
    if answer.strange:
        return "strange"
    if answer.form != ("stream" if stream else "body"):
        return "content-type"
    if not answer.ended or not outcome.whole or not (outcome.closed or policy.store_unclosed):
        return "incomplete"
    if answer.content is None:
        return "too-large"
    return _refuse_fields(answer, policy) or _refuse_outcome(outcome, policy)


def _refuse_fields(answer: Answer, policy: CachePolicy) -> str:
    shared = policy.scope != "credentials"
    for name, value in answer.headers:
        field = name.lower()
        if field == b"set-cookie":
            return "set-cookie"
        if field == b"cache-control" and forbids_storing(value, shared=shared):
            return "no-store"
    return ""


def _refuse_outcome(outcome: Outcome, policy: CachePolicy) -> str:
    if outcome.error:
        return "error"
    if not outcome.sound:
        return "unsound"
    return "" if set(outcome.finish_reasons) <= set(policy.store_finish_reasons) else "finish-reason"
