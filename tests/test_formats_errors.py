"""Errors are told in the provider's own shape."""

import json

import pytest

from coo_middleware.formats import FORMATS
from coo_middleware.formats.errors import (
    anthropic_error,
    bedrock_error,
    cohere_error,
    google_error,
    ollama_error,
    openai_error,
    tgi_error,
)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "authentication_error", "invalid_api_key"),
        (403, "permission_error", None),
        (404, "not_found_error", None),
        (418, "invalid_request_error", None),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "server_error", None),
        (503, "server_error", None),
        (504, "timeout_error", None),
    ],
)
def test_openai_errors_have_four_members(status: int, kind: str, code: str | None) -> None:
    """The type follows the status, and message and null members are there."""
    expected = {"error": {"message": 'no "é"', "type": kind, "param": None, "code": code}}

    assert expected == json.loads(openai_error(status, 'no "é"'))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_anthropic_errors_have_a_type_at_both_levels(status: int, kind: str) -> None:
    """The type follows the table on the provider's page."""
    assert {"type": "error", "error": {"type": kind, "message": "no"}} == json.loads(anthropic_error(status, "no"))


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (413, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
def test_google_errors_repeat_the_status_by_number_and_name(status: int, name: str) -> None:
    """The code is the status, and its name is that of the call's result."""
    assert {"error": {"code": status, "message": "no", "status": name}} == json.loads(google_error(status, "no"))


def test_a_format_reads_its_own_errors() -> None:
    """Every format sees an error in the body that it makes."""
    assert all(format_.read_body(json.loads(format_.error_body(429, "no"))).error for format_ in FORMATS)


def test_ollama_errors_are_a_text() -> None:
    """The error is its message, whatever the status."""
    assert [{"error": "no"}] * 2 == [json.loads(ollama_error(status, "no")) for status in (404, 500)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "validation"),
        (422, "validation"),
        (424, "generation"),
        (429, "overloaded"),
        (500, "incomplete_generation"),
        (503, "incomplete_generation"),
    ],
)
def test_tgi_errors_have_a_type(status: int, kind: str) -> None:
    """The type by which its client chooses an exception follows the status."""
    assert {"error": "no", "error_type": kind} == json.loads(tgi_error(status, "no"))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (418, "ValidationException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_bedrock_errors_name_an_exception(status: int, kind: str) -> None:
    """The exception that AWS's SDKs raise follows the status."""
    assert {"__type": kind, "message": "no"} == json.loads(bedrock_error(status, "no"))


def test_cohere_errors_are_a_message() -> None:
    """The body is the message alone, whatever the status."""
    assert [{"message": "no"}] * 2 == [json.loads(cohere_error(status, "no")) for status in (401, 500)]
