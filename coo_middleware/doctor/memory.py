"""What can be said of the memory store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.doctor.finding import Finding, warning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from coo_middleware.stores import StoreSettings


async def inspect(_settings: StoreSettings, _clock: Callable[[], float]) -> AsyncIterator[Finding]:
    """What it is not."""
    remedy = "write type: sqlite for one machine, type: redis for several"
    yield warning("persistence", "nothing survives a restart", remedy)
    yield warning("sharing", "each worker process counts and stores for itself", remedy)
