"""Exporters: who is told of each request, beside the store. Their clients are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.types import ASGIApp

from coo_middleware.config import ConfigError
from coo_middleware.core.label_values import LabelValues
from coo_middleware.core.record import Record
from coo_middleware.exporters.logs import RequestLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from coo_middleware.core.exports import Exporters, OtelExport, PrometheusExport
    from coo_middleware.core.providers import LLMProvider
    from coo_middleware.core.routes import RoutePolicy
    from coo_middleware.stores import RuntimeStore

__all__ = ["Exports", "open_exports"]

Observe: TypeAlias = Callable[[Record], None]

# What each client is called, and which extra brings it.
_CLIENTS: Final = {"prometheus": "prometheus_client", "otel": "opentelemetry"}


@dataclass(frozen=True, slots=True)
class Exports:
    """`observers` are told of each request after its answer; `notes` too, in the request's own context. `scrapes` is an
    ASGI app for the paths `paths`, which are none where it is None.
    """

    observers: tuple[Observe, ...] = ()
    notes: tuple[Observe, ...] = ()
    scrapes: ASGIApp | None = None
    paths: frozenset[str] = frozenset()


def open_exports(
    settings: Exporters,
    store: RuntimeStore,
    counts: Callable[[], Mapping[str, int]],
    *,
    providers: Sequence[LLMProvider] = (),
    routes: Sequence[RoutePolicy] = (),
) -> Exports:
    """The exporters that `settings` ask for. `store` has the fleet's totals, `counts` gives this process's own
    counters; `providers` and `routes` are those of the configuration. Raises ConfigError where a client is not
    installed.
    """
    observers, notes = _open_otel(settings.otel)
    if settings.log:
        observers.append(RequestLog().observe)
    if not settings.prometheus.enabled:
        return Exports(tuple(observers), tuple(notes))
    names = LabelValues(providers, routes, settings.prometheus.models)
    observe, scrapes = _open_prometheus(settings.prometheus, store, names, counts)
    paths = frozenset(filter(None, (settings.prometheus.path, settings.prometheus.fleet_path)))
    return Exports((*observers, observe), tuple(notes), scrapes, paths)


def _open_otel(settings: OtelExport) -> tuple[list[Observe], list[Observe]]:
    if not (settings.spans or settings.metrics):
        return [], []
    otel = _load("otel", "otel", "spans" if settings.spans else "metrics")
    metrics = [otel.ClientMetrics().observe] if settings.metrics else []
    return metrics, [otel.SpanNotes().observe] if settings.spans else []


def _open_prometheus(
    settings: PrometheusExport, store: RuntimeStore, names: LabelValues, counts: Callable[[], Mapping[str, int]]
) -> tuple[Observe, ASGIApp]:
    views, scrapes = (_load("prometheus", module, "enabled") for module in ("prometheus", "scrapes"))
    process = views.ProcessView(settings, names, counts)
    app: ASGIApp = scrapes.open_scrapes(settings, process, views.FleetView(store, settings, names))
    return process.observe, app


def _load(extra: str, module: str, setting: str) -> ModuleType:
    try:
        import_module(_CLIENTS[extra])
    except ImportError:
        wanted = f"exporters.{extra}.{setting}: needs a client: pip install 'coo-middleware[{extra}]'"
        raise ConfigError(wanted) from None
    return import_module(f"coo_middleware.exporters.{module}")
