"""The admin API: what an operator may see of a running middleware, and do to it, for whoever presents a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.admin.app import AdminApp
from coo_middleware.admin.gate import Gate
from coo_middleware.admin.room import make_room, open_shared
from coo_middleware.config import make_config

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from coo_middleware.admin.room import Counts
    from coo_middleware.config import Config, ConfigSource
    from coo_middleware.stores import RuntimeStore

__all__ = ["create_admin", "open_admin"]


def create_admin(
    config: ConfigSource = None, *, store: RuntimeStore | None = None, read_token: str = "", write_token: str = ""
) -> ASGIApp:
    """An ASGI app with the routes of docs/admin.md below wherever it is mounted: `read_token` may look, `write_token`
    may look and purge; where neither is given, those of `config.admin`.

    `config` is what COOMiddleware was given, and `store` the store that was passed to it, if one was. A store of our
    own, over the same data, closes with the app's lifespan where one arrives. Raises ConfigError for a configuration
    that cannot be used, and ValueError for a store in memory that was not passed, and unless there is a token, each of
    at least 16 printable ASCII characters without a space, and no two alike.
    """
    settings = make_config(config)
    if not read_token and not write_token:
        read_token, write_token = settings.admin.read_token, settings.admin.write_token
    gate = Gate(read_token, write_token)
    room = make_room(settings, open_shared(settings) if store is None else store)
    return _Mounted(AdminApp(room, gate), room.store if store is None else None)


def open_admin(config: Config, store: RuntimeStore, counts: Counts) -> ASGIApp:
    """The same for the middleware's own use, of requests whose `scope["path"]` is `config.admin.path` or below it.
    `counts` tells what this process has counted. Raises ConfigError, and ValueError where there is no token.
    """
    settings = config.admin
    gate = Gate(settings.read_token, settings.write_token)
    return AdminApp(make_room(config, store, counts), gate, settings.path)


class _Mounted:
    """An app with a lifespan, at whose end the store closes that is ours."""

    def __init__(self, app: ASGIApp, store: RuntimeStore | None) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            await receive()
            if event == "shutdown" and self._store is not None:
                await self._store.close()
            await send({"type": f"lifespan.{event}.complete"})
