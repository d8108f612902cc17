"""admin/: who is let in, what is answered, and what a purge does."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette

from coo_middleware import COOMiddleware
from coo_middleware.admin import app as app_module
from coo_middleware.admin import create_admin, open_admin
from coo_middleware.admin.routes import ROUTES
from coo_middleware.config import Config, make_config
from coo_middleware.stores import StoreError
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import READ, WRITE, bearer, look
from tests.asgi import ANSWER, JSON_FIELD, Client, Fields, Script, again, answer, call, content, make_scope
from tests.redis_server import HOST, find_port
from tests.storage_server import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from tests.conftest import Serve

PURGE = {"labels": ["model:gpt-5-mini"]}
CANARY = "hunter2canary-and-more"
MAY_PURGE = (bearer(WRITE),)


class Broken(MemoryStore):
    """A store that fails as it is told."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def purge(self, labels: Sequence[str]) -> int:
        del labels
        raise self.error


class Hanging(MemoryStore):
    """A store that never lists its counters."""

    async def list_totals(self, cursor: str = "") -> Any:
        await asyncio.Event().wait()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def admin(store: MemoryStore) -> ASGIApp:
    return create_admin(store=store, read_token=READ, write_token=WRITE)


def inside(store: MemoryStore) -> ASGIApp:
    """The app as the middleware has it."""
    settings = {"enabled": True, "path": "/coo", "read_token": READ, "write_token": WRITE}
    return open_admin(make_config({"admin": settings}), store, dict)


async def test_a_purge_tells_its_generation_and_how_many_it_hit(admin: ASGIApp, store: MemoryStore) -> None:
    """What was reused before is asked for anew; a dry run tells the same number and changes nothing."""
    middleware = COOMiddleware(Script(*answer(ANSWER)), store=store)
    await call(middleware)
    await middleware.drain()
    begin = (await store.get_purges(0)).generation
    dry = await ask(admin, "POST", "/purge", PURGE | {"dry_run": True}, MAY_PURGE)
    marks = [(await again(middleware)).fields[b"x-coo-cache"]]
    wet = await ask(admin, "POST", "/purge", PURGE, MAY_PURGE)
    marks.append((await again(middleware)).fields[b"x-coo-cache"])
    uncounted = await ask(admin, "POST", "/purge", PURGE | {"count": False}, MAY_PURGE)

    known: dict[str, object] = {"matched": 1, "unreadable": 0, "is_complete": True}
    assert [b"HIT", b"MISS"] == marks
    assert [known | {"generation": None}, known | {"generation": begin + 1}] == [dry.document, wet.document]
    assert {"generation": begin + 2, "matched": None, "unreadable": 0, "is_complete": False} == uncounted.document
    assert b"no-store" == wet.fields[b"cache-control"]


@pytest.mark.parametrize("fields", [(), (bearer(READ + "x"),), (bearer(READ), bearer(WRITE))])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(key for key, route in ROUTES.items() if route.needs != "none"),
        *[("GET", "/nothing"), ("POST", "/nothing"), ("GET", "/purge"), ("POST", "/health"), ("OPTIONS", "/purge")],
        *[("GET", "/purge/"), ("GET", "//"), ("GET", "/usage/../purge"), ("PUT", "/")],
    ],
)
async def test_nobody_without_a_token_learns_anything(
    admin: ASGIApp, store: MemoryStore, method: str, path: str, fields: Fields
) -> None:
    """Neither what there is nor that there is something, and nothing is done."""
    begin = await store.get_purges(0)
    got = await ask(admin, method, path, PURGE, fields)
    challenge = b'Basic realm="coo", charset="UTF-8"' if path == "/tables" else b"Bearer"

    assert (401, {"error": "unauthorized"}) == (got.status, got.document)
    assert challenge == got.fields[b"www-authenticate"]
    assert begin == await store.get_purges(0)


async def test_who_may_look_may_not_purge(admin: ASGIApp, store: MemoryStore) -> None:
    """403; where there is no writing token, nobody may."""
    begin = await store.get_purges(0)
    alone = create_admin(store=store, read_token=READ)
    got = [await ask(each, "POST", "/purge", PURGE, (bearer(READ),)) for each in (admin, alone)]

    assert [403, 403] == [each.status for each in got]
    assert 401 == (await ask(alone, "POST", "/purge", PURGE, MAY_PURGE)).status
    assert begin == await store.get_purges(0)


