"""storage_api/openapi.py: the description is the API's."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import ASGIApp

from coo_middleware.storage_api import storage_api
from coo_middleware.storage_api.openapi import DESCRIPTION
from coo_middleware.storage_api.routes import ROUTES
from coo_middleware.stores import StoreError
from coo_middleware.stores.memory import MemoryStore
from tests.storage_server import KEY, ask

# As anybody reads it.
READ: dict[str, Any] = json.loads(json.dumps(DESCRIPTION))
OPERATIONS = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, item in READ["paths"].items()
    for method in item
    if method != "parameters"
]
SETTLEMENT: dict[str, object] = {
    "ticket": "t",
    "takes": [{"name": "n", "limit": 1.5, "window_seconds": 60, "amount": 1}],
}
GOOD: dict[str, object] = {
    "Number": {"value": 1.5},
    "Delta": {"delta": 1, "writer": "w", "sequence": 1},
    "Response": {"value": "a", "ttl_seconds": 10, "encoding": "utf-8"},
    "Labels": {"labels": ["tag:a"]},
    "Counters": {"counters": [{"provider": "p", "key_id": "k", "metric": "m"}], "seconds": 60},
    "Lease": {"lease_seconds": 5},
    "Reservation": {"ticket": "t", "lease_seconds": 5, "choices": [SETTLEMENT["takes"]]},
    "Settlements": {"settlements": [SETTLEMENT]},
    "Renewal": {"settlements": [SETTLEMENT], "lease_seconds": 5},
    "Batch": {
        "writer": "w",
        "sequence": 1,
        "increments": [{"provider": "p", "key_id": "k", "metric": "m", "delta": 1, "samples": 2, "age": 3}],
    },
}


def nodes(node: object) -> Iterator[dict[str, Any]]:
    """Every object in the description."""
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from nodes(child)


def follow(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    found: Any = READ if "$ref" in node else node
    for name in node.get("$ref", "#/").removeprefix("#/").split("/"):
        found = found[name] if "$ref" in node else found
    result: dict[str, Any] = found
    return result


def schema_of(content: dict[str, Any]) -> dict[str, Any]:
    return follow(content["content"]["application/json"]["schema"])


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Whether a value is of a schema, as far as this description's vocabulary goes."""
    schema = follow(schema)
    if "const" in schema:
        return bool(value == schema["const"])
    kinds = {"object": dict, "array": list, "string": str, "number": int | float, "integer": int, "null": type(None)}
    if not isinstance(value, kinds[schema["type"]]):
        return False
    if isinstance(value, dict):
        members = schema.get("properties", {})
        return set(schema.get("required", ())) <= set(value) and all(
            fits(value[name], members[name]) for name in set(members) & set(value)
        )
    return not isinstance(value, list) or all(fits(each, schema["items"]) for each in value)


@pytest.fixture
def app() -> ASGIApp:
    return storage_api(MemoryStore(), api_key=KEY, max_request_bytes=2000)


async def test_it_is_served(app: ASGIApp) -> None:
    """To those who have the token, like all else."""
    answer = await ask(app, "GET", "/openapi.json")

    assert (200, READ) == (answer.status, answer.document)
    assert "3.1.0" == READ["openapi"]


def test_it_describes_every_route_and_no_other() -> None:
    """Paths and methods are those that the app answers."""
    described = {path: {each for each in item if each != "parameters"} for path, item in READ["paths"].items()}

    assert {path: {method.lower() for method in methods} for path, methods in ROUTES.items()} == described


def test_every_path_s_names_are_parameters() -> None:
    """Each name in a path is described, and nothing else is said to be in it."""
    for path, item in READ["paths"].items():
        names = [each["name"] for each in item.get("parameters", []) if each["in"] == "path"]
        assert re.findall(r"\{(\w+)\}", path) == names


def test_every_reference_leads_somewhere_and_everything_is_used() -> None:
    """No schema or response is missing, and none is left over."""
    references = {node["$ref"] for node in nodes(READ) if "$ref" in node}
    components = {
        f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in READ["components"][kind]
    }

    assert components == references


def test_every_operation_asks_for_the_token() -> None:
    """The security requirement holds for the whole API and names a bearer token."""
    assert [{"token": []}] == READ["security"]
    assert {"type": "http", "scheme": "bearer"} == READ["components"]["securitySchemes"]["token"]


def call_of(path: str, method: str) -> tuple[str, str, object]:
    """A valid request of an operation."""
    operation = READ["paths"][path][method]
    url = re.sub(r"\{\w+\}", "1", path) + ("?seconds=60" if path.endswith("/window") else "")
    request = operation.get("requestBody")
    name = request["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2] if request else ""
    return method.upper(), url, GOOD[name] if name else b""


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_answers_are_as_described(path: str, method: str, app: ASGIApp) -> None:
    """Good answers and each kind of refusal have the status and the shape that the operation names."""
    await ask(app, "PUT", "/cache/1", GOOD["Response"])
    answers = READ["paths"][path][method]["responses"]
    verb, url, body = call_of(path, method)
    long = b" " * 2001
    seen = {}
    for headers, content in (([], body), (None, body), (None, long)):
        answer = await ask(app, verb, url, content, **({} if headers is None else {"headers": headers}))
        seen[str(answer.status)] = answer.document
    broken = storage_api(Broken(), api_key=KEY)
    seen["503"] = (await ask(broken, verb, url, body)).document
    if "404" in answers:
        seen["404"] = (await ask(app, verb, "/cache/missing")).document
    if "{" in path:
        seen["422"] = (await ask(app, verb, url.replace("/1", "/%ff"), body)).document

    assert set(seen) >= {"200", "401", "413", "503"}
    assert set(seen) <= set(answers)
    assert [] == [status for status, document in seen.items() if not fits(document, schema_of(follow(answers[status])))]


class Broken(MemoryStore):
    """A store that is never there."""

    async def open(self) -> None:
        raise StoreError("gone")


@pytest.mark.parametrize(
    ("path", "method"), [each for each in OPERATIONS if "requestBody" in READ["paths"][each.values[0]][each.values[1]]]
)
async def test_what_is_required_is_required(path: str, method: str, app: ASGIApp) -> None:
    """A request without a member that the schema requires is refused, one without any other is taken, and every
    described member is known.
    """
    verb, url, body = call_of(path, method)
    schema = schema_of(READ["paths"][path][method]["requestBody"])
    assert isinstance(body, dict)
    assert set(schema["properties"]) == set(body)
    dependent = {name for names in schema.get("dependentRequired", {}).values() for name in names}
    refused = {name for name in body if (await ask(app, verb, url, without(body, name))).status == 422}

    assert set(schema["required"]) | dependent == refused


def without(document: dict[str, object], name: str) -> dict[str, object]:
    return {member: value for member, value in document.items() if member != name}


async def test_an_increment_of_a_batch_requires_what_it_says(app: ASGIApp) -> None:
    """The same for the parts of a batch."""
    schema = READ["components"]["schemas"]["Batch"]["properties"]["increments"]["items"]
    part = {"provider": "p", "key_id": "k", "metric": "m", "delta": 1, "samples": 2, "age": 3}
    refused = set()
    for name in part:
        batch = {"writer": "w", "sequence": 1, "increments": [without(part, name)]}
        if (await ask(app, "POST", "/batch", batch)).status == 422:
            refused.add(name)

    assert set(schema["properties"]) == set(part)
    assert set(schema["required"]) == refused
