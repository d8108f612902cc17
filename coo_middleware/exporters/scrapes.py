"""What answers scrapers."""

from __future__ import annotations

import asyncio
import gzip
import logging
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from prometheus_client.exposition import gzip_accepted
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response

from coo_middleware.exporters.prometheus import NotListedError
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from coo_middleware.core.exports import PrometheusExport
    from coo_middleware.exporters.prometheus import FleetView, ProcessView

logger = logging.getLogger("coo_middleware")

_NOT_LISTED: Final = "This store cannot list its counters; scrape each process instead.\n"
_FAILED: Final = "The metrics could not be read; see the server's log.\n"


def open_scrapes(settings: PrometheusExport, process: ProcessView, fleet: FleetView) -> ASGIApp:
    """An ASGI app that answers GET and HEAD with metrics: at `fleet_path` the fleet's, else this process's."""
    return _Scrapes(settings, process, fleet)


class _Scrapes:
    def __init__(self, settings: PrometheusExport, process: ProcessView, fleet: FleetView) -> None:
        self._fleet_path: Final = settings.fleet_path
        self._digest: Final = _digest(f"bearer {settings.token}") if settings.token else None
        self._process: Final = process
        self._fleet: Final = fleet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope, Headers(scope=scope))
        answer.headers["cache-control"] = "no-store"
        if scope["method"] == "HEAD":
            answer.body = b""
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, headers: Headers) -> Response:
        if not self._admits(headers.getlist("authorization")):
            return PlainTextResponse("unauthorized\n", 401, {"www-authenticate": "Bearer"})
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("method not allowed\n", 405, {"allow": "GET, HEAD"})
        try:
            return await self._tell(scope["path"], headers)
        except NotListedError:
            return PlainTextResponse(_NOT_LISTED, 501)
        except Exception as error:
            # A StoreError's text names no secret; another one's might quote anything.
            text = error if isinstance(error, StoreError) else type(error).__name__
            logger.error("a scrape failed: %s", text)  # noqa: TRY400 -- for that reason
            return PlainTextResponse(_FAILED, 503 if isinstance(error, StoreError) else 500)

    async def _tell(self, path: str, headers: Headers) -> Response:
        view = self._fleet if self._fleet_path and path == self._fleet_path else self._process
        reading = await view.collect()
        # Thousands of lines take tens of milliseconds, which no request has to wait.
        text, content_type = await asyncio.to_thread(reading.render, ",".join(headers.getlist("accept")))
        fields = {"content-type": content_type, "vary": "accept, accept-encoding"}
        if gzip_accepted(",".join(headers.getlist("accept-encoding"))):
            text = await asyncio.to_thread(gzip.compress, text, 5)
            fields["content-encoding"] = "gzip"
        return Response(text, headers=fields)

    def _admits(self, credentials: list[str]) -> bool:
        """Digests are compared, so that the time tells nothing of the token."""
        if self._digest is None:
            return True
        scheme, _, token = (credentials[0] if len(credentials) == 1 else "").partition(" ")
        return compare_digest(self._digest, _digest(f"{scheme.lower()} {token}"))


def _digest(credentials: str) -> bytes:
    return sha256(credentials.encode()).digest()
