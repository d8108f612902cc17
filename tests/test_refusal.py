"""Whoever is refused learns when to come back, in the words of the provider that it meant to ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.limited import LimitedError
from coo_middleware.core.refusal import Refusal, refuse_limited, refuse_unchecked
from coo_middleware.formats import FORMATS
from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.gemini import GEMINI
from coo_middleware.formats.messages import MESSAGES

if TYPE_CHECKING:
    from coo_middleware.core.format import Format

MESSAGE = "The rate limit is reached; try again in 17 s."


def told(refusal: Refusal) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in refusal.headers}


def texts(value: object) -> list[str]:
    """All texts in a JSON document."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    return [value] if isinstance(value, str) else []


def test_the_section_is_exact() -> None:
    """A refusal says what it is, when to come back, and how the limits stand."""
    refusal = refuse_limited(LimitedError(16.2501, ("minute",)), CHAT, [(b"ratelimit", b'"minute";r=0;t=17')])

    assert 429 == refusal.status
    assert [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(refusal.content)),
        (b"retry-after", b"17"),
        (b"retry-after-ms", b"16251"),
        (b"ratelimit", b'"minute";r=0;t=17'),
    ] == refusal.headers


@pytest.mark.parametrize(
    ("seconds", "whole", "milliseconds"),
    [(0.0, "1", "1"), (0.0004, "1", "1"), (0.5, "1", "500"), (1.0, "1", "1000"), (1.0001, "2", "1001")],
)
def test_times_are_rounded_up(seconds: float, whole: str, milliseconds: str) -> None:
    """Nobody is told to come back too early, nor at once."""
    fields = told(refuse_limited(LimitedError(seconds), CHAT))

    assert (whole, milliseconds) == (fields["retry-after"], fields["retry-after-ms"])


@pytest.mark.parametrize(
    ("fmt", "body"),
    [
        (
            CHAT,
            {
                "error": {
                    "message": MESSAGE,
                    "type": "rate_limit_error",
                    "param": None,
                    "code": "rate_limit_exceeded",
                }
            },
        ),
        (MESSAGES, {"type": "error", "error": {"type": "rate_limit_error", "message": MESSAGE}}),
        (GEMINI, {"error": {"code": 429, "message": MESSAGE, "status": "RESOURCE_EXHAUSTED"}}),
    ],
    ids=["chat", "messages", "gemini"],
)
def test_the_body_is_the_providers_own(fmt: Format, body: object) -> None:
    """SDKs raise what they would raise for the provider's own refusal."""
    assert body == json.loads(refuse_limited(LimitedError(17.0), fmt).content)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_every_format_refuses_in_its_shape(fmt: Format) -> None:
    """Each body is JSON with the sentence in it, and names neither a limit nor whose it is."""
    error = LimitedError(17.0, ("team-secret",))
    refusals = [refuse_limited(error, fmt), refuse_unchecked(fmt)]
    found = [texts(json.loads(refusal.content)) for refusal in refusals]

    assert [429, 503] == [refusal.status for refusal in refusals]
    assert MESSAGE in found[0]
    assert "The rate limits cannot be checked at present; try again later." in found[1]
    assert b"team-secret" not in refusals[0].content


@pytest.mark.parametrize(
    ("spent", "seconds", "expected"), [(True, 120.1, "false"), (True, 120.0, None), (False, 3000.0, None)]
)
def test_only_a_spent_budget_is_not_retried(spent: bool, seconds: float, expected: str | None) -> None:
    """SDKs give up at once where a budget is spent for more than two minutes, and nowhere else."""
    refusal = refuse_limited(LimitedError(seconds, spent=spent), CHAT)

    assert expected == told(refusal).get("x-should-retry")
    assert spent == (b"The budget is spent" in refusal.content)


def test_limits_that_cannot_be_checked_ask_for_a_little_patience() -> None:
    """503 says when to come back as well."""
    fields = told(refuse_unchecked(MESSAGES))

    assert ("1", "1000") == (fields["retry-after"], fields["retry-after-ms"])
