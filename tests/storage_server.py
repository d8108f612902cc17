"""Storage APIs to test against: one server for many stores, and one request without a server."""

import json
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from tests.asgi import Client, Fields, content, make_scope

KEY = "sk-storage-0123456789"
TOKEN = (b"authorization", b"Bearer " + KEY.encode())


class Relay:
    """Hands each request to the app in `app`, which may change: a server takes a while to stop."""

    def __init__(self) -> None:
        self.app: ASGIApp
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON that came with it."""

    status: int
    document: object
    fields: dict[bytes, bytes]


async def ask(app: ASGIApp, method: str, path: str, body: object = b"", headers: Fields = (TOKEN,)) -> Answer:
    """The app's answer to one request; `path` as it is sent, with its query; a `body` that is not bytes is JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    path, _, query = path.partition("?")
    scope = {**make_scope(path, headers, method=method), "query_string": query.encode("latin-1")}
    client = Client(*content(raw))
    await app(scope, client.receive, client.send)
    return Answer(client.status, json.loads(client.body), client.fields)
