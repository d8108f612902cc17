"""What may be read from the cache and what may be stored, decided on values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias

from annotated_types import Ge, Gt, Le, MaxLen

from coo_middleware.core.directives import forbids_storing
from coo_middleware.core.exchange import EVENT_STREAM, JSON
from coo_middleware.core.normalize import Preset

if TYPE_CHECKING:
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.outcome import Outcome

StrictSettings: TypeAlias = dict[str, object]
STRICT: Final[StrictSettings] = {"extra": "forbid", "use_attribute_docstrings": True}

_FINISHED: Final = ("stop", "tool_calls", "function_call", "end_turn", "stop_sequence", "tool_use", "completed")


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Settings under `policy.cache`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    enabled: bool = True
    """Reuse stored responses; metrics are recorded either way."""
    ttl_seconds: Annotated[float, Gt(0), Le(31_622_400)] = 10.0
    """Freshness lifetime of a stored response, in seconds."""
    namespace: Annotated[str, MaxLen(200)] = ""
    """Part of every cache key: a new name starts an empty cache."""
    scope: Annotated[str, MaxLen(200)] = "credentials"
    """Who shares a stored response: `credentials` (each caller has its own), `header:<name>` (all who send the same
    value) or `shared` (everyone)."""
    scope_headers: tuple[str, ...] = ()
    """Further request headers that say who is asking."""
    key_headers: tuple[str, ...] = ()
    """Further request headers that change the answer."""
    normalize: Preset = "text"
    """Which prompts count as equal."""
    store_finish_reasons: tuple[str, ...] = _FINISHED
    """Answers that ended for another reason are not stored."""
    max_entry_bytes: Annotated[int, Ge(1024), Le(1_073_741_824)] = 4_194_304
    """A longer answer is forwarded and not stored."""
    local_max_bytes: Annotated[int, Ge(0), Le(1_099_511_627_776)] = 67_108_864
    """What a process may keep itself of what a remote store has, so that a hot hit costs no round trip; 0: nothing."""


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
    if answer.media != (EVENT_STREAM if stream else JSON):
        return "content-type"
    if not answer.ended or not outcome.whole:
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
