"""core/recorded.py: a line of a record, read strictly and told without its values."""

from __future__ import annotations

import json

import pytest

from coo_middleware.core.dump import DumpError
from coo_middleware.core.outcome import Usage
from coo_middleware.core.recorded import Recorded, read_recorded

BODY = {"model": "gpt-5", "messages": []}


def read(**members: object) -> Recorded:
    return read_recorded(json.dumps({"body": BODY, **members}).encode())


def test_a_body_alone_is_a_request() -> None:
    """What is not said is a POST of JSON that succeeded, at an unknown time and for an unknown usage."""
    told = read()

    assert (None, 0.0, 200, None, None) == (told.time, told.duration, told.status, told.usage, told.answer)
    assert ("POST", b"/v1/chat/completions") == (told.asked.method, told.asked.path)
    assert BODY == json.loads(told.asked.content)


@pytest.mark.parametrize(
    "time", [1_795_423_260, 1_795_423_260.0, "2026-11-23T08:41:00Z", "2026-11-23T08:41:00", "2026-11-23T09:41:00+01:00"]
)
def test_a_time_is_seconds_or_iso(time: object) -> None:
    """Both stand for one moment; without a zone it is UTC."""
    assert 1_795_423_260.0 == read(time=time).time


@pytest.mark.parametrize(
    "usage",
    [{"input_tokens": 30, "output_tokens": 10}, {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40}],
)
def test_a_usage_has_our_names_or_a_providers(usage: object) -> None:
    """Both are read."""
    assert Usage(30, 10) == read(usage=usage).usage


def test_a_usage_of_nothing_is_unknown() -> None:
    """It is not zero."""
    assert [None] * 3 == [read(usage=each).usage for each in ({}, None, {"total_tokens": 4})]


def test_an_answer_says_the_status() -> None:
    """Unless the line itself does."""
    answer = {"status": 503, "body": {}}

    assert [503, 200] == [read(answer=answer).status, read(answer=answer, status=200).status]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"time": "sk-canary"}, "time: must be seconds since 1970"),
        ({"time": -1}, "time: must be"),
        ({"duration": "sk-canary"}, "duration: must be"),
        ({"duration": True}, "duration: must be"),
        ({"status": "sk-canary"}, "status: must be"),
    ],
)
def test_what_makes_no_sense_is_refused(members: dict[str, object], told: str) -> None:
    """The member is named, and its value is not shown."""
    with pytest.raises(DumpError, match=told) as caught:
        read(**members)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("line", [b"", b"nonsense", b"[]", b'{"path": "/v1/messages"}', b"\xff"])
def test_what_is_no_request_is_refused(line: bytes) -> None:
    """A line is an object with a body."""
    with pytest.raises(DumpError, match="the line must be an object with body"):
        read_recorded(line)
