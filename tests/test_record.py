"""core/record.py: one record per request, and what it adds to the counters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.exchange import Answer
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.core.record import CacheStatus, ErrorType, Record, classify_error, count_record
from coo_middleware.core.trial import Trial

WHOLE = Outcome(whole=True, usage=Usage(6, 7), finish_reasons=("stop",), error=False, sound=True, model="m")
ANSWER = Answer(status=200, headers=(), form="body", content=b"{}", ended=True, strange=False, outcome=WHOLE)
STREAM = replace(ANSWER, form="stream")
CUT = replace(STREAM, ended=False, outcome=UNREADABLE)
RECORD = Record(
    provider="openai",
    key_id="k",
    operation="chat",
    model="m",
    status=200,
    cache_status="miss",
    usage=Usage(6, 7),
    duration=0.25,
    error_type="",
    stored="",
)

PROVIDERS = {"req", "latency", "input_tokens", "output_tokens", "tokens", "cost", "errors"}

error_types = st.sampled_from(["", "exception", "status", "in_stream", "cut", "client_disconnect", "limited"])


@pytest.mark.parametrize(
    ("answer", "raised", "disconnected", "error_type"),
    [
        (ANSWER, False, False, ""),
        (ANSWER, False, True, ""),
        (ANSWER, True, False, "exception"),
        (CUT, True, True, "client_disconnect"),
        (replace(ANSWER, status=400), False, False, "status"),
        (replace(ANSWER, status=529), False, True, "status"),
        (replace(ANSWER, status=302), False, False, ""),
        (replace(STREAM, outcome=replace(WHOLE, error=True)), False, False, "in_stream"),
        (replace(CUT, outcome=replace(WHOLE, error=True)), False, True, "in_stream"),
        (CUT, False, True, "client_disconnect"),
        (CUT, False, False, "cut"),
        (replace(CUT, status=0, form=""), False, False, "cut"),
        (replace(STREAM, outcome=UNREADABLE), False, False, "cut"),
        (replace(STREAM, outcome=UNREADABLE), False, True, "client_disconnect"),
        (replace(STREAM, outcome=UNREADABLE, strange=True), False, False, ""),
        (replace(ANSWER, outcome=UNREADABLE), False, False, ""),
        (STREAM, False, False, ""),
    ],
)
def test_fault_has_its_author(answer: Answer, raised: bool, disconnected: bool, error_type: ErrorType) -> None:
    """A failure is the provider's, or a client's that left: a stream without its format's end was cut upstream."""
    assert error_type == classify_error(answer, raised=raised, disconnected=disconnected)


def test_forwarded_request_moves_the_provider_s_counters() -> None:
    """A forwarded request counts once, with its tokens and one sample of its latency in milliseconds."""
    assert [
        ("req", 1.0),
        ("latency", 250.0),
        ("input_tokens", 6.0),
        ("output_tokens", 7.0),
        ("tokens", 13.0),
    ] == count_record(RECORD)


def test_bypassed_request_counts_like_a_miss() -> None:
    """What the cache never saw cost the provider the same."""
    assert count_record(RECORD) == count_record(replace(RECORD, cache_status="bypass"))


def test_unknown_usage_counts_no_tokens() -> None:
    """Where the provider told no usage, no token counter moves; one that told no output moves no output."""
    assert [("req", 1.0), ("latency", 250.0)] == count_record(replace(RECORD, usage=None))
    assert [("req", 1.0), ("latency", 250.0), ("input_tokens", 6.0), ("tokens", 6.0)] == count_record(
        replace(RECORD, usage=Usage(6, 0))
    )


def test_instant_answer_is_a_sample_too() -> None:
    """A duration of 0 counts towards the mean."""
    assert ("latency", 0.0) in count_record(replace(RECORD, duration=0.0))


