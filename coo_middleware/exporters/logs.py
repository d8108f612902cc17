"""One log record for each request, with what it was in `extra` fields, for whoever ships logs and no metrics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from coo_middleware.core.record import Record

logger = logging.getLogger("coo_middleware.requests")

# Callers choose a model's name, so it stands in a field of its own and never in the line.
_LINE: Final = "%s answered with %d in %.3f s"
_TOLD: Final = (
    *("provider", "key_id", "operation", "model", "status", "cache_status", "error_type", "stored", "cost"),
    *("duration", "first_chunk", "chunk_gap", "overhead", "store_time"),
)
_COUNTED: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

# What a log record carries beside the line: None where it is unknown.
FIELDS: Final = tuple(f"coo_{name}" for name in (*_TOLD, *_COUNTED))


class RequestLog:
    """Logs by the logger `coo_middleware.requests`, at INFO."""

    __slots__ = ()

    def observe(self, record: Record) -> None:
        """Logs one request."""
        if logger.isEnabledFor(logging.INFO):
            extra = {f"coo_{name}": getattr(record, name) for name in _TOLD}
            extra |= {f"coo_{name}": getattr(record.usage, name, None) for name in _COUNTED}
            logger.info(_LINE, record.cache_status, record.status, record.duration, extra=extra)
