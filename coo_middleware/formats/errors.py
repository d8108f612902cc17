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
# https://huggingface.github.io/text-generation-inference
_TGI: Final = {424: "generation", 429: "overloaded"}
# https://google.aip.dev/193 and https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_GOOGLE: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html, "Errors"
_BEDROCK: Final = {
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


def openai_error(status: int, message: str) -> bytes:
    """The body `{"error": {"message", "type", "param", "code"}}` as JSON."""
    kind = _OPENAI.get(status, "invalid_request_error" if status < 500 else "server_error")
    code = _OPENAI_CODES.get(status)
    return canonical_json({"error": {"message": message, "type": kind, "param": None, "code": code}}, ordered=True)


def anthropic_error(status: int, message: str) -> bytes:
    """The body `{"type": "error", "error": {"type", "message"}}` as JSON."""
    kind = _ANTHROPIC.get(status, "invalid_request_error" if status < 500 else "api_error")
    return canonical_json({"type": "error", "error": {"type": kind, "message": message}}, ordered=True)


def ollama_error(_: int, message: str) -> bytes:
    """The body `{"error": message}` as JSON (https://docs.ollama.com/api/errors)."""
    return canonical_json({"error": message})


def tgi_error(status: int, message: str) -> bytes:
    """The body `{"error": message, "error_type"}` as JSON."""
    kind = _TGI.get(status, "validation" if status < 500 else "incomplete_generation")
    return canonical_json({"error": message, "error_type": kind}, ordered=True)


def google_error(status: int, message: str) -> bytes:
    """The body `{"error": {"code", "message", "status"}}` as JSON; the code is the HTTP status."""
    name = _GOOGLE.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    return canonical_json({"error": {"code": status, "message": message, "status": name}}, ordered=True)


def bedrock_error(status: int, message: str) -> bytes:
    """The body `{"__type", "message"}` as JSON; AWS's SDKs read the type there where no `x-amzn-errortype` tells it."""
    kind = _BEDROCK.get(status, "ValidationException" if status < 500 else "InternalServerException")
    return canonical_json({"__type": kind, "message": message}, ordered=True)


def mistral_error(_: int, message: str) -> bytes:
    """The body `{"object": "error", "message": message}` as JSON."""
    return canonical_json({"object": "error", "message": message}, ordered=True)


def cohere_error(_: int, message: str) -> bytes:
    """The body `{"message": message}` as JSON (https://docs.cohere.com/reference/errors)."""
    return canonical_json({"message": message})
