"""storage_api: who is let in, what is answered, and that nothing but the store makes it fail."""

import asyncio
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from coo_middleware.core.limits import Takes
from coo_middleware.storage_api import storage_api
from coo_middleware.storage_api.routes import ROUTES
from coo_middleware.stores import Counter, Increment, RuntimeStore, StoreError
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.http_limits import MOST_SETTLEMENTS, MOST_TAKES
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import Clock
from coo_middleware.testing.contract import NAMES
from tests.asgi import Client, content, make_scope
from tests.conftest import Serve
from tests.proof import PROOF
from tests.storage_server import KEY, TOKEN, Answer, ask

REQ = "/usage/openai/key1/req"
TAKE: dict[str, object] = {"name": "n", "limit": 10, "window_seconds": 60, "amount": 6}
LESS = TAKE | {"amount": -1}
RESERVATION: dict[str, object] = {"ticket": "t", "lease_seconds": 30, "choices": [[TAKE]]}
SETTLEMENT: dict[str, object] = {"ticket": "t", "takes": [TAKE | {"amount": 2}]}
CANARY = "sk-canary-0123456789"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def app(store: MemoryStore) -> ASGIApp:
    return storage_api(store, api_key=KEY, max_request_bytes=2000)


class FailingStore(MemoryStore):
    """A store of which no operation works, and whose errors tell too much."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def open(self) -> None:
        raise self.error


async def test_the_design_s_examples_work(app: ASGIApp) -> None:
    """The requests that the layout names, with the documents that it names."""
    for method, path, body, expected in [
        ("GET", REQ, b"", {"value": 0.0}),
        ("PUT", REQ, {"value": 45.0}, {}),
        ("POST", f"{REQ}/increment", {"delta": 1.0}, {}),
        ("GET", REQ, b"", {"value": 46.0}),
        ("GET", f"{REQ}/window?seconds=60", b"", {"value": 1.0}),
        ("GET", f"{REQ}/total", b"", {"value": 1.0}),
        ("PUT", "/cache/a%2Fb", {"value": "hello", "encoding": "utf-8", "ttl_seconds": 10}, {}),
        ("PUT", "/cache/binary", {"value": "/w==", "encoding": "base64", "ttl_seconds": 10}, {}),
        ("DELETE", "/cache/binary", b"", {}),
        ("GET", "/health", b"", {"status": "ok"}),
    ]:
        assert (200, expected) == ((answer := await ask(app, method, path, body)).status, answer.document)

    assert {"value": "hello", "encoding": "utf-8", "ttl_seconds": pytest.approx(10, abs=10)} == (
        await ask(app, "GET", "/cache/~YS9i")
    ).document
    assert (404, {"value": None}) == ((missing := await ask(app, "GET", "/cache/binary")).status, missing.document)


async def test_increments_are_applied_once(app: ASGIApp, store: MemoryStore) -> None:
    """A batch, and a single increment that carries a number, count once however often they are sent; without a number
    each counts.
    """
    batch = {"provider": "openai", "key_id": "key1", "metric": "req", "delta": 10.0, "samples": 2, "age": 0.5}
    for _ in range(3):
        await ask(app, "POST", f"{REQ}/increment", {"delta": 1, "writer": "a", "sequence": 1})
        await ask(app, "POST", "/batch", {"writer": "b", "sequence": 1, "increments": [batch]})
        await ask(app, "POST", f"{REQ}/increment", {"delta": 100})

    assert 311 == await store.get_total("openai", "key1", "req")


async def test_limits_are_reserved_settled_and_renewed() -> None:
    """What is reserved counts, what is settled counts in its place, once, and what was renewed does not lapse."""
    clock = Clock()
    app = storage_api(MemoryStore(clock=clock), api_key=KEY)

    async def reserve(ticket: str) -> tuple[object, object]:
        answer = await ask(app, "POST", "/limits/reserve", RESERVATION | {"ticket": ticket})
        assert isinstance(answer.document, dict)
        return answer.document["choice"], answer.document["levels"][0][0]["used"]

    assert (0, 6) == await reserve("t")
    assert (-1, 6) == await reserve("u")
    for _ in range(2):
        assert {} == (await ask(app, "POST", "/limits/settle", {"settlements": [SETTLEMENT]})).document
    assert [(0, 8), (-1, 8)] == [await reserve("u"), await reserve("v")]
    clock.advance(20)
    renewal = {"settlements": [SETTLEMENT | {"ticket": "u"}], "lease_seconds": 30}
    assert {} == (await ask(app, "POST", "/limits/renew", renewal)).document
    clock.advance(20)
    assert (-1, 8) == await reserve("w")
    clock.advance(10.5)

    assert (0, 8) == await reserve("w")


async def test_one_request_has_a_bounded_number_of_takes() -> None:
    """So that nobody keeps the store for long; up to the bound they are taken."""
    app = storage_api(MemoryStore(), api_key=KEY)
    for extra, status in ((0, 200), (1, 422)):
        choices: dict[str, object] = {"choices": [[]] * (MOST_TAKES + extra)}
        settlements = {"settlements": [SETTLEMENT] * (MOST_SETTLEMENTS + extra)}
        assert status == (await ask(app, "POST", "/limits/reserve", RESERVATION | choices)).status
        assert status == (await ask(app, "POST", "/limits/settle", settlements)).status


async def test_a_store_without_limits_says_so() -> None:
    """Instead of an admission; what is settled or renewed there is nothing."""
    app = storage_api(Unlimited(), api_key=KEY)

    assert {"kept": False} == (await ask(app, "POST", "/limits/reserve", RESERVATION)).document
    assert {} == (await ask(app, "POST", "/limits/settle", {"settlements": [SETTLEMENT]})).document


async def test_a_store_without_series_says_so() -> None:
    """Instead of a list, which is left out."""
    app = storage_api(Unlimited(), api_key=KEY)

    assert {"cursor": ""} == (await ask(app, "GET", "/totals/~")).document
    assert {} == (await ask(app, "POST", "/points", {"counters": [], "seconds": 60})).document


async def test_series_are_asked_for_in_bounds() -> None:
    """Too many counters, another window or another cursor is refused."""
    app = storage_api(MemoryStore(), api_key=KEY)
    counter = {"provider": "p", "key_id": "k", "metric": "m"}
    questions = ([counter] * 1_001, 60), ([counter], 35 * 86_400 + 1)
    for counters, seconds in questions:
        answer = await ask(app, "POST", "/points", {"counters": counters, "seconds": seconds})
        assert 422 == answer.status

    assert 422 == (await ask(app, "GET", "/totals/none")).status


async def test_series_beyond_all_numbers_are_a_fault(app: ASGIApp) -> None:
    """JSON has no infinity."""
    for _ in range(2):
        await ask(app, "POST", f"{REQ}/increment", {"delta": 1e308})
    counter = {"provider": "openai", "key_id": "key1", "metric": "req"}

    assert 503 == (await ask(app, "GET", "/totals/~")).status
    assert 503 == (await ask(app, "POST", "/points", {"counters": [counter], "seconds": 60})).status


class Unlimited(MemoryStore):
    """A store that keeps no limits and has no lists."""

    async def list_totals(self, cursor: str = "") -> None:  # type: ignore[override]
        """As by default."""

    async def read_points(self, counters: Sequence[Counter], window_seconds: int) -> None:  # type: ignore[override]
        """As by default."""

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> None:  # type: ignore[override]
        """As by default."""


@pytest.mark.parametrize("name", NAMES)
async def test_names_of_any_kind_are_taken_in_either_form(name: str, app: ASGIApp) -> None:
    """A client that only percent-encodes and one that sends base64url mean the same counter."""
    plain = quote(name, safe="")
    packed = "~" + urlsafe_b64encode(name.encode()).decode().rstrip("=")
    await ask(app, "PUT", f"/usage/{plain}/{packed}/req", {"value": 7})

    assert {"value": 7.0} == (await ask(app, "GET", f"/usage/{packed}/{plain}/req")).document


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", KEY.encode())],
        [(b"authorization", b"Basic " + KEY.encode())],
        [(b"authorization", b"Bearer " + KEY.encode()[:-1])],
        [(b"authorization", b"Bearer " + KEY.encode() + b"0")],
        [(b"authorization", b"Bearer  " + KEY.encode())],
        [(b"authorization", b"Bearer " + KEY.upper().encode())],
        [(b"authorization", b"Bearer \xff\x00")],
        [TOKEN, TOKEN],
        [(b"x-api-key", KEY.encode())],
    ],
)
@pytest.mark.parametrize("path", ["/health", "/openapi.json", REQ, "/nowhere"])
async def test_without_the_token_nothing_is_told(path: str, headers: list[tuple[bytes, bytes]], app: ASGIApp) -> None:
    """Every path answers alike, before it is looked at."""
    answer = await ask(app, "GET", path, headers=headers)

    assert (401, {"error": "unauthorized"}) == (answer.status, answer.document)
    assert b"Bearer" == answer.fields[b"www-authenticate"]


async def test_the_scheme_s_case_does_not_matter(app: ASGIApp) -> None:
    """RFC 9110 section 11.1."""
    assert 200 == (await ask(app, "GET", "/health", headers=[(b"authorization", b"bEARER " + KEY.encode())])).status


async def test_answers_are_kept_by_no_cache(app: ASGIApp) -> None:
    """Neither good ones nor refusals."""
    for headers in ([TOKEN], []):
        answer = await ask(app, "GET", REQ, headers=headers)
        assert b"no-store" == answer.fields[b"cache-control"]
        assert b"application/json" == answer.fields[b"content-type"]


@pytest.mark.parametrize("api_key", ["", "0123456789abcde", " " * 16, "0123456789abcdé\n", "0123456789 abcdef"])
def test_a_weak_key_is_refused(api_key: str, store: MemoryStore) -> None:
    """An empty, short or unsendable key is an error that says how to make one, and does not repeat it."""
    with pytest.raises(ValueError, match=r"^api_key: must be at least 16 .* set storage\.api\.api_key$") as caught:
        storage_api(store, api_key=api_key)

    assert not api_key or api_key not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/nowhere",
        "/usage",
        "/usage/a/b",
        f"{REQ}/",
        f"{REQ}/increments",
        "/cache",
        "/cache/a/b",
        "/health/",
        "/Health",
    ],
)
async def test_unknown_paths_are_404(path: str, app: ASGIApp) -> None:
    """A path is known in full or not at all."""
    answer = await ask(app, "GET", path)

    assert (404, {"error": "no such path"}) == (answer.status, answer.document)


@pytest.mark.parametrize("template", ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"])
async def test_wrong_methods_are_405(method: str, template: str, app: ASGIApp) -> None:
    """A path takes the methods that it names in `Allow`, and no other."""
    answer = await ask(app, method, re.sub(r"\{\w+\}", "a", template))
    allowed = ", ".join(ROUTES[template])

    assert (method not in ROUTES[template]) == (answer.status == 405)
    assert answer.fields.get(b"allow", allowed.encode()) == allowed.encode()


INVALID: dict[str, tuple[str, str, object, str]] = {
    "no JSON": ("PUT", REQ, b"value=1", "body: "),
    "nothing": ("PUT", REQ, b"", "body: "),
    "a list": ("PUT", REQ, [1], "body: "),
    "a doubled name": ("PUT", REQ, b'{"value":1,"value":2}', "body: "),
    "no value": ("PUT", REQ, {}, "value: "),
    "value as text": ("PUT", REQ, {"value": "1"}, "value: "),
    "value NaN": ("PUT", REQ, b'{"value":NaN}', "body: "),
    "value beyond range": ("PUT", REQ, b'{"value":1e999}', "value: "),
    "no delta": ("POST", f"{REQ}/increment", {"value": 1}, "delta: "),
    "writer without sequence": ("POST", f"{REQ}/increment", {"delta": 1, "writer": "w"}, "sequence: "),
    "sequence without writer": ("POST", f"{REQ}/increment", {"delta": 1, "sequence": 1}, "writer: "),
    "no seconds": ("GET", f"{REQ}/window", b"", "seconds: "),
    "seconds twice": ("GET", f"{REQ}/window?seconds=1&seconds=2", b"", "seconds: "),
    "seconds and more": ("GET", f"{REQ}/window?seconds=1&x=2", b"", "seconds: "),
    "seconds in words": ("GET", f"{REQ}/window?seconds=one", b"", "seconds: "),
    "seconds in other digits": ("GET", f"{REQ}/window?seconds=²", b"", "seconds: "),
    "window 0": ("GET", f"{REQ}/window?seconds=0", b"", "window_seconds "),
    "window too long": ("GET", f"{REQ}/window?seconds=3024001", b"", "window_seconds "),
    "window of many digits": ("GET", f"{REQ}/window?seconds={'9' * 5000}", b"", "seconds: "),
    "names too long": ("GET", f"/usage/{'a' * 2048}/b/c", b"", "provider, key_id and metric together: "),
    "a name that is not UTF-8": ("GET", "/usage/%ff/b/c", b"", "path: "),
    "a name of lone surrogates": ("GET", "/cache/%ED%A0%80", b"", "path: "),
    "a name that is no base64": ("GET", "/cache/~*", b"", "path: "),
    "key too long": ("GET", f"/cache/{'k' * 2049}", b"", "key: "),
    "no ttl": ("PUT", "/cache/a", {"value": "a"}, "ttl_seconds: "),
    "ttl 0": ("PUT", "/cache/a", {"value": "a", "ttl_seconds": 0}, "ttl_seconds "),
    "unknown encoding": ("PUT", "/cache/a", {"value": "a", "encoding": "x", "ttl_seconds": 1}, "encoding: "),
    "no base64": ("PUT", "/cache/a", {"value": "a", "encoding": "base64", "ttl_seconds": 1}, "value: "),
    "no increments": ("POST", "/batch", {"writer": "w", "sequence": 1}, "increments: "),
    "a ticket that is none": ("POST", "/limits/reserve", {"ticket": 1, "lease_seconds": 1, "choices": []}, "ticket: "),
    "an empty ticket": ("POST", "/limits/reserve", RESERVATION | {"ticket": ""}, "ticket "),
    "lease 0": ("POST", "/limits/reserve", RESERVATION | {"lease_seconds": 0}, "lease_seconds "),
    "no choice": ("POST", "/limits/reserve", RESERVATION | {"choices": []}, "choices: "),
    "choices that are no lists": ("POST", "/limits/reserve", RESERVATION | {"choices": [TAKE]}, "choices: "),
    "takes that are no objects": ("POST", "/limits/reserve", RESERVATION | {"choices": [[[]]]}, "choices: "),
    "a limit of 0": ("POST", "/limits/reserve", RESERVATION | {"choices": [[TAKE | {"limit": 0}]]}, "limit "),
    "a limit as text": ("POST", "/limits/reserve", RESERVATION | {"choices": [[TAKE | {"limit": "1"}]]}, "limit: "),
    "settlements that are no list": ("POST", "/limits/settle", {"settlements": {}}, "settlements: "),
    "a settlement of nothing": ("POST", "/limits/settle", {"settlements": [{"ticket": "t"}]}, "takes: "),
    "an amount below 0": ("POST", "/limits/settle", {"settlements": [SETTLEMENT | {"takes": [LESS]}]}, "amount "),
    "a renewal without a lease": ("POST", "/limits/renew", {"settlements": []}, "lease_seconds: "),
    "a renewal for no time": ("POST", "/limits/renew", {"settlements": [], "lease_seconds": -1}, "lease_seconds "),
    "sequence 0": ("POST", "/batch", {"writer": "w", "sequence": 0, "increments": []}, "sequence: "),
}


@pytest.mark.parametrize(("method", "path", "body", "field"), INVALID.values(), ids=INVALID)
async def test_what_is_not_valid_is_named(method: str, path: str, body: object, field: str, app: ASGIApp) -> None:
    """422, and a text that begins with the member or parameter that is wrong."""
    answer = await ask(app, method, path, body)

    assert 422 == answer.status
    assert isinstance(answer.document, dict)
    assert ["error"] == list(answer.document)
    assert field == str(answer.document["error"])[: len(field)]


async def test_a_refused_batch_leaves_nothing(app: ASGIApp, store: MemoryStore) -> None:
    """Neither its first increments nor its number."""
    good, bad = ({"provider": "p", "key_id": "k", "metric": "m", "delta": 1, "age": age} for age in (0, -1))
    refused = await ask(app, "POST", "/batch", {"writer": "w", "sequence": 1, "increments": [good, bad]})
    await ask(app, "POST", "/batch", {"writer": "w", "sequence": 1, "increments": [good]})

    assert 422 == refused.status
    assert 1 == await store.get_total("p", "k", "m")


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_long_request_is_refused(pieces: int, app: ASGIApp) -> None:
    """413 as soon as it is too long; exactly as long as may be is read."""
    for size, expected in ((2000, 422), (2001, 413)):
        body = b" " * size
        step = -(-size // pieces)
        client = Client(*content(*(body[at : at + step] for at in range(0, size, step))))
        await app(make_scope(REQ, [TOKEN], method="PUT"), client.receive, client.send)
        assert expected == client.status


async def test_a_client_that_leaves_is_not_answered(app: ASGIApp, store: MemoryStore) -> None:
    """And nothing of its request is done."""
    client = Client({"type": "http.request", "body": b'{"value": 1}', "more_body": True})
    client.leave()
    await app(make_scope(REQ, [TOKEN], method="PUT"), client.receive, client.send)

    assert [] == client.messages
    assert 0 == await store.get_usage("openai", "key1", "req")


@pytest.mark.parametrize("error", [StoreError("cannot reach redis:6379"), KeyError(CANARY), RuntimeError(CANARY)])
async def test_a_store_that_fails_is_503(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns that it failed, the log why; of an error that is not the store's own, only its kind."""
    answer = await ask(storage_api(FailingStore(error), api_key=KEY), "GET", REQ)

    assert (503, {"error": "the store failed; see the server's log"}) == (answer.status, answer.document)
    assert (str(error) if isinstance(error, StoreError) else type(error).__name__) in caplog.text
    assert CANARY not in caplog.text


