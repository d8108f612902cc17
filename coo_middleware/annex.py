"""What the middleware answers itself, beside the app: scrapes of metrics, and the admin API with its dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp

    from coo_middleware.config import Config
    from coo_middleware.core.record import Record
    from coo_middleware.stores import RuntimeStore


class Annex:
    """Opens what `config` asks for, and imports nothing else. `counts` gives this process's own counters. `observers`
    are to be told of each request. Raises ConfigError where a client is not installed or a token is weak.
    """

    __slots__ = ("_admin", "_base", "_scrapes", "observers")

    def __init__(self, config: Config, store: RuntimeStore, counts: Callable[[], Mapping[str, int]]) -> None:
        self._scrapes: Final[dict[str, ASGIApp]] = {}
        self._admin: ASGIApp | None = None
        self._base: Final = config.admin.path
        self.observers: tuple[Callable[[Record], object], ...] = ()
        exporters = config.exporters
        if exporters.prometheus.enabled or exporters.otel.spans or exporters.otel.metrics or exporters.log:
            self._open_exports(config, store, counts)
        if config.admin.enabled:
            from coo_middleware.admin import open_admin

            self._admin = open_admin(config, store, counts)

    def __bool__(self) -> bool:
        """Whether any path is answered here."""
        return bool(self._scrapes or self._admin)

    def find(self, path: str) -> ASGIApp | None:
        """What answers at `path`, as the server decoded it; None where the app does."""
        if self._admin is not None and (path == self._base or path.startswith(self._base + "/")):
            return self._admin
        return self._scrapes.get(path)

    def _open_exports(self, config: Config, store: RuntimeStore, counts: Callable[[], Mapping[str, int]]) -> None:
        from coo_middleware.exporters import open_exports

        exports = open_exports(
            config.exporters, store, counts, providers=config.llm_providers, routes=config.policy.routes
        )
        self.observers = (*exports.observers, *exports.notes)
        if exports.scrapes is not None:
            self._scrapes.update(dict.fromkeys(exports.paths, exports.scrapes))
