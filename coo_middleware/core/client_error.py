"""What an HTTP client's exception tells of the answer that it was made of."""

from __future__ import annotations


def read_status(error: BaseException) -> int:
    """The answer's status, where the exception has one as those of httpx, openai and anthropic do; else 0."""
    response: object = getattr(error, "response", None)
    for holder in (error, response):
        status: object = getattr(holder, "status_code", None)
        if isinstance(status, int):
            return status
    return 0


def read_fields(error: BaseException) -> list[tuple[bytes, bytes]]:
    """The answer's header fields, none where the exception has no answer."""
    headers: object = getattr(getattr(error, "response", None), "headers", None)
    raw: object = getattr(headers, "raw", None)
    return [(bytes(name), bytes(value)) for name, value in raw] if isinstance(raw, list | tuple) else []