@pytest.mark.parametrize(
    ("error_type", "errors"),
    [("", 0), ("exception", 1), ("status", 1), ("in_stream", 1), ("cut", 1), ("client_disconnect", 0)],
)
def test_errors_are_the_provider_s(error_type: ErrorType, errors: int) -> None:
    """Each kind of failure is one error, but for a client that left."""
    counts = count_record(replace(RECORD, error_type=error_type))

    assert [("errors", 1.0)] * errors == [count for count in counts if count[0] == "errors"]


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (Usage(6, 7), [("cache_hits", 1.0), ("tokens_saved", 13.0)]),
        (Usage(0, 0), [("cache_hits", 1.0)]),
        (None, [("cache_hits", 1.0)]),
    ],
)
def test_hit_saves_tokens(usage: Usage | None, counts: list[tuple[str, float]]) -> None:
    """A hit counts as such and saves what the stored answer cost."""
    assert counts == count_record(replace(RECORD, cache_status="hit", usage=usage))


@pytest.mark.parametrize(
    ("cache_status", "metric"),
    [("miss", "cost"), ("bypass", "cost"), ("hit", "cost_saved"), ("stale", "cost_saved"), ("collapsed", "cost_saved")],
)
def test_cost_is_paid_or_saved(cache_status: CacheStatus, metric: str) -> None:
    """What a call cost is counted once it is known, as paid for a call and as saved for what shared its answer."""
    costs = [
        [count for count in count_record(replace(RECORD, cache_status=cache_status, cost=cost)) if "cost" in count[0]]
        for cost in (0.125, 0.0, None)
    ]

    assert [[(metric, 0.125)], [], []] == costs


@pytest.mark.parametrize("cache_status", ["miss", "bypass", "hit"])
def test_a_refusal_moves_nothing_else(cache_status: CacheStatus) -> None:
    """A request that limits refused is counted as that: it was no call, no error and no hit."""
    record = replace(
        RECORD, status=429, cache_status=cache_status, usage=None, error_type="limited", trial=Trial(), asked=False
    )

    assert [("limited", 1.0)] == count_record(record)


def test_what_its_attempts_counted_is_not_counted_again() -> None:
    """A request whose attempts have records of their own adds nothing to the provider's counters; a trial of it is."""
    record = replace(RECORD, cost=0.5, asked=False)
    trial = [("would_hits", 1.0), ("tokens_would_save", 13.0), ("cost_would_save", 0.5)]

    assert [] == count_record(record)
    assert trial == count_record(replace(record, trial=Trial()))


SAVED = {"hit": "cache_hits", "stale": "stale_hits", "collapsed": "collapsed"}


@pytest.mark.parametrize("cache_status", ["stale", "collapsed"])
def test_what_cost_nothing_is_counted_apart(cache_status: CacheStatus) -> None:
    """A stale hit and a request that shared a call have counters of their own, and save tokens as a hit does."""
    counts = count_record(replace(RECORD, cache_status=cache_status))

    assert [(SAVED[cache_status], 1.0), ("tokens_saved", 13.0)] == counts


@given(
    st.sampled_from(["hit", "stale", "collapsed", "miss", "bypass"]),
    st.none() | st.builds(Usage, st.integers(0, 2**53), st.integers(0, 2**53)),
    st.none() | st.floats(0, 1e6),
    st.floats(0, 1e6),
    error_types,
)
def test_counts_add_up(
    cache_status: CacheStatus, usage: Usage | None, cost: float | None, duration: float, error_type: ErrorType
) -> None:
    """No counter moves twice or backwards, and neither a hit nor a refusal moves any provider's counter."""
    record = replace(
        RECORD, cache_status=cache_status, usage=usage, cost=cost, duration=duration, error_type=error_type
    )
    counts = count_record(record)
    amounts = dict(counts)

    assert len(counts) == len(amounts)
    assert min(amounts.values()) >= 0
    free = "limited" if error_type == "limited" else SAVED.get(cache_status)
    assert ({free, "tokens_saved", "cost_saved"} if free else PROVIDERS) >= set(amounts)
    assert (free is not None) == ("req" not in amounts) == (free in amounts)
