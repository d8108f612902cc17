"""The settings of what operators look at: exporters, and the admin API with its dashboard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeAlias

from annotated_types import Ge, Le, MaxLen

from coo_middleware.core.policy import STRICT, StrictSettings

Token: TypeAlias = Annotated[str, MaxLen(4096)]
Path: TypeAlias = Annotated[str, MaxLen(256)]


@dataclass(frozen=True, slots=True)
class PrometheusExport:
    """Settings under `exporters.prometheus`; needs the extra `prometheus`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    enabled: bool = False
    """Answer scrapes."""
    path: Path = "/metrics"
    """Where this process tells what it has counted itself since it started."""
    fleet_path: Path = "/metrics/fleet"
    """Where any process tells what all have counted, as the store has it; empty: nowhere."""
    token: Token = field(default="", repr=False)
    """The bearer token that a scrape must present, of at least 16 characters; empty: whoever reaches the path may."""
    models: tuple[Annotated[str, MaxLen(256)], ...] = ("*",)
    """Models that are labels of their own, `*` and `?` as in paths; the others are `other`."""
    max_series: Annotated[int, Ge(10), Le(1_000_000)] = 5000
    """Label sets beyond this many are counted with `other` for key and model."""


@dataclass(frozen=True, slots=True)
class OtelExport:
    """Settings under `exporters.otel`; needs the extra `otel`, and an SDK that the application sets up."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    spans: bool = False
    """Add attributes to the span that is current when a request comes."""
    metrics: bool = False
    """Record the client metrics of the GenAI conventions; off where the provider's SDK in this process does already."""


@dataclass(frozen=True, slots=True)
class Exporters:
    """Settings under `exporters`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    prometheus: PrometheusExport = field(default_factory=PrometheusExport)
    """Metrics for Prometheus to scrape."""
    otel: OtelExport = field(default_factory=OtelExport)
    """Attributes and metrics for OpenTelemetry."""
    log: bool = False
    """Log each request by the logger `coo_middleware.requests`, its figures as fields of the log record."""


@dataclass(frozen=True, slots=True)
class Admin:
    """Settings under `admin`: the admin API and its dashboard, within the middleware."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    enabled: bool = False
    """Answer below `path`; needs a token."""
    path: Path = "/coo"
    """Where it is."""
    read_token: Token = field(default="", repr=False)
    """The token, of at least 16 characters, that may look; it signs in at the dashboard too."""
    write_token: Token = field(default="", repr=False)
    """The token, of at least 16 characters, that may look and purge; empty: nobody may purge here."""
