"""admin/openapi.py: the description is the API's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.admin import create_admin
from coo_middleware.admin.openapi import describe
from coo_middleware.admin.routes import ROUTES
from coo_middleware.stores import StoreError
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.stores.sqlite import SqliteStore
from tests.admin_room import READ, RECORDS, WRITE, bearer, fill, look
from tests.asgi import ANSWER, Script, answer, call, make_scope
from tests.storage_server import ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

    from coo_middleware.stores import RuntimeStore

READ_BACK: dict[str, Any] = describe(ROUTES)
BODIES: dict[str, object] = {"/purge": {"labels": ["all"]}, "/explain": {"a": {"body": {"model": "m"}}}}
CONFIG: dict[str, Any] = {
    "policy": {"limits": {"rules": [{"name": "all", "requests": 9}]}},
    "llm_providers": [{"id": "openai", "api_keys": ["sk-1"], "limits": {"req_per_min": 60}}],
}
KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Whether a value is of a schema, with no member that the schema does not name."""
    if "$ref" in schema:
        return fits(value, READ_BACK["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, KINDS[kind]) for kind in kinds):
        return False
    if isinstance(value, dict):
        return fits_members(value, schema)
    return not isinstance(value, list) or all(fits(each, schema["items"]) for each in value)


def fits_members(value: dict[str, object], schema: dict[str, Any]) -> bool:
    if "additionalProperties" in schema:
        return all(fits(each, schema["additionalProperties"]) for each in value.values())
    members = schema.get("properties")
    if members is None:
        return True
    return set(schema["required"]) <= set(value) <= set(members) and all(
        fits(each, members[name]) for name, each in value.items()
    )


def nodes(node: object) -> Iterator[dict[str, Any]]:
    """Every object in the description."""
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from nodes(child)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RuntimeStore]:
    """With traffic, and a response."""
    store: RuntimeStore = MemoryStore() if request.param == "memory" else SqliteStore(path=tmp_path / "coo.db")
    await store.open()
    await fill(store, *RECORDS)
    middleware = COOMiddleware(Script(*answer(ANSWER)), {"policy": {"cache": {"ttl_seconds": 60}}}, store=store)
    await call(middleware)
    await middleware.drain()
    yield store
    await store.close()


def url_of(path: str, key: str) -> str:
    return path.replace("{key}", key)


@pytest.mark.parametrize(("method", "path"), [key for key, route in ROUTES.items() if route.answer])
async def test_answers_are_as_described(method: str, path: str, store: RuntimeStore) -> None:
    """Each route answers in the shape that it names, over a store in memory and one on a disk."""
    admin = create_admin(CONFIG, store=store, read_token=READ, write_token=WRITE)
    listed = (await look(admin, "/entries")).document
    assert isinstance(listed, dict)
    key = listed["entries"][0]["key"]
    got = await ask(admin, method, url_of(path, key), BODIES.get(path, b""), (bearer(WRITE),))
    schema = READ_BACK["components"]["schemas"][ROUTES[method, path].answer]

    assert 200 == got.status, got.document
    assert fits(got.document, schema), got.document


def test_it_describes_every_route_and_no_other() -> None:
    """Paths, methods, the names in paths, and what may be asked."""
    described = {
        (method.upper(), path): {each["name"] for each in operation["parameters"]}
        for path, item in READ_BACK["paths"].items()
        for method, operation in item.items()
    }

    assert {
        (method, path): {*route.parameters, *re.findall(r"\{(\w+)\}", path)} for (method, path), route in ROUTES.items()
    } == described


async def test_it_is_served() -> None:
    """To those who have the token."""
    admin = create_admin(store=MemoryStore(), read_token=READ)

    assert READ_BACK == (await look(admin, "/openapi.json")).document
    assert 401 == (await ask(admin, "GET", "/openapi.json", headers=())).status


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    """None is missing, and none is left over."""
    references = {node["$ref"] for node in nodes(READ_BACK) if "$ref" in node}

    assert {f"#/components/schemas/{name}" for name in READ_BACK["components"]["schemas"]} == references


async def test_only_what_says_so_needs_no_token() -> None:
    """Security is asked for everywhere else."""
    open_ones = {
        path
        for path, item in READ_BACK["paths"].items()
        for operation in item.values()
        if operation.get("security") == []
    }

    assert [{"token": []}] == READ_BACK["security"]
    assert {"/health", "/ready"} == open_ones


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_parameters_that_are_not_described_are_refused(method: str, path: str) -> None:
    """At every route, with 422."""
    admin = create_admin(store=MemoryStore(), write_token=WRITE)
    url = url_of(path, "1a") + "?canary=1"

    assert 422 == (await call(admin, b"{}", make_scope(url, (bearer(WRITE),), method=method))).status


class Broken(MemoryStore):
    """Fails whatever is asked."""

    async def _fail(self, *_: object) -> None:
        raise StoreError("gone")

    list_totals = list_cache = reserve = get_purges = purge = get_cache = _fail  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("method", "path"),
    [key for key in ROUTES if key[1] not in {"/health", "/ready", "/openapi.json", "/explain"}],
)
async def test_a_store_that_is_away_is_told_as_such(method: str, path: str) -> None:
    """503 in words, at every route that needs the store."""
    admin: ASGIApp = create_admin(store=Broken(), write_token=WRITE)
    got = await ask(admin, method, url_of(path, "1a"), BODIES.get(path, b""), (bearer(WRITE),))

    assert (503, {"error": "it failed; see the server's log"}) == (got.status, got.document)
