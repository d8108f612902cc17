"""OpenTelemetry, by its API alone: the application sets the SDK up. Nothing of a prompt or an answer is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from opentelemetry import metrics, trace

from coo_middleware.core import conventions as names

if TYPE_CHECKING:
    from coo_middleware.core.record import Record

Attributes: TypeAlias = "dict[str, str | int | float]"

_SCOPE: Final = "coo_middleware"
_REUSED: Final = frozenset({"hit", "stale", "collapsed"})


class SpanNotes:
    """Attributes on the span that is current, which is the server's where something has begun one."""

    __slots__ = ()

    def observe(self, record: Record) -> None:
        """Notes what a request was. It is called in the request's own context."""
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(describe(record))


class ClientMetrics:
    """The conventions' metrics of calls that providers were asked for; what was reused is no call.

    `provider` is whom the global meter is asked of unless it is given.
    """

    __slots__ = ("_duration", "_first_chunk", "_tokens")

    def __init__(self, provider: metrics.MeterProvider | None = None) -> None:
        meter = metrics.get_meter(_SCOPE, meter_provider=provider)
        self._tokens: Final = meter.create_histogram(
            names.USAGE_METRIC,
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BOUNDS,
        )
        self._duration: Final = _create_timer(meter, names.DURATION_METRIC, "GenAI operation duration.")
        self._first_chunk: Final = _create_timer(meter, names.FIRST_CHUNK_METRIC, "Time to receive the first chunk.")

    def observe(self, record: Record) -> None:
        """Records one request."""
        if record.cache_status in _REUSED or not record.asked:
            return
        about = _name(record)
        if record.usage is not None:
            counts = (("input", record.usage.input_tokens), ("output", record.usage.output_tokens))
            for kind, amount in counts:
                if amount is not None:
                    self._tokens.record(amount, {**about, names.USAGE_TYPE: kind})
        # The conventions have it for streams alone, and only these have several chunks.
        if record.first_chunk is not None and record.chunk_gap is not None:
            self._first_chunk.record(record.first_chunk, about)
        self._duration.record(record.duration, about | _explain(record))


def describe(record: Record) -> Attributes:
    """The attributes of a request, by the names of core/conventions.py. What was reused cost nothing: what it saved is
    told under names of ours, so that no sum over spans counts a call twice.
    """
    about = _name(record) | _explain(record)
    about |= {names.CACHE_STATUS: record.cache_status, names.KEY: record.key_id}
    about |= {names.OVERHEAD: record.overhead, names.STORE_TIME: record.store_time}
    if record.stored and record.cache_status not in _REUSED:
        about[names.NOT_STORED] = record.stored
    if record.first_chunk is not None:
        about[names.FIRST_CHUNK] = record.first_chunk
    return about | (_tell_saving(record) if record.cache_status in _REUSED else _tell_usage(record))


def _name(record: Record) -> Attributes:
    about: Attributes = {names.OPERATION: record.operation, names.PROVIDER: record.provider}
    return about | ({names.REQUEST_MODEL: record.model} if record.model else {})


def _explain(record: Record) -> Attributes:
    """A status is told as itself, as the conventions have it."""
    if not record.error_type:
        return {}
    return {names.ERROR_TYPE: str(record.status) if record.error_type == "status" else record.error_type}


def _tell_usage(record: Record) -> Attributes:
    counts = {attribute: getattr(record.usage, name, None) for name, attribute in names.USAGE.items()}
    told: Attributes = {attribute: count for attribute, count in counts.items() if count is not None}
    return told | ({names.COST: record.cost} if record.cost is not None else {})


def _tell_saving(record: Record) -> Attributes:
    told: Attributes = {names.TOKENS_SAVED: record.usage.tokens} if record.usage is not None else {}
    return told | ({names.COST_SAVED: record.cost} if record.cost is not None else {})


def _create_timer(meter: metrics.Meter, name: str, about: str) -> metrics.Histogram:
    return meter.create_histogram(name, "s", about, explicit_bucket_boundaries_advisory=names.SECOND_BOUNDS)
