"""A contender that stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp

from benchmarks.handler import Upstream

TTL_SECONDS: Final = 3_600


async def rest() -> None:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """Its app, the provider behind it, what ends its work after answers, and its end; whether it keeps answers."""

    app: ASGIApp
    upstream: Upstream
    drain: Callable[[], Awaitable[object]] = rest
    close: Callable[[], Awaitable[object]] = rest
    caches: bool = True
