"""HTTPStore: what it sends, and that an odd answer is a fault of the store and never data."""

import asyncio
import json
import re
from collections.abc import Iterator

import httpx
import pytest
import respx
from hypothesis import given, settings

from coo_middleware.core.limits import Admission, Level, Settlement, Take
from coo_middleware.storage_api import storage_api
from coo_middleware.stores import Increment, Points, RuntimeStore, StoreError, StoreSettings, open_store
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import Clock
from coo_middleware.testing.calls import OPERATIONS
from tests.ledger_steps import STEPS, Comparison, Step
from tests.proof import PROOF
from tests.storage_server import KEY
from tests.store_machine import TTL, StoreMachine

BASE = "https://api.example.com/storage"
REQ = ("openai", "key1", "req")
COUNTER = f"{BASE}/usage/openai/key1/req"
RESPONSE = f"{BASE}/cache/key"
TAKE = Take("n", 10, 60, 2.5)
JSON = {"content-type": "application/json"}


@pytest.fixture
def routes() -> Iterator[respx.MockRouter]:
    """The server: what it is not told to answer is an error."""
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
def store() -> HTTPStore:
    return HTTPStore(addr=BASE + "/", api_key=KEY, timeout_seconds=20)


def sent(call: httpx.Request) -> object:
    return json.loads(call.content)


async def test_requests_are_as_the_layout_says(routes: respx.MockRouter, store: HTTPStore) -> None:
    """Each operation is one request to the configured base URL, with the token and what the layout names."""
    routes.route(path__startswith="/storage/cache").respond(json={"value": "a", "ttl_seconds": 10})
    routes.route().respond(json={"value": 45.0})
    await store.get_usage(*REQ)
    await store.set_usage(*REQ, 45.0)
    await store.get_usage_in_window(*REQ, 60)
    await store.get_total(*REQ)
    await store.get_cache("key")
    await store.set_cache("key", b'{"a":1}', 10)
    await store.set_cache("key", b"\xff", 0.5)
    await store.delete_cache("key")
    await store.apply("writer", 7, [Increment(*REQ, 2.5, samples=2, age=1.0)])
    await store.ping()
    requests = [call.request for call in routes.calls]
    batch = {"provider": "openai", "key_id": "key1", "metric": "req", "delta": 2.5, "samples": 2, "age": 1.0}

    assert [
        ("GET", COUNTER, None),
        ("PUT", COUNTER, {"value": 45.0}),
        ("GET", f"{COUNTER}/window?seconds=60", None),
        ("GET", f"{COUNTER}/total", None),
        ("GET", RESPONSE, None),
        ("PUT", RESPONSE, {"value": '{"a":1}', "encoding": "utf-8", "ttl_seconds": 10}),
        ("PUT", RESPONSE, {"value": "/w==", "encoding": "base64", "ttl_seconds": 0.5}),
        ("DELETE", RESPONSE, None),
        ("POST", f"{BASE}/batch", {"writer": "writer", "sequence": 7, "increments": [batch]}),
        ("GET", f"{BASE}/health", None),
    ] == [(each.method, str(each.url), sent(each) if each.content else None) for each in requests]
    assert {(f"Bearer {KEY}", "application/json", "identity")} == {
        (each.headers["authorization"], each.headers["accept"], each.headers["accept-encoding"]) for each in requests
    }


async def test_claims_are_requests_of_their_own(routes: respx.MockRouter, store: HTTPStore) -> None:
    """A lease is asked for and ended at the path of its key and its owner, and the answer names the leader."""
    routes.put(f"{BASE}/claim/key/a.1").respond(json={"owner": "b.2"})
    routes.delete(f"{BASE}/claim/key/a.1").respond(json={})
    assert "b.2" == await store.claim("key", "a.1", 5)
    await store.release("key", "a.1")

    assert [{"lease_seconds": 5.0}, None] == [
        sent(each.request) if each.request.content else None for each in routes.calls
    ]


