"""Errors in the providers' own shapes, so that their SDKs raise what they would raise without us."""

from __future__ import annotations

from typing import Final

from coo_middleware.core.document import canonical_json

# https://docs.claude.com/en/api/errors
_ANTHROPIC: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# https://platform.openai.com/docs/guides/error-codes
_OPENAI: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    504: "timeout_error",
}
_OPENAI_CODES: Final = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def openai_error(status: int, message: str) -> bytes:
    """The body `{"error": {"message", "type", "param", "code"}}` as JSON."""
    kind = _OPENAI.get(status, "invalid_request_error" if status < 500 else "server_error")
    code = _OPENAI_CODES.get(status)
    return canonical_json({"error": {"message": message, "type": kind, "param": None, "code": code}}, ordered=True)


def anthropic_error(status: int, message: str) -> bytes:
    """The body `{"type": "error", "error": {"type", "message"}}` as JSON."""
    kind = _ANTHROPIC.get(status, "invalid_request_error" if status < 500 else "api_error")
    return canonical_json({"type": "error", "error": {"type": kind, "message": message}}, ordered=True)
