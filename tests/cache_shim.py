"""A GET↔POST shim round the middleware, for suites that test HTTP caches: they send GET, which we do not store.

`unwrap` makes a chat request of each GET and gives the text of the answer back; `wrap`, behind the middleware, does the
reverse. What the suite's origin says of its own count goes inside the text, for a reused answer repeats few fields. The
shim says what each answer's lifetime is where our cache looks for it, in Coo-Cache-Control, and judges nothing.

`python -m tests.cache_shim ORIGIN [PORT]` serves it in front of the suite's own server.
"""

from __future__ import annotations

import json
import sys
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import httpx
import uvicorn

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, CHAT, JSON_FIELD, Client, ask, content, read_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tests.asgi import Fields

# What the operator says here: silent answers live for an hour, and the fields that the suite varies are in the key.
_CACHE: Final[dict[str, object]] = {"ttl_seconds": 3600, "key_headers": ["foo", "bar", "baz"]}
SILENT: Final = {"policy": {"cache": _CACHE}}
# And that a stale answer stands in for a failure, where the answer does not speak of that.
WORLD: Final = {"policy": {"cache": {**_CACHE, "stale_if_error_seconds": 60}}}
# What the suite's origin tells its client about itself.
TOLD: Final = frozenset({b"server-request-count", b"client-request-count", b"server-now", b"request-numbers"})
_CONTENT: Final = frozenset({b"content-type", b"content-length"})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


def unwrap(app: ASGIApp) -> ASGIApp:
    """An app in which each GET below /test/ is a chat request to `app`, answered with the text of its answer."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith("/test/"):
            await app(scope, receive, send)
            return
        inner = Client(*content(ask(scope["path"])))
        chat = {"method": "POST", "path": CHAT, "raw_path": CHAT.encode()}
        fields = [JSON_FIELD, *_without(scope["headers"], _CONTENT)]
        await app({**scope, **chat, "headers": fields}, inner.receive, inner.send)
        text, told = _read_text(inner.body)
        await _answer(send, inner.status, [*_without(inner.messages[0]["headers"], TOLD | _CONTENT), *told], text)

    return serve


def wrap(origin: ASGIApp) -> ASGIApp:
    """An app that answers a chat request with what `origin` answers to a GET of the path in the prompt."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != CHAT:
            await origin(scope, receive, send)
            return
        path = json.loads(await read_all(receive))["messages"][0]["content"]
        inner = Client(*content(b""))
        fields = _without(scope["headers"], _CONTENT)
        await origin(
            {**scope, "method": "GET", "path": path, "raw_path": path.encode(), "headers": fields},
            inner.receive,
            inner.send,
        )
        headers = inner.messages[0]["headers"]
        told = {name.decode(): value.decode() for name, value in headers if name in TOLD}
        answer = json.loads(ANSWER)
        answer["choices"][0]["message"]["content"] = json.dumps({"text": inner.body.decode(), "told": told})
        sent = [*_without(headers, _CONTENT), *tell_lifetime(headers), JSON_FIELD]
        await _answer(send, inner.status, sent, json.dumps(answer).encode())

    return serve


def tell_lifetime(headers: Fields) -> Fields:
    """The field that tells our cache what others are told by Surrogate-Control, by Cache-Control with a max-age, or by
    Expires; none where an answer says nothing of its lifetime.
    """
    control = _find(headers, b"cache-control")
    told = _find(headers, b"surrogate-control")
    if not told and b"max-age" in control.lower():
        told = control
    elif not told and (lifetime := _find_expiry(headers)) is not None:
        told = b", ".join(filter(None, [b"max-age=%d" % lifetime, control]))
    return [(b"coo-cache-control", told)] if told else []


def _find_expiry(headers: Fields) -> int | None:
    expires, date = _read_date(_find(headers, b"expires")), _read_date(_find(headers, b"date"))
    if expires is None:
        return None
    return max(0, round(expires - (time.time() if date is None else date)))


def _read_date(value: bytes) -> float | None:
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp()
    except ValueError:
        return None


def _read_text(body: bytes) -> tuple[bytes, Fields]:
    """The text inside an answer and the fields beside it; an answer of another kind is its own text."""
    try:
        parcel = json.loads(json.loads(body)["choices"][0]["message"]["content"])
    except (ValueError, KeyError):
        return body, []
    return parcel["text"].encode(), [(name.encode(), value.encode()) for name, value in parcel["told"].items()]


async def _answer(send: Send, status: int, headers: Fields, body: bytes) -> None:
    body = b"" if status in {204, 304} else body
    length = [] if status in {204, 304} else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


def _without(headers: Fields, names: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    return [field for field in headers if field[0].lower() not in names]


def _find(headers: Fields, name: bytes) -> bytes:
    return b", ".join(value for field, value in headers if field.lower() == name)


def forward(base: str) -> ASGIApp:
    """An app that passes each request on to the server at `base`."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        url = httpx.URL(base).copy_with(raw_path=scope["raw_path"] + b"?" + scope["query_string"])
        fields = [(name, value.strip()) for name, value in _without(scope["headers"], _FRAMING | {b"host"})]
        body = await read_all(receive)
        async with httpx.AsyncClient() as client:
            answer = await client.request(scope["method"], url, headers=fields, content=body or None)
        headers = [(name.lower(), value) for name, value in answer.headers.raw]
        await _answer(send, answer.status_code, _without(headers, _FRAMING), answer.content)

    return serve


if __name__ == "__main__":
    shim = unwrap(COOMiddleware(wrap(forward(sys.argv[1])), WORLD))
    uvicorn.run(shim, port=int((sys.argv[2:] or ["8001"])[0]), date_header=False, server_header=False, lifespan="off")
