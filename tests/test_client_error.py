"""What the exceptions of HTTP clients tell."""

import anthropic
import httpx
import httpx2
import openai
import pytest

from coo_middleware.core.client_error import read_fields, read_status

URL, FIELDS = "https://api.test", {"retry-after": "7"}
PLAIN = httpx.Response(429, headers=FIELDS, request=httpx.Request("POST", URL))
RESPONSE = httpx2.Response(429, headers=FIELDS, request=httpx2.Request("POST", URL))


@pytest.mark.parametrize(
    "error",
    [
        httpx.HTTPStatusError("limited", request=PLAIN.request, response=PLAIN),
        openai.RateLimitError("limited", response=RESPONSE, body=None),
        anthropic.RateLimitError("limited", response=RESPONSE, body=None),
    ],
)
def test_the_answer_is_read(error: Exception) -> None:
    """The status and the header fields of the answer are found in the exceptions of httpx and of the SDKs."""
    assert 429 == read_status(error)
    assert (b"retry-after", b"7") in [(name.lower(), value) for name, value in read_fields(error)]


@pytest.mark.parametrize("error", [TimeoutError(), httpx.ConnectError("refused"), OSError(111, "refused")])
def test_without_an_answer_there_is_none(error: Exception) -> None:
    """An exception that was not made of an answer has no status and no fields."""
    assert (0, []) == (read_status(error), read_fields(error))
