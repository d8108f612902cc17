"""What answers a request without the app."""

from __future__ import annotations

from dataclasses import dataclass

from coo_middleware.core.entry import Entry
from coo_middleware.core.record import CacheStatus
from coo_middleware.core.request import Headers


@dataclass(frozen=True, slots=True)
class Reply:
    """What answers without the app: the stored response `entry`, or, where that is None, a refusal."""

    status: int
    headers: Headers
    content: bytes
    entry: Entry | None = None
    cache_status: CacheStatus = "hit"
