"""The settings of the cache, as the core uses them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal, TypeAlias, get_args

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


Control: TypeAlias = Literal[
    "no-store",
    "no-cache",
    "max-age",
    "min-fresh",
    "max-stale",
    "only-if-cached",
    "stale-if-error",
    "x-coo-cache",
    "x-coo-ttl",
    "x-coo-namespace",
    "x-coo-tags",
]


@dataclass(frozen=True, slots=True)
class CallerPolicy:
    """Settings under `policy.cache.callers`: how far requests may steer. What they may not is ignored."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    controls: tuple[Control, ...] = get_args(Control)
    """Directives of Cache-Control and header fields that are honoured."""
    max_ttl_seconds: Annotated[float, Ge(0), Le(31_622_400)] = 0.0
    """The longest lifetime that a caller may ask for, in seconds. The configured one may always be shortened; it can be
    lengthened only where this is longer."""
    max_tags: Annotated[int, Ge(0), Le(64)] = 8
    """An answer for which a caller gives more tags is not stored."""
    max_name_length: Annotated[int, Ge(1), Le(200)] = 64
    """The longest namespace and the longest tag, in characters."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Settings under `policy.cache`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    enabled: bool = True
    """Reuse stored responses; metrics are recorded either way."""
    mode: Literal["serve", "observe", "shadow"] = "serve"
    """`serve` reuses. `observe` counts what it would have reused, keeps no content and serves nothing. `shadow` reuses,
    but asks the upstream again in `shadow_share` of the cases and counts how often the answer differs."""
    shadow_share: Annotated[float, Ge(0), Le(1)] = 0.05
    """Which share of the hits `shadow` asks the upstream for again."""
    ttl_seconds: Annotated[float, Gt(0), Le(31_622_400)] = 10.0
    """Freshness lifetime of a stored response, in seconds."""
    stale_while_revalidate_seconds: Annotated[float, Ge(0), Le(31_622_400)] = 0.0
    """So long after its lifetime a response still answers, while a new one is fetched."""
    stale_if_error_seconds: Annotated[float, Ge(0), Le(31_622_400)] = 0.0
    """So long after its lifetime a response still answers where the upstream fails."""
    collapse: bool = True
    """Equal requests in flight at the same time share one upstream call."""
    collapse_max_followers: Annotated[int, Ge(0), Le(1_000_000)] = 10_000
    """So many requests may share a call beside the one that began it; further ones are forwarded."""
    collapse_wait_seconds: Annotated[float, Gt(0), Le(86_400)] = 120.0
    """A request that shares a call and has got nothing of its answer for so long is forwarded after all."""
    collapse_replicas: bool = True
    """Share calls with the other processes that use the same store, where that is not memory."""
    collapse_lease_seconds: Annotated[float, Ge(1), Le(300)] = 5.0
    """So long after a process was killed do others take over what it was calling, in seconds."""
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
    per_input: bool = True
    """Of a request with several inputs, to embed or to rank, each is reused by itself, and only the others are asked
    for."""
    store_finish_reasons: tuple[str, ...] = _FINISHED
    """Answers that ended for another reason are not stored."""
    store_unclosed: bool = False
    """Store a chat stream that ended without `[DONE]`: for servers that never send it."""
    max_entry_bytes: Annotated[int, Ge(1024), Le(1_073_741_824)] = 4_194_304
    """A longer answer is forwarded and not stored."""
    local_max_bytes: Annotated[int, Ge(0), Le(1_099_511_627_776)] = 67_108_864
    """What a process may keep itself of what a remote store has, so that a hot hit costs no round trip; 0: nothing."""
    callers: CallerPolicy = field(default_factory=CallerPolicy)
    """How far requests steer."""
    compat_headers: bool = False
    """Understand the cache headers of other gateways, as far as `callers` allows what they mean."""
