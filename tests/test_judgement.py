"""Whether an answer would be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.judgement import judge
from coo_middleware.core.outcome import Usage
from tests.asgi import ANSWER, CHUNKS, JSON_FIELD, SSE_FIELD
from tests.plans import BEARER, CONTENT, JSON_TYPE, make_plan

if TYPE_CHECKING:
    from coo_middleware.core.request import Headers

STREAM = CONTENT[:-1] + b', "stream": true}'


def refusal(
    status: int = 200,
    headers: Headers = (JSON_FIELD,),
    content: bytes = ANSWER,
    *,
    asked: bytes = CONTENT,
    wish: bytes = b"",
) -> str:
    """Why that answer would not be stored, "" where it would be."""
    told = judge(make_plan(asked, (JSON_TYPE, BEARER, (b"cache-control", wish))), status, headers, content)
    return told.refusal.token if told.refusal else ""


def test_a_whole_answer_is_stored() -> None:
    """What the middleware would store is judged so, streamed or not, with what it said of itself."""
    told = judge(make_plan(), 200, (JSON_FIELD,), ANSWER)

    assert (None, True, ("stop",), Usage(9, 2)) == (told.refusal, told.whole, told.finish_reasons, told.usage)
    assert "" == refusal(headers=(SSE_FIELD,), content=b"".join(CHUNKS), asked=STREAM)


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("status", {"status": 429}),
        ("incomplete", {"headers": (SSE_FIELD,), "content": b"".join(CHUNKS[:2]), "asked": STREAM}),
        ("content-type", {"asked": STREAM}),
        ("finish-reason", {"content": ANSWER.replace(b'"stop"', b'"length"')}),
        ("set-cookie", {"headers": (JSON_FIELD, (b"set-cookie", b"a=b"))}),
        ("vary", {"headers": (JSON_FIELD, (b"vary", b"x-tenant"))}),
        ("no-store", {"wish": b"no-store"}),
        ("server-tool", {"asked": CONTENT[:-1] + b', "web_search_options": {"a": 1}}'}),
        ("no-store", {"headers": (JSON_FIELD, (b"coo-cache-control", b"max-age=0"))}),
    ],
)
def test_a_refusal_is_the_middlewares_own(expected: str, arguments: dict[str, object]) -> None:
    """Requests and answers that are not stored are judged by the reason that would be counted."""
    assert expected == refusal(**arguments)  # type: ignore[arg-type]
