"""Pass a request on to an upstream, and the upstream's bytes back as they come."""

import json
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass

import anyio
import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from coo_middleware import CooContext
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.providers import ProviderKey
from example_app.providers import ERROR_SHAPES, find_url, make_credential

TIMEOUT = httpx.Timeout(connect=5, read=600, write=60, pool=5)
LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)

Headers = Iterable[tuple[bytes, bytes]]

# RFC 9110 section 7.6.1, and the older names that it lists.
_HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
# The HTTP client writes these three itself; the answer is asked for as it is to be passed on.
_REWRITTEN = {b"host", b"content-length", b"accept-encoding", b"expect"}
_CALLER = {b"authorization", b"x-api-key", b"api-key", b"openai-organization", b"openai-project"}
# The server that runs the proxy writes its own.
_SERVER = {b"date", b"server"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one call of an upstream: the answer for the client, and the `error` where the proxy made it up."""

    answer: Response
    error: Exception | None = None

    @property
    def is_worth_another(self) -> bool:
        """Another key may do better, and nothing has been sent to the client yet."""
        return _is_failure(self.answer.status_code)


async def relay(request: Request, client: httpx.AsyncClient, name: str, coo: CooContext) -> Response:
    """The upstream's answer to `request`, streamed, with the first of the keys for `name` that does not fail before the
    first byte; the last failure as it came where all do. Raises LimitedError where no key may be asked at all.
    """
    failed: Response | None = None
    while True:
        try:
            key = await coo.pick(name)
        except LimitedError:
            if failed is None:
                raise
            return failed
        if (key.type or key.provider) != name:
            continue  # A fallback that speaks otherwise; nothing is translated here. The next pick gives it back.
        tried = await attempt(request, client, name, key)
        if not tried.is_worth_another:
            return tried.answer
        failed = tried.answer
        if tried.error is not None:
            await coo.report(key, error=tried.error)
        else:
            await coo.report(key, status=failed.status_code, retry_after=failed.headers.get("retry-after"))


async def attempt(request: Request, client: httpx.AsyncClient, name: str, target: ProviderKey) -> Attempt:
    """One call of `target`, which speaks as `name` does: its answer, streamed unless it failed; 502 or 504 in the
    provider's error shape where there is none.

    A client that leaves closes the call to the upstream, before its answer has begun as well as afterwards.
    """
    outgoing = client.build_request(
        request.method,
        httpx.URL(find_url(name, target, request.scope["path"]), query=request.scope["query_string"]),
        headers=_outgoing_headers(request, make_credential(name, target)),
        content=_name_model(await request.body(), target.model),
    )
    tried = Attempt(Response(status_code=499))  # Seen by nobody: the client has left.
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_left, request, group.cancel_scope)
        tried = await _try(client, outgoing, name)
        group.cancel_scope.cancel()
    return tried


def refuse(name: str, status: int, message: str) -> JSONResponse:
    """An error of the proxy's own, in the provider's shape."""
    return JSONResponse(ERROR_SHAPES[name](status, message), status)


class _Relayed(StreamingResponse):
    """An upstream's answer; the call is closed when the client has all of it or has left."""

    def __init__(self, upstream: httpx.Response) -> None:
        super().__init__(upstream.aiter_raw(), upstream.status_code)
        self.raw_headers = _end_to_end(upstream.headers.raw, _SERVER)
        self.upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self.upstream.aclose()


async def _try(client: httpx.AsyncClient, outgoing: httpx.Request, name: str) -> Attempt:
    try:
        return Attempt(await _answer(await client.send(outgoing, stream=True)))
    except httpx.TimeoutException as error:
        message = f"The upstream did not answer in time ({type(error).__name__})."
        return Attempt(refuse(name, 504, message), error)
    except httpx.RequestError as error:
        return Attempt(refuse(name, 502, f"The upstream could not be reached ({type(error).__name__})."), error)


async def _answer(upstream: httpx.Response) -> Response:
    if not _is_failure(upstream.status_code):
        return _Relayed(upstream)
    # What may be thrown away for another key's answer holds no connection.
    async with aclosing(upstream):
        answer = Response(b"".join([part async for part in upstream.aiter_raw()]), upstream.status_code)
    answer.raw_headers = _end_to_end(upstream.headers.raw, _SERVER)
    return answer


def _is_failure(status: int) -> bool:
    return status in {408, 429} or status >= 500


async def _cancel_when_left(request: Request, call: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    call.cancel()


def _outgoing_headers(request: Request, credential: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    dropped = _REWRITTEN | _CALLER if credential else _REWRITTEN
    headers = _end_to_end(request.headers.raw, dropped)
    return [*headers, (b"accept-encoding", b"identity"), *credential]


def _name_model(content: bytes, model: str) -> bytes:
    """The request as it came, or asking for the model that the provider is configured with."""
    if not model:
        return content
    try:
        document = json.loads(content)
    except ValueError:
        return content
    return json.dumps({**document, "model": model}).encode() if isinstance(document, dict) else content


def _end_to_end(headers: Headers, dropped: set[bytes]) -> list[tuple[bytes, bytes]]:
    lowered = [(name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for name, value in lowered if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in _HOP_BY_HOP | named | dropped]
