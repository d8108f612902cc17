"""The settings of the cache, as the core uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, TypeAlias

from annotated_types import Ge, Gt, Le, MaxLen

from coo_middleware.core.normalize import Preset

StrictSettings: TypeAlias = dict[str, object]
STRICT: Final[StrictSettings] = {"extra": "forbid", "use_attribute_docstrings": True}

# Every provider's words for an answer that ended by itself, at a stop sequence, or in a call of a tool.
_FINISHED: Final = (
    *("stop", "tool_calls", "function_call", "completed"),
    *("end_turn", "stop_sequence", "tool_use"),
    *("STOP", "COMPLETE", "STOP_SEQUENCE", "TOOL_CALL"),
    *("FINISH", "FINISHED", "STOP_CRITERIA_MET", "endoftext"),
    *("eos_token", "eos"),
)


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
    cross_shape: bool = True
    """A stored stream answers a request for a body and the other way round, where the format can do it."""
    store_finish_reasons: tuple[str, ...] = _FINISHED
    """Answers that ended for another reason are not stored."""
    store_unclosed: bool = False
    """Store a chat stream that ended without `[DONE]`: for servers that never send it."""
    max_entry_bytes: Annotated[int, Ge(1024), Le(1_073_741_824)] = 4_194_304
    """A longer answer is forwarded and not stored."""
    local_max_bytes: Annotated[int, Ge(0), Le(1_099_511_627_776)] = 67_108_864
    """What a process may keep itself of what a remote store has, so that a hot hit costs no round trip; 0: nothing."""
