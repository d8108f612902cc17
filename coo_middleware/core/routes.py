"""The settings that say what paths speak and whom models belong to, as the core uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le, MaxLen

from coo_middleware.core.normalize import Preset
from coo_middleware.core.policy import STRICT, StrictSettings


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """One rule under `policy.routes`. For each setting the first counts that fits a request and sets it, before
    everything that we know; what none sets is as `policy.cache` says.
    """

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    path: Annotated[str, MaxLen(2048)] = "*"
    """Paths that the rule is for; `*` stands for any text, slashes too, and `?` for one character."""
    model: Annotated[str, MaxLen(256)] = "*"
    """Models that `provider` is meant for, written as the paths are."""
    provider: Annotated[str, MaxLen(200)] = ""
    """The provider that such requests are counted for; their model keeps its whole name. Empty: as without the rule."""
    format: Annotated[str, MaxLen(200)] = ""
    """The wire format that such paths speak, whatever the model: `chat`, `messages`, `tgi`, … Empty: the path's own."""
    enabled: bool | None = None
    """Reuse stored responses on such paths."""
    ttl_seconds: Annotated[float, Gt(0), Le(31_622_400)] | None = None
    """Freshness lifetime of what such paths answer, in seconds."""
    stale_while_revalidate_seconds: Annotated[float, Ge(0), Le(31_622_400)] | None = None
    """So long after its lifetime a response still answers, while a new one is fetched."""
    stale_if_error_seconds: Annotated[float, Ge(0), Le(31_622_400)] | None = None
    """So long after its lifetime a response still answers where the upstream fails."""
    scope: Annotated[str, MaxLen(200)] | None = None
    """Who shares the responses of such paths: `credentials`, `header:<name>` or `shared`."""
    normalize: Preset | None = None
    """Which prompts count as equal on such paths."""
