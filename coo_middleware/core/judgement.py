"""Whether a whole answer would be stored, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from coo_middleware.core.exchange import Exchange
from coo_middleware.core.outcome import Usage
from coo_middleware.core.reasons import Reason, explain_refusal
from coo_middleware.core.steering import answer_wishes, effective_ttl
from coo_middleware.core.storable import refuse_storing

if TYPE_CHECKING:
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.request import Headers


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer turned out to be: `refusal` is None where it would be stored, `length` in bytes as it came; the
    others are those of Outcome.
    """

    refusal: Reason | None
    status: int
    length: int
    whole: bool
    error: bool
    finish_reasons: tuple[str, ...]
    model: str
    usage: Usage | None


def judge(plan: Plan, status: int, headers: Headers, content: bytes) -> Judgement:
    """Judges the answer to a planned request as the middleware would, had it come in one piece."""
    exchange = Exchange(plan.format, plan.policy.max_entry_bytes, streams=plan.shape.stream)
    exchange.start(status, headers)
    exchange.add(content, more=False)
    answer = exchange.answer()
    refusal, outcome = refuse_answer(plan, answer), answer.outcome
    return Judgement(
        refusal=explain_refusal(refusal) if refusal else None,
        status=status,
        length=len(content),
        whole=outcome.whole,
        error=outcome.error,
        finish_reasons=outcome.finish_reasons,
        model=outcome.model,
        usage=outcome.usage,
    )


def refuse_answer(plan: Plan, answer: Answer, ttl: float | None = None, *, bypassed: bool = False) -> str:
    """Why the answer to a planned request must not be stored, by the request or by itself, or "". `ttl` is the lifetime
    that the handler gave it, and `bypassed` whether it called `bypass()`.
    """
    wishes = plan.directives
    if plan.bypass or wishes.no_store or wishes.no_write:
        return plan.bypass or ("no-store" if wishes.no_store else "no-write")
    if bypassed:
        return "handler"
    refusal = refuse_storing(answer, plan.policy, stream=plan.shape.stream, caller=plan.caller)
    return refusal or ("" if effective_ttl(plan.policy, wishes, answer_wishes(answer.headers), ttl) > 0 else "ttl")
