"""admin/entries.py: `GET /entries`."""

from __future__ import annotations

from base64 import b64encode
from time import time
from typing import Any

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.admin import create_admin, entries
from coo_middleware.stores import RuntimeStore
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import READ, look, see
from tests.asgi import ANSWER, CHAT, JSON_FIELD, Script, answer, ask, call, make_scope

CANARY = "canary-prompt"
LONG = ANSWER.replace(b"Hello", b"Hello " * 1000)
KEYS = [b64encode(bytes(range(32))).decode(), b64encode(bytes(range(1, 33))).decode()]


async def keep(store: RuntimeStore, body: bytes = ANSWER, **runtime: object) -> dict[str, Any]:
    """A response that lies in the store, and the configuration that put it there."""
    config: dict[str, Any] = {"storage": {"runtime": runtime}, "policy": {"cache": {"ttl_seconds": 60}}}
    middleware = COOMiddleware(Script(*answer(body)), config, store=store)
    scope = make_scope(CHAT, (JSON_FIELD, (b"authorization", b"Bearer sk-canary"), (b"x-coo-tags", b"docs")))
    await call(middleware, ask(CANARY), scope)
    await middleware.drain()
    return config


async def list_all(store: RuntimeStore, config: dict[str, Any]) -> Any:
    """The first page."""
    return await see(create_admin(config, store=store, read_token=READ), "/entries")


async def test_what_is_known_of_a_response_is_told() -> None:
    """All but its content and its caller."""
    store = MemoryStore()
    document = await list_all(store, await keep(store))
    [entry] = document["entries"]
    expected = {
        "status": "fresh",
        "model": "gpt-5-mini",
        "provider": "openai",
        "format": "chat",
        "ttl": 60.0,
        "age": 0,
        "is_stream": False,
        "tags": ["docs"],
        "namespace": "",
    }

    assert expected == {name: entry[name] for name in expected}
    assert ("1", 65, 12) == (entry["key"][0], len(entry["key"]), len(entry["caller"]))
    assert "" == document["cursor"]
    assert 0 < entry["size"] < 1000
    assert not {"canary", "Hello"} & set(str(document).replace("-", " ").split())


async def test_one_is_found_by_its_key() -> None:
    """With the same members; the size of a long one is known then."""
    store = MemoryStore()
    admin = create_admin(await keep(store, LONG), store=store, read_token=READ)
    [listed] = (await see(admin, "/entries"))["entries"]
    alone = await see(admin, f"/entries/{listed['key']}")

    assert (None, True) == (listed["size"], alone["size"] > 6000)
    assert listed | {"size": alone["size"], "age": alone["age"]} == alone


@pytest.mark.parametrize("runtime", [{"compress": "zstd"}, {"encryption_keys": KEYS[:1]}])
async def test_what_lies_otherwise_is_opened(runtime: dict[str, object]) -> None:
    """Compressed and encrypted ones are told too, and the latter are found by their cache key as well."""
    store = MemoryStore()
    config = await keep(store, LONG, **runtime)
    [entry] = (await list_all(store, config))["entries"]
    plain = MemoryStore()
    await keep(plain, LONG)
    [key] = [each["key"] for each in (await list_all(plain, {}))["entries"]]
    admin = create_admin(config, store=store, read_token=READ)

    assert ("fresh", "gpt-5-mini", ["docs"]) == (entry["status"], entry["model"], entry["tags"])
    assert entry["key"] == (await see(admin, f"/entries/{entry['key']}"))["key"]
    assert entry["key"] == (await see(admin, f"/entries/{key}"))["key"]


async def test_what_cannot_be_read_is_unreadable() -> None:
    """Without its key, nothing of it is known but that it is there."""
    store = MemoryStore()
    await keep(store, encryption_keys=KEYS[:1])
    [entry] = (await list_all(store, {"storage": {"runtime": {"encryption_keys": KEYS[1:]}}}))["entries"]

    assert ("unreadable", None, None) == (entry["status"], entry["model"], entry["tags"])
    assert entry["size"] > 0


async def test_what_was_purged_says_so() -> None:
    """It lies there until it expires, and is never reused."""
    store = MemoryStore()
    config = await keep(store)
    await store.purge(["tag:docs"])

    assert ["purged"] == [each["status"] for each in (await list_all(store, config))["entries"]]


@pytest.mark.parametrize(("grace", "status"), [(30, "stale"), (0, "expired")])
async def test_a_lifetime_ends(grace: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past it an entry is stale for as long as it may still be of use."""
    store = MemoryStore()
    config = {"policy": {"cache": {"ttl_seconds": 60, "stale_if_error_seconds": grace}}}
    middleware = COOMiddleware(Script(*answer(ANSWER)), config, store=store)
    await call(middleware)
    await middleware.drain()
    then = time()
    monkeypatch.setattr(entries, "time", lambda: then + 70)

    assert [status] == [each["status"] for each in (await list_all(store, {}))["entries"]]


async def test_no_more_than_so_many_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of sealed ones is not read whole."""
    monkeypatch.setattr(entries, "MOST_OPENED", 0)
    store = MemoryStore()
    config = await keep(store, encryption_keys=KEYS[:1])

    assert ["unreadable"] == [each["status"] for each in (await list_all(store, config))["entries"]]


async def test_pages_follow_each_other() -> None:
    """Until the cursor is empty."""
    store = MemoryStore()
    for number in range(1001):
        await store.set_cache(f"{number:04}", b"canary", 60)
    admin = create_admin(store=store, read_token=READ)
    first = await see(admin, "/entries")
    second = await see(admin, f"/entries?cursor={first['cursor']}")

    assert ([1000, 1], "") == ([len(each["entries"]) for each in (first, second)], second["cursor"])


class Six(MemoryStore):
    """Keeps its purges beside the responses, as a store of six methods does."""

    get_purges = RuntimeStore.get_purges
    purge = RuntimeStore.purge


async def test_what_the_store_keeps_for_itself_is_no_entry() -> None:
    """Neither in the list nor by name nor in the count."""
    store = Six()
    await store.purge(["all"])
    admin = create_admin(store=store, read_token=READ)

    assert [] == (await see(admin, "/entries"))["entries"]
    assert 404 == (await look(admin, "/entries/coo:purges")).status
    assert {"count": 0, "is_complete": True} == (await see(admin, "/cache"))["entries"]


class Unlisted(MemoryStore):
    """Cannot list."""

    list_cache = RuntimeStore.list_cache  # type: ignore[assignment]


async def test_a_store_that_cannot_list_says_so() -> None:
    """501, and no count."""
    admin = create_admin(store=Unlisted(), read_token=READ)

    assert 501 == (await look(admin, "/entries")).status
    assert (await see(admin, "/cache"))["entries"] is None


async def test_no_more_than_so_many_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is told that there are more."""
    monkeypatch.setattr(entries, "MOST_COUNTED", 1000)
    store = MemoryStore()
    for number in range(1500):
        await store.set_cache(f"{number:04}", b"canary", 60)

    told = (await see(create_admin(store=store, read_token=READ), "/cache"))["entries"]
    assert {"count": 1000, "is_complete": False} == told


@pytest.mark.parametrize(
    ("path", "status"), [("/entries/1abc", 404), ("/entries/" + "a" * 3000, 422), ("/entries/", 404)]
)
async def test_what_is_not_there_is_told(path: str, status: int) -> None:
    """As is what can be no key."""
    assert status == (await look(create_admin(store=MemoryStore(), read_token=READ), path)).status