async def test_who_may_purge_may_look(admin: ASGIApp) -> None:
    """One token is enough to work with."""
    assert 200 == (await look(admin, "/summary", WRITE)).status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/purge", 405),
        ("HEAD", "/purge", 405),
        ("DELETE", "/purge", 405),
        ("POST", "/summary", 405),
        ("PUT", "/entries/1a", 405),
        ("POST", "/purge/", 404),
        ("POST", "//purge", 404),
        ("POST", "/%70urge", 404),
        ("POST", "/PURGE", 404),
        ("POST", "/usage/../purge", 404),
        ("POST", "/entries/..%2f..%2fpurge", 405),
        ("GET", "/entries/1a/2b", 404),
        ("GET", "/coo/purge", 404),
        ("OPTIONS", "/", 404),
    ],
)
async def test_what_is_not_there_is_told_in_json(
    admin: ASGIApp, store: MemoryStore, method: str, path: str, status: int
) -> None:
    """Nothing is purged by another method, and no path leads elsewhere."""
    begin = await store.get_purges(0)
    got = await call(admin, b"", make_scope(path, MAY_PURGE, method=method))

    assert status == got.status
    assert method == "HEAD" or ["error"] == [*json.loads(got.body)]
    assert begin == await store.get_purges(0)
    assert status != 405 or got.fields[b"allow"] in {b"POST", b"GET"}


async def test_a_head_has_the_fields_of_a_get(admin: ASGIApp) -> None:
    """Without the content, wherever there is a GET; the next GET has it."""
    for path in ("/summary", "/tables", "/openapi.json"):
        got = [await call(admin, b"", make_scope(path, (bearer(READ),), method=each)) for each in ("HEAD", "GET")]

        assert (200, got[1].fields, b"") == (got[0].status, got[0].fields, got[0].body)
        assert int(got[1].fields[b"content-length"]) == len(got[1].body) > 0


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
    got = await ask(admin, "POST", "/purge", body, MAY_PURGE)

    assert 422 == got.status
    assert "hunter2" not in str(got.document)
    assert begin == await store.get_purges(0)


@pytest.mark.parametrize(("error", "status"), [(StoreError("the server is away"), 503), (LookupError(CANARY), 500)])
async def test_a_fault_is_in_the_log_and_not_in_the_answer(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A StoreError is told in the log, of another one its kind alone."""
    admin = create_admin(store=Broken(error), write_token=WRITE)
    with caplog.at_level(logging.ERROR):
        got = await ask(admin, "POST", "/purge", PURGE, MAY_PURGE)

    assert (status, {"error": "it failed; see the server's log"}) == (got.status, got.document)
    assert 1 == len(caplog.messages)
    assert CANARY not in caplog.text


async def test_a_store_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and the next one is told the same."""
    monkeypatch.setattr(app_module, "_READ_SECONDS", 0.01)
    admin = create_admin(store=Hanging(), read_token=READ)
    got = [await look(admin, "/summary") for _ in range(2)]

    assert [(503, {"error": "the store did not answer within 0.01 seconds"})] * 2 == [
        (each.status, each.document) for each in got
    ]


async def test_a_long_request_is_refused(admin: ASGIApp) -> None:
    """Before it is held in memory."""
    got = await ask(admin, "POST", "/purge", b" " * 33_554_433, MAY_PURGE)

    assert 413 == got.status


async def test_it_is_mounted_anywhere(admin: ASGIApp) -> None:
    """Below a path of the operator's own."""
    app = Starlette()
    app.mount("/coo/admin", admin)
    got: Answer = await ask(app, "POST", "/coo/admin/purge", PURGE, MAY_PURGE)

    assert 200 == got.status
    assert 200 == (await call(app, b"", make_scope("/coo/admin/", method="GET"))).status


async def test_it_explains(admin: ASGIApp) -> None:
    """`/explain` answers a request of its own form, to whoever may look."""
    sample = {"body": {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}]}}

    assert 200 == (await ask(admin, "POST", "/explain", {"a": sample}, (bearer(READ),))).status


def test_it_is_off_until_there_is_a_token() -> None:
    """Without one there is no app; the tokens of the configuration do as well as those that are passed."""
    with pytest.raises(ValueError, match="read_token: must be given"):
        create_admin(store=MemoryStore())
    with pytest.raises(ValueError, match="read_token: must be given"):
        open_admin(Config(), MemoryStore(), dict)

    create_admin({"admin": {"enabled": True, "read_token": READ}}, store=MemoryStore())