async def test_a_counter_beyond_all_numbers_is_503(app: ASGIApp, store: MemoryStore) -> None:
    """JSON has no infinity, and no other number would be true."""
    for _ in range(2):
        await store.increment_usage("openai", "key1", "req", 1.5e308)

    assert 503 == (await ask(app, "GET", REQ)).status


async def live(app: ASGIApp) -> list[dict[str, object]]:
    client = Client({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, client.receive, client.send)
    return [dict(message) for message in client.messages]


class Doors(MemoryStore):
    """Counts how often it was opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.visits: list[str] = []

    async def open(self) -> None:
        self.visits.append("open")
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.visits.append("close")


async def test_the_lifespan_opens_and_closes_the_store() -> None:
    """Once each."""
    store = Doors()

    assert [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}] == await live(
        storage_api(store, api_key=KEY)
    )
    assert ["open", "close"] == store.visits


async def test_without_a_lifespan_the_first_request_opens_the_store() -> None:
    """Once, however many come at the same time: an app that is mounted below another sees no lifespan."""
    store = Doors()
    app = storage_api(store, api_key=KEY)
    await asyncio.gather(*(ask(app, "GET", "/health") for _ in range(5)))

    assert ["open"] == store.visits


async def test_a_store_that_cannot_be_opened_ends_the_start() -> None:
    """The message is the store's own where it is one, and else tells the kind alone."""
    for error, message in ((StoreError("held by process 7"), "held by process 7"), (OSError(CANARY), "OSError")):
        assert [{"type": "lifespan.startup.failed", "message": message}] == await live(
            storage_api(FailingStore(error), api_key=KEY)
        )


async def test_a_websocket_is_closed(app: ASGIApp) -> None:
    """There is none."""
    client = Client({"type": "websocket.connect"})
    await app({**make_scope("/health"), "type": "websocket"}, client.receive, client.send)

    assert ["websocket.close"] == [message["type"] for message in client.messages]


@pytest.mark.parametrize("mount", ["/storage", "/a b/ключ"])
async def test_it_can_be_mounted_below_a_path(mount: str, store: MemoryStore) -> None:
    """The names after the mount's path are the names, slashes in them included."""
    app = Starlette(routes=[Mount(mount, storage_api(store, api_key=KEY))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        behind = HTTPStore(addr=f"http://host{quote(mount)}", api_key=KEY, client=client)
        for number, name in enumerate(NAMES):
            await behind.set_usage(name, "k", "req", number)

    assert [*range(len(NAMES))] == [await store.get_usage(name, "k", "req") for name in NAMES]


async def test_a_server_that_gives_no_raw_path_is_understood(store: MemoryStore) -> None:
    """`raw_path` is optional in ASGI; names that a decoded path could not tell apart come in the other form anyway."""
    app = storage_api(store, api_key=KEY)

    async def without(scope: dict[str, object], receive: object, send: object) -> None:
        del scope["raw_path"]
        scope["path"] = httpx.URL(f"http://host{scope['path']}").path
        await app(scope, receive, send)  # type: ignore[arg-type]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(without)) as client:  # type: ignore[arg-type]
        behind: RuntimeStore = HTTPStore(addr="http://host", api_key=KEY, client=client)
        for number, name in enumerate(NAMES):
            await behind.apply("w", number + 1, [Increment(name, "k", "req", number)])
            assert number == await behind.get_usage(name, "k", "req")


NUMBERS = st.integers() | st.floats() | st.booleans() | st.sampled_from([2**53, -1, 10**400])
LEAVES = st.none() | NUMBERS | st.text(max_size=9)
TREES = st.recursive(
    LEAVES, lambda leaf: st.lists(leaf, max_size=3) | st.dictionaries(st.text(max_size=9), leaf), max_leaves=9
)
FIELDS = st.sampled_from(
    [
        "value",
        "delta",
        "ttl_seconds",
        "encoding",
        "writer",
        "sequence",
        "increments",
        "provider",
        "key_id",
        "metric",
        "samples",
        "age",
        "ticket",
        "choices",
        "settlements",
        "lease_seconds",
        "takes",
        "name",
        "limit",
        "window_seconds",
        "amount",
    ]
)
INCREMENTS = st.lists(st.dictionaries(FIELDS, LEAVES, max_size=6), max_size=3)
DOCUMENTS = st.dictionaries(FIELDS, LEAVES | INCREMENTS | TREES, max_size=6).map(
    lambda document: json.dumps(document).encode("utf-8", "surrogatepass")
)
SEGMENTS = st.sampled_from(["usage", "cache", "batch", "window", "~", "~_", "..", ""]) | st.text(max_size=9).map(
    lambda text: quote(text.encode("utf-8", "surrogatepass"))
)
PATHS = st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts)) | st.sampled_from(
    [re.sub(r"\{\w+\}", "a", template) for template in ROUTES]
)
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"])
QUERIES = st.sampled_from(["", "?seconds=60", "?seconds=0"]) | st.text(max_size=9).map(lambda text: f"?{quote(text)}")


@settings(deadline=None, max_examples=300 * PROOF)
@given(METHODS, PATHS, QUERIES, DOCUMENTS | st.binary(max_size=99))
@example("PUT", REQ, "", b'{"value":1e308}')
@example("POST", f"{REQ}/increment", "", b'{"delta":-1.7e308,"writer":"w","sequence":9007199254740992}')
@example("PUT", "/cache/a", "", b'{"value":"\\ud800","ttl_seconds":1}')
@example("PUT", "/cache/a", "", b'{"value":"a","ttl_seconds":1.7e308}')
@example("POST", "/limits/reserve", "", b'{"ticket":"t","choices":[[]],"lease_seconds":1e308}')
@example(
    "POST",
    "/limits/reserve",
    "",
    b'{"ticket":"t","lease_seconds":1,"choices":[[{"name":"n","limit":1e15,"window_seconds":1e-300,"amount":1e308}]]}',
)
def test_no_request_makes_the_server_fail(method: str, path: str, query: str, body: bytes) -> None:
    """Whatever comes is answered with JSON, and with no 5xx as long as the store works."""

    async def talk() -> list[Answer]:
        app = storage_api(MemoryStore(), api_key=KEY)
        return [await ask(app, each, path + query, body) for each in (method, "GET")]

    for answer in asyncio.run(talk()):
        assert isinstance(answer.document, dict)
        assert answer.status in {200, 404, 405, 413, 422}


async def test_a_real_server_takes_what_a_real_client_sends(serve: Serve, store: MemoryStore) -> None:
    """Percent-encoded names with slashes and dots, long requests and wrong tokens, through a socket."""
    url = serve(storage_api(store, api_key=KEY, max_request_bytes=2000))
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as client:
        put = await client.put(f"{url}/usage/a%2Fb/%2E%2E%2Fc/~", json={"value": 1})
        long = await client.put(f"{url}{REQ}", content=b" " * 3_000_000)
        again = await client.get(f"{url}{REQ}")
        wrong = await client.get(f"{url}{REQ}", headers={"authorization": "Bearer x"})

    assert [200, 413, 200, 401] == [each.status_code for each in (put, long, again, wrong)]
    assert 1 == await store.get_usage("a/b", "../c", "")
