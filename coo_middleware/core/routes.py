"""The settings that say what paths speak and whom models belong to, as the core uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import MaxLen

from coo_middleware.core.policy import STRICT, StrictSettings


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """One rule under `policy.routes`. The first that fits a request counts, before everything that we know."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    path: Annotated[str, MaxLen(2048)] = "*"
    """Paths that the rule is for; `*` stands for any text, slashes too, and `?` for one character."""
    model: Annotated[str, MaxLen(256)] = "*"
    """Models that `provider` is meant for, written as the paths are."""
    provider: Annotated[str, MaxLen(200)] = ""
    """The provider that such requests are counted for; their model keeps its whole name. Empty: as without the rule."""
    format: Annotated[str, MaxLen(200)] = ""
    """The wire format that such paths speak, whatever the model: `chat`, `messages`, `tgi`, … Empty: the path's own."""
