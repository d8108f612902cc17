"""admin/: who is let in, what is answered, and what a purge does."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette

from coo_middleware import COOMiddleware
from coo_middleware.admin import ROUTES, create_admin
from coo_middleware.stores import StoreError
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import ANSWER, JSON_FIELD, Client, Fields, Script, again, answer, call, content, make_scope
from tests.redis_server import HOST, find_port
from tests.storage_server import KEY, TOKEN, Answer, ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp

PURGE = {"labels": ["model:gpt-5-mini"]}
CANARY = "hunter2canary-and-more"


class Broken(MemoryStore):
    """A store that fails as it is told."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def purge(self, labels: Sequence[str]) -> int:
        del labels
        raise self.error


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def admin(store: MemoryStore) -> ASGIApp:
    return create_admin(token=KEY, store=store)


async def test_a_purge_tells_its_generation_and_how_many_it_hit(admin: ASGIApp, store: MemoryStore) -> None:
    """What was reused before is asked for anew; a dry run tells the same number and changes nothing."""
    middleware = COOMiddleware(Script(*answer(ANSWER)), store=store)
    await call(middleware)
    await middleware.drain()
    begin = (await store.get_purges(0)).generation
    dry = await ask(admin, "POST", "/purge", PURGE | {"dry_run": True})
    marks = [(await again(middleware)).fields[b"x-coo-cache"]]
    wet = await ask(admin, "POST", "/purge", PURGE)
    marks.append((await again(middleware)).fields[b"x-coo-cache"])
    uncounted = await ask(admin, "POST", "/purge", PURGE | {"count": False})

    known: dict[str, object] = {"matched": 1, "unreadable": 0, "is_complete": True}
    assert [b"HIT", b"MISS"] == marks
    assert [known | {"generation": None}, known | {"generation": begin + 1}] == [dry.document, wet.document]
    assert {"generation": begin + 2, "matched": None, "unreadable": 0, "is_complete": False} == uncounted.document
    assert b"no-store" == wet.fields[b"cache-control"]


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"authorization", b"Bearer " + KEY.encode() + b"x"),),
        ((b"authorization", b"Basic " + KEY.encode()),),
        ((b"authorization", KEY.encode()),),
        (TOKEN, TOKEN),
        ((b"cookie", b"token=" + KEY.encode()),),
    ],
)
@pytest.mark.parametrize("path", ["/purge", "/nothing"])
async def test_nobody_without_the_token_learns_anything(
    admin: ASGIApp, store: MemoryStore, path: str, fields: Fields
) -> None:
    """Neither what there is nor that there is something, and nothing is done."""
    begin = await store.get_purges(0)
    answer = await ask(admin, "POST", path, PURGE, fields)

    assert (401, {"error": "unauthorized"}) == (answer.status, answer.document)
    assert b"Bearer" == answer.fields[b"www-authenticate"]
    assert begin == await store.get_purges(0)


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
async def test_the_scheme_s_name_has_no_case(admin: ASGIApp, scheme: bytes) -> None:
    """RFC 9110 section 11.1."""
    field = (b"authorization", scheme + b" " + KEY.encode())

    assert 200 == (await ask(admin, "POST", "/purge", PURGE, (field,))).status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/purge", 405),
        ("DELETE", "/purge", 405),
        ("POST", "/purge/", 404),
        ("POST", "//purge", 404),
        ("GET", "/", 404),
    ],
)
async def test_what_is_not_there_is_told_in_json(
    admin: ASGIApp, store: MemoryStore, method: str, path: str, status: int
) -> None:
    """Nothing is purged by another method, and no path leads elsewhere."""
    begin = await store.get_purges(0)
    answer = await ask(admin, method, path, PURGE)

    assert status == answer.status
    assert isinstance(answer.document, dict)
    assert ["error"] == [*answer.document]
    assert begin == await store.get_purges(0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        {},
        {"labels": "all"},
        {"labels": []},
        {"labels": [1]},
        {"labels": ["hunter2"]},
        {"labels": ["all"], "dryrun": True},
        {"labels": ["all"], "dry_run": "true"},
        {"labels": ["all"], "count": 1},
    ],
)
async def test_a_request_at_fault_purges_nothing(admin: ASGIApp, store: MemoryStore, body: object) -> None:
    """It is told which member is wrong, and no value; a misspelt dry run does not purge."""
    begin = await store.get_purges(0)
    answer = await ask(admin, "POST", "/purge", body)

    assert 422 == answer.status
    assert "hunter2" not in str(answer.document)
    assert begin == await store.get_purges(0)


@pytest.mark.parametrize(("error", "status"), [(StoreError("the server is away"), 503), (LookupError(CANARY), 500)])
async def test_a_fault_is_in_the_log_and_not_in_the_answer(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A StoreError is told in the log, of another one its kind alone."""
    with caplog.at_level(logging.ERROR):
        answer = await ask(create_admin(token=KEY, store=Broken(error)), "POST", "/purge", PURGE)

    assert (status, {"error": "it failed; see the server's log"}) == (answer.status, answer.document)
    assert 1 == len(caplog.messages)
    assert CANARY not in caplog.text


async def test_a_long_request_is_refused(admin: ASGIApp) -> None:
    """Before it is held in memory."""
    answer = await ask(admin, "POST", "/purge", b" " * 33_554_433)

    assert 413 == answer.status


async def test_it_is_mounted_anywhere(admin: ASGIApp) -> None:
    """Below a path of the operator's own."""
    app = Starlette()
    app.mount("/coo/admin", admin)
    answer: Answer = await ask(app, "POST", "/coo/admin/purge", PURGE)

    assert 200 == answer.status


async def test_it_explains(admin: ASGIApp) -> None:
    """`/explain` answers a request of its own form."""
    sample = {"body": {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}]}}

    assert 200 == (await ask(admin, "POST", "/explain", {"a": sample})).status


@pytest.mark.parametrize("token", ["", "short", "a" * 15, "a" * 16 + " ", "ключ" * 4])
def test_a_weak_token_is_refused(token: str) -> None:
    """The app is not made, and the token is not shown."""
    with pytest.raises(ValueError, match="token: must be at least 16 printable") as caught:
        create_admin(token=token, store=MemoryStore())

    assert not token or token not in str(caught.value)


def test_a_store_in_memory_must_be_passed() -> None:
    """Another one in memory would be purged for nobody."""
    with pytest.raises(ValueError, match="store: lies in memory"):
        create_admin(token=KEY)


async def test_a_store_of_its_own_closes_with_the_lifespan(caplog: pytest.LogCaptureFixture) -> None:
    """Without a store it opens the configured one, and one that is away is told as such."""
    addr = f"{HOST}:{find_port()}"
    admin = create_admin({"storage": {"runtime": {"type": "redis", "addr": addr}}}, token=KEY)
    client = Client({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    with caplog.at_level(logging.ERROR):
        assert 503 == (await ask(admin, "POST", "/purge", PURGE)).status
    await admin({"type": "lifespan", "asgi": {"version": "3.0"}}, client.receive, client.send)

    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == [each["type"] for each in client.messages]


def test_only_posts_change_anything() -> None:
    """No route acts on GET, which browsers and crawlers send."""
    assert {"POST"} == {method for method, _ in ROUTES.values()}


async def test_a_client_that_leaves_is_no_fault(admin: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    """Its request is dropped."""
    [begun] = content(json.dumps(PURGE).encode())
    client = Client({**begun, "more_body": True}, {"type": "http.disconnect"})
    scope = make_scope("/purge", (JSON_FIELD, TOKEN))
    await admin(scope, client.receive, client.send)

    assert [] == caplog.messages