async def test_inside_the_middleware_only_the_path_counts(store: MemoryStore) -> None:
    """No field that a client sends moves it, nor does what a proxy in front took away."""
    admin = inside(store)
    tricks: Fields = (
        *[(b"host", b"evil.example"), (b"x-forwarded-host", b"evil.example"), (b"x-forwarded-prefix", b"/coo")],
        *[(b"x-original-url", b"/coo/purge"), (b"x-rewrite-url", b"/coo/purge"), (b"forwarded", b"host=evil.example")],
    )
    scope = {**make_scope("/coo/summary", (bearer(READ), *tricks), method="GET"), "root_path": "/coo"}
    other = {**make_scope("/coo/health", (*tricks, bearer(WRITE)), method="POST"), "raw_path": b"/coo/purge"}
    redirect = await call(admin, b"", make_scope("/coo", tricks, method="GET"))

    assert 200 == (await call(admin, b"", scope)).status
    assert 405 == (await call(admin, b"", other)).status
    assert (307, b"./coo/") == (redirect.status, redirect.fields[b"location"])


async def test_a_socket_is_closed(admin: ASGIApp) -> None:
    """There is nothing for it here."""
    client = Client({"type": "websocket.connect"})
    await admin({**make_scope("/summary"), "type": "websocket"}, client.receive, client.send)

    assert ["websocket.close"] == [each["type"] for each in client.messages]


def test_a_store_in_memory_must_be_passed() -> None:
    """Another one in memory would be purged for nobody."""
    with pytest.raises(ValueError, match="store: lies in memory"):
        create_admin(read_token=READ)


async def live(admin: ASGIApp) -> list[str]:
    """What an app says to a lifespan."""
    client = Client({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await admin({"type": "lifespan", "asgi": {"version": "3.0"}}, client.receive, client.send)
    return [each["type"] for each in client.messages]


async def test_a_store_of_its_own_closes_with_the_lifespan(caplog: pytest.LogCaptureFixture) -> None:
    """Without a store it opens the configured one, and one that is away is told as such."""
    addr = f"{HOST}:{find_port()}"
    admin = create_admin({"storage": {"runtime": {"type": "redis", "addr": addr}}}, read_token=READ, write_token=WRITE)
    with caplog.at_level(logging.ERROR):
        assert 503 == (await ask(admin, "POST", "/purge", PURGE, MAY_PURGE)).status

    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == await live(admin)


async def test_a_store_of_its_own_needs_no_lifespan(tmp_path: Path) -> None:
    """It opens with the first request."""
    config = {"storage": {"runtime": {"type": "sqlite", "path": str(tmp_path / "coo.db")}}}
    admin = create_admin(config, read_token=READ)

    assert 200 == (await look(admin, "/summary")).status
    await live(admin)


def test_only_purge_changes_anything() -> None:
    """No route acts on GET, which browsers and crawlers send, and what changes needs the writing token."""
    assert {("POST", "/purge")} == {key for key, route in ROUTES.items() if route.needs == "write"}


async def test_a_client_that_leaves_is_no_fault(admin: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    """Its request is dropped."""
    [begun] = content(json.dumps(PURGE).encode())
    client = Client({**begun, "more_body": True}, {"type": "http.disconnect"})
    scope = make_scope("/purge", (JSON_FIELD, *MAY_PURGE))
    await admin(scope, client.receive, client.send)

    assert [] == caplog.messages


@pytest.mark.parametrize(
    ("method", "target", "token", "status"),
    [
        ("POST", "/coo/purge", "", 401),
        ("POST", "/coo/%70urge", "", 401),
        ("POST", "/coo%2fpurge", "", 401),
        ("POST", "/coo/./purge", "", 401),
        ("POST", "/coo//purge", WRITE, 404),
        ("POST", "/coo/usage/%2e%2e/purge", WRITE, 404),
        ("POST", "/coo/%70urge", WRITE, 422),
        ("GET", "/coo/summary", READ, 200),
        ("GET", "/COO/summary", READ, 404),
        ("GET", "/x/../coo/summary", READ, 404),
    ],
)
async def test_a_server_s_path_is_what_counts(serve: Serve, method: str, target: str, token: str, status: int) -> None:
    """However a request line spells it, what the server decoded of it leads there, and nothing but the token in."""
    assert status == await _ask_server(serve, method, target, token)


async def test_a_whole_address_lets_nobody_in(serve: Serve) -> None:
    """Servers differ about a request line with an address in it; none gets past the token."""
    assert await _ask_server(serve, "GET", "http://evil.example/coo/summary", "") in (401, 404)


async def _ask_server(serve: Serve, method: str, target: str, token: str) -> int:
    app = Starlette()
    app.mount("/coo", create_admin(store=MemoryStore(), read_token=READ, write_token=WRITE))
    address = urlsplit(serve(app))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (f"{method} {target} HTTP/1.1", "host: evil.example", f"authorization: Bearer {token}", "connection: close")
    writer.write("\r\n".join((*head, "content-length: 0", "", "")).encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])
