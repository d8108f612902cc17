"""What OpenTelemetry is told, read back from its own SDK."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from coo_middleware import Record, Usage
from coo_middleware.core import conventions
from coo_middleware.exporters.otel import ClientMetrics, SpanNotes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coo_middleware.core.record import CacheStatus, ErrorType

USAGE: Final = Usage(900, 20, cache_read_tokens=800, reasoning_tokens=5)
RECORD: Final = Record(
    *("openai", "eu-1", "chat", "gpt-5", 200, "miss", USAGE, 1.5, "", ""),
    cost=0.25,
    first_chunk=0.3,
    chunk_gap=0.01,
    overhead=0.002,
    store_time=0.001,
)


def note(record: Record) -> dict[str, object]:
    """The attributes of a span during which this was noted."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("POST"):
        SpanNotes().observe(record)
    (span,) = exporter.get_finished_spans()
    return dict(span.attributes or {})


Points = dict[str, list[HistogramDataPoint]]


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    yield reader
    reader.shutdown()


def measure(reader: InMemoryMetricReader, *records: Record) -> Points:
    """The points of each metric that these have led to."""
    view = ClientMetrics(MeterProvider([reader]))
    for record in records:
        view.observe(record)
    data = reader.get_metrics_data()
    scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics] if data else []
    return {
        metric.name: [point for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]
        for scope in scopes
        for metric in scope.metrics
    }


def test_a_call_is_noted_by_the_conventions() -> None:
    """A span has the operation, the provider, the model and the usage by their names, and ours beside them."""
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 800,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "gen_ai.response.time_to_first_chunk": 0.3,
        "coo.cache.status": "miss",
        "coo.key": "eu-1",
        "coo.cost": 0.25,
        "coo.overhead": 0.002,
        "coo.store_time": 0.001,
    } == note(RECORD)


@pytest.mark.parametrize("status", ["hit", "stale", "collapsed"])
def test_what_was_reused_is_no_usage(status: CacheStatus) -> None:
    """A span of a reused answer tells what was saved, and no tokens or cost that a sum would count twice."""
    noted = note(replace(RECORD, cache_status=status, stored="hit"))

    assert (920, 0.25, status) == (noted["coo.saved.tokens"], noted["coo.saved.cost"], noted["coo.cache.status"])
    assert not {*conventions.USAGE.values(), conventions.COST, conventions.NOT_STORED} & {*noted}


@pytest.mark.parametrize(
    ("expected", "status", "error_type"),
    [("429", 429, "status"), ("exception", 0, "exception"), ("cut", 200, "cut"), ("limited", 429, "limited")],
)
def test_a_failure_has_its_type(expected: str, status: int, error_type: ErrorType) -> None:
    """A status is told as itself, every other cause by its word, and why nothing was stored."""
    noted = note(replace(RECORD, status=status, error_type=error_type, stored="status", usage=None, model=""))

    assert (expected, "status") == (noted["error.type"], noted["coo.cache.not_stored"])
    assert "gen_ai.request.model" not in noted


def test_without_a_span_nothing_happens() -> None:
    """Where no span is current there is nothing to note, and nothing fails."""
    SpanNotes().observe(RECORD)


def test_calls_are_measured_by_the_conventions(reader: InMemoryMetricReader) -> None:
    """A call has its duration, its first chunk and its tokens by kind, in the buckets that are asked for."""
    points = measure(reader, RECORD)

    assert {conventions.USAGE_METRIC, conventions.DURATION_METRIC, conventions.FIRST_CHUNK_METRIC} == {*points}
    about = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}
    tokens = {dict(each.attributes or {}).pop("gen_ai.token.type"): each for each in points[conventions.USAGE_METRIC]}
    assert {"input": 900, "output": 20} == {kind: each.sum for kind, each in tokens.items()}
    assert (1, 4, 16) == tokens["input"].explicit_bounds[:3]
    (duration,), (first,) = points[conventions.DURATION_METRIC], points[conventions.FIRST_CHUNK_METRIC]
    assert (1.5, about) == (duration.sum, duration.attributes)
    assert (0.3, 0.01, 81.92) == (first.sum, first.explicit_bounds[0], first.explicit_bounds[-1])


def test_only_calls_are_measured(reader: InMemoryMetricReader) -> None:
    """Neither what was reused nor what asked no provider is a call."""
    reused: tuple[CacheStatus, ...] = ("hit", "stale", "collapsed")
    others = [replace(RECORD, cache_status=status) for status in reused]

    assert {} == measure(reader, *others, replace(RECORD, asked=False))


def test_a_whole_answer_has_no_first_chunk(reader: InMemoryMetricReader) -> None:
    """The conventions have that for streams alone, and no tokens where none are known."""
    points = measure(reader, replace(RECORD, chunk_gap=None, usage=None, error_type="status", status=500))

    assert {conventions.DURATION_METRIC} == {*points}
    assert "500" == dict(points[conventions.DURATION_METRIC][0].attributes or {})["error.type"]
