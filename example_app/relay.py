"""Pass a request on to an upstream, and the upstream's bytes back as they come."""

from collections.abc import Iterable

import anyio
import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from example_app.providers import ERROR_SHAPES, Provider

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


async def relay(request: Request, client: httpx.AsyncClient, provider: Provider) -> Response:
    """The upstream's answer to `request`, streamed; 502 or 504 in the provider's error shape where there is none.

    A client that leaves closes the call to the upstream, before its answer has begun as well as afterwards.
    """
    outgoing = client.build_request(
        request.method,
        httpx.URL(provider.url(request.scope["path"]), query=request.scope["query_string"]),
        headers=_outgoing_headers(request, provider),
        content=await request.body(),
    )
    answer: Response = Response(status_code=499)  # Seen by nobody: the client has left.
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_left, request, group.cancel_scope)
        answer = await _answer(client, outgoing, provider)
        group.cancel_scope.cancel()
    return answer


def refuse(provider: str, status: int, message: str) -> JSONResponse:
    """An error of the proxy's own, in the provider's shape."""
    return JSONResponse(ERROR_SHAPES[provider](status, message), status)


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


async def _answer(client: httpx.AsyncClient, outgoing: httpx.Request, provider: Provider) -> Response:
    try:
        return _Relayed(await client.send(outgoing, stream=True))
    except httpx.TimeoutException as error:
        return refuse(provider.name, 504, f"The upstream did not answer in time ({type(error).__name__}).")
    except httpx.RequestError as error:
        return refuse(provider.name, 502, f"The upstream could not be reached ({type(error).__name__}).")


async def _cancel_when_left(request: Request, call: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    call.cancel()


def _outgoing_headers(request: Request, provider: Provider) -> list[tuple[bytes, bytes]]:
    dropped = _REWRITTEN | _CALLER if provider.key else _REWRITTEN
    headers = _end_to_end(request.headers.raw, dropped)
    return [*headers, (b"accept-encoding", b"identity"), *provider.credential]


def _end_to_end(headers: Headers, dropped: set[bytes]) -> list[tuple[bytes, bytes]]:
    lowered = [(name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for name, value in lowered if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in _HOP_BY_HOP | named | dropped]
