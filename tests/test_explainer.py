"""Reports on requests as the middleware with the same settings would treat them."""

from __future__ import annotations

import json

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.config import make_config
from coo_middleware.core.dump import read_answer, read_asked
from coo_middleware.explainer import MOST_SHOWN, Explainer, Report
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import ANSWER, CHAT, Script, again, answer, ask, call

CANARY = "canary-prompt"


def report(*bodies: bytes, answered: bytes | None = None, texts: bool = False, **policy: object) -> Report:
    """The report on requests with these contents."""
    came = read_answer(answered) if answered else None
    explainer = Explainer(make_config({"policy": policy}).policy)
    return explainer.report([read_asked(body) for body in bodies], came, texts=texts)


async def test_the_key_is_the_one_that_is_stored() -> None:
    """The key that is told is that under which the middleware has stored the answer to that very request."""
    store = MemoryStore()
    middleware = COOMiddleware(Script(*answer(ANSWER)), store=store)
    await call(middleware, ask())
    await again(middleware, ask())
    dump = {"path": CHAT, "headers": {"content-type": "application/json", "Authorization": "Bearer sk-canary-1"}}

    key = report(json.dumps({**dump, "body": ask().decode()}).encode()).a.key

    assert await store.get_cache(key) is not None


def test_equal_keys_are_told() -> None:
    """Two requests have one key, two, or none to compare."""
    assert (True, True) == ((told := report(ask(), ask(user="u"))).equal, told.is_clear)
    assert (False, False) == ((told := report(ask(), ask(n=2))).equal, told.is_clear)
    assert (None, False) == ((told := report(ask(), ask(store=True))).equal, told.is_clear)
    assert (None, True) == ((told := report(ask())).equal, told.is_clear)


def test_an_answer_is_judged() -> None:
    """The answer to the first request is judged, and one that is not stored is not clear."""
    assert report(ask(), answered=ANSWER).is_clear
    told = report(ask(), answered=ANSWER.replace(b'"stop"', b'"length"'))
    assert told.answer is not None
    assert not told.is_clear


@pytest.mark.parametrize(
    ("dump", "reason"),
    [
        ({"path": "/health", "body": "{}"}, "unknown-path"),
        ({"path": CHAT, "method": "GET", "body": "{}"}, "not-post"),
        ({"path": "/v1/files", "body": "{}"}, "upload"),
        ({"path": CHAT, "body": "x" * 2048}, "too-large"),
    ],
)
def test_what_the_middleware_does_not_read_is_told(dump: dict[str, object], reason: str) -> None:
    """A path that is not known, another method, and a content that is too long have their reasons."""
    told = report(json.dumps(dump).encode(), max_request_bytes=1024)

    assert told.a.bypass is not None
    assert (reason, None) == (told.a.bypass.token, told.answer)


def test_a_rule_of_the_routes_holds() -> None:
    """A path's own rule counts here as it does in the middleware."""
    told = report(ask(), routes=[{"path": CHAT, "enabled": False}])

    assert told.a.bypass is not None
    assert "disabled" == told.a.bypass.token


def test_texts_are_told_on_demand_only() -> None:
    """No text of a prompt is in a report, unless it was asked for."""
    assert CANARY not in repr(report(ask(CANARY), ask(CANARY + "2")))
    assert CANARY in repr(report(ask(CANARY), ask(CANARY + "2"), texts=True))


def test_a_report_is_bounded() -> None:
    """Of very many differences the first are told, and how many more there are."""
    told = report(ask(logit_bias={str(n): 1 for n in range(500)}), ask(logit_bias={str(n): 2 for n in range(500)}))

    assert (MOST_SHOWN, 500 - MOST_SHOWN) == (len(told.differences), told.left_off)
