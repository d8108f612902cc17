"""The admin API's explanation of two requests."""

from __future__ import annotations

import json

import pytest

from coo_middleware.admin.explain import explain_samples
from coo_middleware.config import Config
from coo_middleware.core.dump import DumpError
from coo_middleware.explainer import Explainer
from tests.asgi import ANSWER, CHAT, ask

EXPLAINER = Explainer(Config().policy)
A = {"path": CHAT, "body": ask("canary-1").decode()}
B = {
    "path": CHAT,
    "body": ask("canary-2").decode(),
    "headers": {"content-type": "application/json", "x-api-key": "sk-c"},
}


def explained(**members: object) -> str:
    """What is told, as JSON."""
    return json.dumps(explain_samples(EXPLAINER, json.dumps(members).encode()))


def test_two_requests_are_compared() -> None:
    """The members of a report, the differences without any text of theirs."""
    told = json.loads(explained(a=A, b=B))

    assert [("request caller", "counts"), ("messages[0].content", "counts")] == [
        (each["where"], each["verdict"]) for each in told["differences"]
    ]
    assert (False, None) == (told["equal"], told["answer"])
    assert "canary" not in explained(a=A, b=B)
    assert "sk-c" not in explained(a=A, b=B, show_text=True)
    assert "canary-2" in explained(a=A, b=B, show_text=True)


def test_an_answer_is_judged() -> None:
    """With an answer, it is told whether that would be stored."""
    told = json.loads(explained(a=A, answer={"status": 500, "body": ANSWER.decode()}))

    assert "status" == told["answer"]["refusal"]["token"]


@pytest.mark.parametrize(
    "content",
    [
        b"canary",
        b"[]",
        b"{}",
        b'{"a": null}',
        b'{"a": "canary"}',
        b'{"a": {}, "answer": "canary"}',
        b'{"a": {}, "canary": 1}',
    ],
)
def test_what_is_no_such_question_is_refused(content: bytes) -> None:
    """A fault is told without what was sent."""
    with pytest.raises(DumpError) as caught:
        explain_samples(EXPLAINER, content)

    assert "canary" not in str(caught.value)