@pytest.mark.parametrize("status", [404, 405])
async def test_server_without_leases_makes_everybody_a_leader(
    routes: respx.MockRouter, store: HTTPStore, status: int
) -> None:
    """A storage API that has no such path is no fault: each replica goes on by itself."""
    routes.route().respond(status, json={"error": "no such path"})
    await store.release("key", "a.1")

    assert "a.1" == await store.claim("key", "a.1", 5)


@pytest.mark.parametrize("document", [{}, {"owner": None}, {"owner": 1}])
async def test_lease_without_a_leader_is_a_fault(
    routes: respx.MockRouter, store: HTTPStore, document: dict[str, object]
) -> None:
    """An answer that names nobody is refused."""
    routes.route().respond(json=document)

    with pytest.raises(StoreError, match=r"answered 200; owner: must be a text"):
        await store.claim("key", "a.1", 5)


@pytest.mark.parametrize("status", [404, 405])
async def test_server_without_purges_keeps_them_as_a_response(
    routes: respx.MockRouter, store: HTTPStore, status: int
) -> None:
    """A storage API that has no such path purges all the same, as by default; it cannot list its responses."""
    kept: dict[str, object] = {}

    def keep(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            kept.update(json.loads(request.content))
            return httpx.Response(200, json={})
        return httpx.Response(200 if kept else 404, json=kept or {"value": None})

    routes.route(path__regex="/cache/coo:purges$").mock(side_effect=keep)
    routes.route().respond(status, json={"error": "no such path"})
    begin = await store.get_purges(0)
    generation = await store.purge(["tag:a"])

    assert begin.generation + 1 == generation
    assert begin.purge(["tag:a"]) == await store.get_purges(begin.generation)
    assert await store.list_cache() is None


async def test_server_without_series_has_none(routes: respx.MockRouter, store: HTTPStore) -> None:
    """A storage API from before there were lists of counters cannot list them, nor tell their buckets."""
    routes.route().respond(404, json={"error": "no such path"})

    assert await store.list_totals() is None
    assert await store.read_points([REQ], 60) is None


async def test_points_are_one_request(routes: respx.MockRouter, store: HTTPStore) -> None:
    """However many counters, they are asked for at once; an answer about other ones is a fault."""
    routes.route().respond(json={"begins": 60, "step_seconds": 60, "values": [[1, 2.5], [0, 0]]})
    points = await store.read_points([REQ, ("p", "k", "m")], 120)
    assert Points(60.0, 60, ((1.0, 2.5), (0.0, 0.0))) == points
    with pytest.raises(StoreError, match=r"POST /points at .*answered 200; values: must be one list for each counter"):
        await store.read_points([REQ], 120)

    named = [{"provider": "openai", "key_id": "key1", "metric": "req"}, {"provider": "p", "key_id": "k", "metric": "m"}]
    assert {"counters": named, "seconds": 120} == sent(routes.calls[0].request)
    assert f"{BASE}/points" == str(routes.calls[0].request.url)


async def test_limits_are_requests_of_their_own(routes: respx.MockRouter, store: HTTPStore) -> None:
    """A reservation carries its choices, a settlement its takes, and the answer is the admission."""
    levels = [[{"used": 3, "reset_seconds": 1.5}], []]
    routes.post(f"{BASE}/limits/reserve").respond(json={"choice": 1, "wait_seconds": 0, "levels": levels})
    routes.post(f"{BASE}/limits/settle").respond(json={})
    routes.post(f"{BASE}/limits/renew").respond(json={})
    assert Admission(1, 0, ((Level(3, 1.5),), ())) == await store.reserve("t", [(TAKE,), ()], 5)
    await store.settle([Settlement("t", (TAKE,))])
    await store.renew([Settlement("t", (TAKE,))], 5)
    take = {"name": "n", "limit": 10, "window_seconds": 60, "amount": 2.5}
    settlements = [{"ticket": "t", "takes": [take]}]

    assert [
        {"ticket": "t", "lease_seconds": 5.0, "choices": [[take], []]},
        {"settlements": settlements},
        {"settlements": settlements, "lease_seconds": 5.0},
    ] == [sent(each.request) for each in routes.calls]


async def test_settlements_are_sent_in_parts(routes: respx.MockRouter, store: HTTPStore) -> None:
    """However many there are, a request has no more than a server takes; without any, none is sent."""
    route = routes.post(f"{BASE}/limits/settle").respond(json={})
    await store.settle([])
    await store.settle([Settlement(f"{number}", ()) for number in range(1200)])

    assert [512, 512, 176] == [len(json.loads(call.request.content)["settlements"]) for call in route.calls]


@pytest.mark.parametrize("status", [404, 405])
async def test_server_without_limits_keeps_none(routes: respx.MockRouter, store: HTTPStore, status: int) -> None:
    """A storage API that has no such path is no fault: the caller learns that it keeps no limits."""
    routes.route().respond(status, json={"error": "no such path"})
    await store.settle([Settlement("t", (TAKE,))])
    await store.renew([Settlement("t", (TAKE,))], 5)

    assert await store.reserve("t", [(TAKE,)], 5) is None


async def test_store_without_limits_behind_a_server_keeps_none(routes: respx.MockRouter, store: HTTPStore) -> None:
    """The server says so itself."""
    routes.route().respond(json={"kept": False})

    assert await store.reserve("t", [(TAKE,)], 5) is None


async def test_what_is_no_storage_api_does_not_pass_for_an_old_one(routes: respx.MockRouter, store: HTTPStore) -> None:
    """A 404 of something else is a fault, so that limits are not given up for a wrong address."""
    routes.route().respond(404, html=HTML)
    for call in (store.reserve("t", [()], 5), store.settle([Settlement("t", ())])):
        with pytest.raises(StoreError, match="answered 404; no storage API is there"):
            await call


@pytest.mark.parametrize(
    "change",
    [
        {"choice": None},
        {"choice": True},
        {"choice": 1},
        {"choice": -2},
        {"wait_seconds": "1"},
        {"levels": None},
        {"levels": [{}]},
        {"levels": [[1]]},
        {"levels": [[{"used": 1}]]},
        {"levels": [], "choice": -1},
    ],
)
async def test_an_admission_of_the_wrong_shape_is_a_fault(
    change: dict[str, object], routes: respx.MockRouter, store: HTTPStore
) -> None:
    """Nobody is let in, or sent away, by an answer that does not say so, nor by one about other choices."""
    good: dict[str, object] = {"choice": 0, "wait_seconds": 0, "levels": [[{"used": 1, "reset_seconds": 1}]]}
    routes.route().respond(json=good | change)
    with pytest.raises(StoreError, match="answered 200; "):
        await store.reserve("t", [(TAKE,)], 5)


@pytest.mark.parametrize("fault", [httpx.ReadError("lost"), httpx.ReadTimeout("late"), httpx.ConnectError("refused")])
async def test_a_reservation_is_never_repeated(fault: Exception, routes: respx.MockRouter, store: HTTPStore) -> None:
    """Nobody knows whether it was made, and a second one would take twice."""
    route = routes.post(f"{BASE}/limits/reserve")
    route.side_effect = fault
    with pytest.raises(StoreError):
        await store.reserve("t", [(TAKE,)], 5)

    assert 1 == route.call_count


async def test_what_no_store_takes_is_not_sent(routes: respx.MockRouter, store: HTTPStore) -> None:
    """A ticket, a take, a lease or a number of takes that is not valid is the caller's own error."""
    wrong = Take("", 10, 60, 1)
    for call in (
        store.reserve("", [(TAKE,)], 5),
        store.reserve("t", [(wrong,)], 5),
        store.reserve("t", [()] * 4097, 5),
        store.settle([Settlement("t", (wrong,))]),
        store.renew([Settlement("t", (TAKE,))], 0),
    ):
        with pytest.raises(ValueError, match=r"^(ticket|name|choices:|lease_seconds) must|^choices: "):
            await call

    assert 0 == len(routes.calls)


@settings(deadline=None, max_examples=30 * PROOF)
@given(steps=STEPS)
def test_limits_agree_with_the_ledger(steps: list[Step]) -> None:
    """After any reservations, settlements, renewals and pauses each answer is the one of the ledger, through the layout
    in both directions.
    """

    async def compare() -> None:
        clock = Clock()
        transport = httpx.ASGITransport(storage_api(MemoryStore(clock=clock), api_key=KEY))
        async with httpx.AsyncClient(transport=transport) as client:
            store = HTTPStore(addr="http://storage", api_key=KEY, client=client, timeout_seconds=20)
            await Comparison(store, clock).run(steps)

    asyncio.run(compare())


async def test_no_key_is_no_header(routes: respx.MockRouter) -> None:
    """Where no api_key is set, no credentials are sent."""
    route = routes.get(f"{BASE}/health").respond(json={})
    await HTTPStore(addr=BASE).ping()

    assert "authorization" not in route.calls[0].request.headers


HTML = "<html>Sign in to the network</html>"
ODD: dict[str, dict[str, object]] = {
    "200 with HTML": {"html": HTML},
    "200 without a content type": {"content": b'{"value": 1, "ttl_seconds": 1}'},
    "200 with JSON as text": {"text": '{"value": 1, "ttl_seconds": 1}'},
    "200 with HTML as JSON": {"content": HTML, "headers": JSON},
    "200 without content": {"content": b"", "headers": JSON},
    "200 with JSON cut short": {"content": b'{"value": 1, "ttl_seco', "headers": JSON},
    "200 with a doubled name": {"content": b'{"value": 1, "value": 1, "ttl_seconds": 1}', "headers": JSON},
    "200 with a list": {"json": [1]},
    "200 with an error": {"json": {"error": "boom", "value": 1, "ttl_seconds": 1}},
    "200 packed": {"json": {"value": 1, "ttl_seconds": 1}, "headers": {"content-encoding": "compress"}},
    "201": {"status_code": 201, "json": {"value": 1, "ttl_seconds": 1}},
    "204": {"status_code": 204},
    "206": {"status_code": 206, "json": {"value": 1, "ttl_seconds": 1}},
    "301": {"status_code": 301, "headers": {"location": "https://evil.example/storage"}},
    "304": {"status_code": 304},
    "307": {"status_code": 307, "headers": {"location": "https://evil.example/storage"}},
    "401": {"status_code": 401, "json": {"error": "unauthorized"}},
    "403": {"status_code": 403, "html": HTML},
    "404 with HTML": {"status_code": 404, "html": HTML},
    "404 with another JSON": {"status_code": 404, "json": {"value": None, "detail": "Not Found"}},
    "413": {"status_code": 413, "html": HTML},
    "422": {"status_code": 422, "json": {"error": "value: must be a finite number"}},
    "429": {"status_code": 429, "headers": {"retry-after": "1"}},
    "500": {"status_code": 500, "text": "boom"},
    "503": {"status_code": 503, "json": {"error": "the store failed"}},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_an_odd_answer_is_a_fault_whatever_was_asked(
    odd: dict[str, object], routes: respx.MockRouter, store: HTTPStore
) -> None:
    """Every operation raises StoreError that says what was tried of whom and what was answered; nothing is asked of
    another server, and no second time.
    """
    routes.route(host="api.example.com").respond(**odd)  # type: ignore[arg-type]
    elsewhere = routes.route(host="evil.example").respond(json={"value": 1, "ttl_seconds": 1})
    for name, operation in OPERATIONS.items():
        before = len(routes.calls)
        with pytest.raises(StoreError) as caught:
            await operation(store)
        told = str(caught.value)
        assert re.match(r"(GET|PUT|POST|DELETE) /\w+ at api\.example\.com: answered \d{3}; \w+", told), told
        assert not re.search(r"key1|openai|boom|Sign in", told)
        # A response that is too long is deleted instead.
        assert before + 1 + (name == "set_cache" and "413" in told) == len(routes.calls)

    assert not elsewhere.called


WRONG_VALUES: dict[str, dict[str, object]] = {
    "none": {},
    "null": {"value": None, "ttl_seconds": 1},
    "a list": {"value": [], "ttl_seconds": 1},
    "a boolean": {"value": True, "ttl_seconds": 1},
    "no time to live": {"value": "a"},
    "a time to live as text": {"value": "a", "ttl_seconds": "1"},
    "an unknown encoding": {"value": "a", "encoding": "rot13", "ttl_seconds": 1},
    "no base64": {"value": "a", "encoding": "base64", "ttl_seconds": 1},
}


@pytest.mark.parametrize("document", WRONG_VALUES.values(), ids=WRONG_VALUES)
async def test_an_answer_of_the_wrong_shape_is_a_fault(
    document: dict[str, object], routes: respx.MockRouter, store: HTTPStore
) -> None:
    """JSON that holds no value of the kind that was asked for is not data."""
    routes.route().respond(json=document)
    for operation in ("get_usage", "get_usage_in_window", "get_total", "get_cache"):
        with pytest.raises(StoreError, match="answered 200; "):
            await OPERATIONS[operation](store)


async def test_nothing_stored_is_a_miss(routes: respx.MockRouter, store: HTTPStore) -> None:
    """Only the storage API's own 404 says so."""
    routes.get(RESPONSE).respond(404, json={"value": None})

    assert await store.get_cache("key") is None


async def test_the_time_left_is_told_and_never_too_long(routes: respx.MockRouter, store: HTTPStore) -> None:
    """The time that the exchange took has passed for the response as well; 0 where the server cannot tell."""
    routes.get(RESPONSE).respond(json={"value": "a", "encoding": "utf-8", "ttl_seconds": 10})
    found = await store.get_cache_with_ttl("key")
    routes.get(RESPONSE).respond(json={"value": "a", "encoding": "utf-8", "ttl_seconds": 0})

    assert found is not None
    assert b"a" == found[0]
    assert 9 < found[1] < 10
    assert (b"a", 0.0) == await store.get_cache_with_ttl("key")


async def test_what_is_too_long_for_the_server_is_forgotten(routes: respx.MockRouter, store: HTTPStore) -> None:
    """A 413, be it a proxy's, is no fault: the response is not stored, and the older one goes."""
    routes.put(RESPONSE).respond(413, html=HTML)
    delete = routes.delete(RESPONSE).respond(json={})
    await store.set_cache("key", b"value", 10)

    assert 1 == delete.call_count


async def test_what_is_too_long_to_be_read_again_is_not_sent(routes: respx.MockRouter) -> None:
    """Beyond max_body_bytes the older response goes, and nothing else happens; up to it, the answer can be read."""
    store = HTTPStore(addr=BASE, max_body_bytes=100)
    put = routes.put(RESPONSE).respond(json={})
    delete = routes.delete(RESPONSE).respond(json={})
    await store.set_cache("key", b"x" * 100, 10)
    assert (0, 1) == (put.call_count, delete.call_count)
    await store.set_cache("key", b"x" * 50, 10)
    assert (1, 1) == (put.call_count, delete.call_count)
    routes.get(RESPONSE).respond(content=put.calls[0].request.content, headers=JSON)

    assert b"x" * 50 == await store.get_cache("key")


async def test_an_increment_whose_answer_is_lost_is_sent_once_more(routes: respx.MockRouter, store: HTTPStore) -> None:
    """The second time under the same number, so that it counts once; the next has the next number."""
    route = routes.post(f"{COUNTER}/increment")
    route.side_effect = [httpx.RemoteProtocolError("lost"), httpx.Response(200, json={}), httpx.Response(200, json={})]
    await store.increment_usage(*REQ, 1)
    await store.increment_usage(*REQ, 2)
    first, again, second = (json.loads(call.request.content) for call in route.calls)

    assert first == again
    assert {"delta": 1, "writer": first["writer"], "sequence": 1} == first
    assert {"delta": 2, "writer": first["writer"], "sequence": 2} == second


@pytest.mark.parametrize(
    ("fault", "times"), [(httpx.ReadError("lost"), 2), (httpx.ReadTimeout("late"), 1), (httpx.PoolTimeout("full"), 1)]
)
async def test_an_increment_is_repeated_once_at_most(
    fault: Exception, times: int, routes: respx.MockRouter, store: HTTPStore
) -> None:
    """And not at all when the time is up; then the caller learns that nobody knows."""
    route = routes.post(f"{COUNTER}/increment")
    route.side_effect = fault
    with pytest.raises(StoreError) as caught:
        await store.increment_usage(*REQ, 1)

    assert fault is caught.value.__cause__
    assert times == route.call_count


async def test_a_batch_is_never_repeated_from_here(routes: respx.MockRouter, store: HTTPStore) -> None:
    """The caller knows its number and sends it again."""
    route = routes.post(f"{BASE}/batch")
    route.side_effect = httpx.ReadError("lost")
    with pytest.raises(StoreError):
        await store.apply("writer", 1, [Increment(*REQ, 1)])

    assert 1 == route.call_count


@pytest.mark.parametrize(("writer", "sequence"), [("", 1), ("w" * 600, 1), ("\ud800", 1), ("w", 0)])
async def test_a_batch_without_a_proper_number_is_refused(writer: str, sequence: int, store: HTTPStore) -> None:
    """Nothing is sent that the server could not keep apart."""
    with pytest.raises(ValueError, match=r"^(writer|sequence): "):
        await store.apply(writer, sequence, [])


async def test_increments_at_the_same_time_have_writers_of_their_own(
    routes: respx.MockRouter, store: HTTPStore
) -> None:
    """One may overtake another, so they share no sequence; afterwards the writers are used again."""
    route = routes.post(f"{COUNTER}/increment").respond(json={})
    for _ in range(2):
        await asyncio.gather(*(store.increment_usage(*REQ, 1) for _ in range(5)))
    numbers = [
        (each["writer"], each["sequence"]) for call in route.calls for each in [json.loads(call.request.content)]
    ]

    assert 10 == len(set(numbers))
    assert [1, 2] * 5 == [sequence for _, sequence in sorted(numbers)]


async def test_settings_make_the_store(routes: respx.MockRouter) -> None:
    """The storage guide's section is all that is needed."""
    route = routes.get(f"{BASE}/health").respond(json={})
    store = open_store(StoreSettings(type="http", addr=BASE, api_key=KEY))
    async with store:
        await store.ping()

    assert isinstance(store, HTTPStore)
    assert f"Bearer {KEY}" == route.calls[0].request.headers["authorization"]


class Machine(StoreMachine):
    """Any sequence of calls agrees with the model, through the layout in both directions."""

    async def make(self, clock: Clock) -> RuntimeStore:
        app = storage_api(MemoryStore(usage_ttl_seconds=TTL, clock=clock), api_key=KEY)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
        return HTTPStore(addr="http://storage", api_key=KEY, client=client, timeout_seconds=20)


TestMachine = Machine.TestCase
TestMachine.settings = settings(deadline=None, max_examples=8 * PROOF, stateful_step_count=20)


async def test_a_child_process_has_writers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fork no number of the parent's is used again, or the server would take it for a repeat."""
    store = HTTPStore(addr="http://127.0.0.1:1", api_key="k" * 16)
    parents = store._borrow_writer()
    store._writers.append(parents)
    monkeypatch.setattr("coo_middleware.stores.http.os.getpid", lambda: -1)
    child = store._borrow_writer()
    store._writers.append(child)

    assert parents.name != child.name
    assert child is store._borrow_writer()
