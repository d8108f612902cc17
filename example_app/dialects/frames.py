"""The framing of Server-Sent Events, and identifiers that are new on every call."""

import json
import secrets

DONE = b"data: [DONE]\n\n"


def frame(data: dict[str, object], event: str | None = None) -> bytes:
    """One SSE event with `data` as JSON, named where the format names its events."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def new_id(prefix: str) -> str:
    """An identifier such as `chatcmpl-3f…`, never the same twice, by which a replay is told from a new call."""
    return prefix + secrets.token_hex(12)
