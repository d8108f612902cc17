"""What may be stored, decided on values alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.key import ANONYMOUS
from coo_middleware.core.request import keyed_fields
from coo_middleware.core.steering import answer_wishes

if TYPE_CHECKING:
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.outcome import Outcome
    from coo_middleware.core.policy import CachePolicy
    from coo_middleware.core.request import Headers

# What a stored answer does not depend on: it is kept decoded, and of the fields for browsers none is kept. Google's
# servers name the last two wherever they name Origin.
_NEUTRAL: Final = frozenset(
    {
        b"accept-encoding",
        b"origin",
        b"access-control-request-method",
        b"access-control-request-headers",
        b"x-origin",
        b"referer",
    }
)


def refuse_storing(answer: Answer, policy: CachePolicy, *, stream: bool, caller: str = ANONYMOUS) -> str:
    """Why an answer must not be stored, or "" when it may be. `stream`: the request asked for a stream; `caller` is the
    plan's.

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
    return refuse_fields(answer.headers, policy, caller) or _refuse_outcome(outcome, policy)


def refuse_fields(headers: Headers, policy: CachePolicy, caller: str) -> str:
    """Why a header section keeps an answer from being stored, and from being shared at all, or ""."""
    if any(name.lower() == b"set-cookie" for name, _ in headers):
        return "set-cookie"
    wishes = answer_wishes(headers)
    # Nobody knows who else is anonymous.
    is_shared = policy.scope != "credentials" or caller == ANONYMOUS
    if wishes.no_store or (wishes.private and is_shared):
        return "no-store"
    varying = _varying(headers) - _NEUTRAL
    return "vary" if varying and not varying <= keyed_fields(policy) else ""


def _varying(headers: Headers) -> set[bytes]:
    """The request fields that chose the answer (RFC 9110 section 12.5.5); `*` is none that a key could hold."""
    values = [value for name, value in headers if name.lower() == b"vary"]
    return {field.strip(b" \t").lower() for value in values for field in value.split(b",")} - {b""}


def _refuse_outcome(outcome: Outcome, policy: CachePolicy) -> str:
    if outcome.error:
        return "error"
    if not outcome.sound:
        return "unsound"
    return "" if set(outcome.finish_reasons) <= set(policy.store_finish_reasons) else "finish-reason"
