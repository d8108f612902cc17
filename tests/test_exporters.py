"""Which exporters there are, and what they cost where there are none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from coo_middleware import ConfigError
from coo_middleware.core.exports import Exporters, OtelExport, PrometheusExport
from coo_middleware.exporters import Exports, open_exports
from coo_middleware.stores.memory import MemoryStore

ALL = Exporters(PrometheusExport(enabled=True), OtelExport(spans=True, metrics=True), log=True)


def test_by_default_there_are_none() -> None:
    """What nobody asked for observes nothing and has no path."""
    assert Exports() == open_exports(Exporters(), MemoryStore(), dict)


def test_each_is_there_when_it_is_asked_for() -> None:
    """The client metrics, the log and Prometheus observe, spans are noted, and both paths are answered."""
    exports = open_exports(ALL, MemoryStore(), dict)

    assert (3, 1) == (len(exports.observers), len(exports.notes))
    assert {"/metrics", "/metrics/fleet"} == exports.paths
    assert exports.scrapes is not None


def test_an_empty_fleet_path_is_no_path() -> None:
    """Where the fleet is not to be told, only the process is."""
    settings = Exporters(PrometheusExport(enabled=True, fleet_path=""))

    assert {"/metrics"} == open_exports(settings, MemoryStore(), dict).paths


@pytest.mark.parametrize(
    ("expected", "client", "settings"),
    [
        ("exporters.prometheus.enabled", "prometheus_client", Exporters(PrometheusExport(enabled=True))),
        ("exporters.otel.spans", "opentelemetry", Exporters(otel=OtelExport(spans=True))),
        ("exporters.otel.metrics", "opentelemetry", Exporters(otel=OtelExport(metrics=True))),
    ],
)
def test_a_client_that_is_not_installed_is_named(
    expected: str, client: str, settings: Exporters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which setting needs it, and how to install it."""
    monkeypatch.setitem(sys.modules, client, None)

    with pytest.raises(ConfigError) as raised:
        open_exports(settings, MemoryStore(), dict)

    extra = expected.split(".")[1]
    assert f"{expected}: needs a client: pip install 'coo-middleware[{extra}]'" == str(raised.value)


def test_no_client_is_imported_unasked() -> None:
    """Whoever has no exporter pays for none of their clients."""
    code = (
        "import sys; from coo_middleware import COOMiddleware; from coo_middleware.exporters import open_exports; "
        "COOMiddleware(None); assert not {'prometheus_client', 'opentelemetry'} & {*sys.modules}"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
