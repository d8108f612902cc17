"""The entry that an answer becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.core.entry import Entry, reused_fields
from coo_middleware.core.steering import answer_wishes, effective_grace, effective_tags, effective_ttl
from coo_middleware.core.trial import make_marker

if TYPE_CHECKING:
    from coo_middleware.context import CooContext
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.plan import Plan


def make_entry(plan: Plan, context: CooContext, answer: Answer, generation: int, now: float) -> Entry:
    """What is to be stored of a whole answer, as the policy, the request, the answer and the handler want it."""
    wishes, directives, policy = answer_wishes(answer.headers), plan.directives, plan.policy
    while_revalidate, if_error = effective_grace(
        policy, wishes, revalidate=context.stale_while_revalidate, error=context.stale_if_error
    )
    entry = Entry(
        digest=plan.digest,
        created=max(0.0, now - wishes.age),
        ttl=effective_ttl(policy, directives, wishes, context.ttl),
        provider=context.provider,
        key_id=context.key_id,
        model=plan.model,
        format=plan.format.name,
        shape=plan.asked,
        usage=answer.outcome.usage,
        headers=reused_fields(answer.headers),
        content=answer.content or b"",
        stale_while_revalidate=while_revalidate,
        stale_if_error=if_error,
        generation=generation,
        namespace=directives.namespace or policy.namespace,
        caller=plan.caller,
        tags=effective_tags(directives, wishes, context.tags),
    )
    return make_marker(entry) if policy.mode == "observe" else entry
