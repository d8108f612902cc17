"""A worker that serves calls, and scrapes beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import uvicorn

from coo_middleware import COOMiddleware
from coo_middleware.core.exports import Exporters, PrometheusExport
from coo_middleware.exporters import open_exports
from tests.asgi import answer
from tests.replica_worker import DRAINED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from coo_middleware import Record
    from tests.replica_worker import Upstream

SETTINGS: Final = Exporters(prometheus=PrometheusExport(enabled=True))


def serve(config: Mapping[str, object], upstream: Upstream, port: int) -> None:
    """One process of uvicorn, until it is killed. DRAINED is answered when all that was recorded is stored."""
    observers: list[Callable[[Record], None]] = []
    middleware = COOMiddleware(upstream, config, on_record=lambda record: [each(record) for each in observers])
    exports = open_exports(SETTINGS, middleware.store, lambda: middleware.counts)
    observers += exports.observers
    assert exports.scrapes is not None
    scrapes = exports.scrapes

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in exports.paths:
            await scrapes(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == DRAINED:
            await middleware.drain()
            for message in answer(b"{}"):
                await send(message)
        else:
            await middleware(scope, receive, send)

    uvicorn.run(app, port=port, log_config=None)
