"""Counters with labels: what one record counts, and the names that it counts under."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.outcome import Usage
from coo_middleware.core.record import CacheStatus, Record
from coo_middleware.core.series import (
    BOUNDS,
    LABELS,
    Series,
    classify_status,
    count_savings,
    count_series,
    find_bound,
    read_series,
    write_series,
)

MISS = Record(
    provider="openai",
    key_id="openai-1",
    operation="chat",
    model="gpt-5-mini",
    status=200,
    cache_status="miss",
    usage=Usage(9, 2, cache_read_tokens=4),
    duration=0.25,
    error_type="",
    stored="",
    cost=0.5,
    first_chunk=0.1,
)


def test_a_call_counts_what_it_took() -> None:
    """A request, its times, its tokens by type and its cost; tokens of no number are left out."""
    assert {
        "requests:gpt-5-mini:miss:2xx": 1.0,
        "duration:gpt-5-mini:miss:0.32": 1.0,
        "duration_sum:gpt-5-mini:miss": 0.25,
        "first_chunk:gpt-5-mini:miss:0.16": 1.0,
        "first_chunk_sum:gpt-5-mini:miss": 0.1,
        "tokens_used:gpt-5-mini:input": 9.0,
        "tokens_used:gpt-5-mini:output": 2.0,
        "tokens_used:gpt-5-mini:cache_read": 4.0,
        "cost_used:gpt-5-mini": 0.5,
    } == dict(count_series(MISS))


@pytest.mark.parametrize("cache_status", ["hit", "stale", "collapsed"])
def test_what_is_reused_counts_as_saved(cache_status: CacheStatus) -> None:
    """A reused response counts what its call had cost as not used, and nothing as used."""
    counts = dict(count_series(replace(MISS, cache_status=cache_status)))

    assert (11.0, 0.5) == (counts["tokens_not_used:gpt-5-mini"], counts["cost_not_used:gpt-5-mini"])
    assert not [name for name in counts if name.startswith(("tokens_used", "cost_used"))]


def test_a_request_that_asked_nobody_counts_no_tokens() -> None:
    """One that limits refused is a request and a failure of its kind."""
    refused = replace(MISS, asked=False, error_type="limited", status=429, usage=None, cost=None, first_chunk=None)

    assert {
        "requests:gpt-5-mini:miss:4xx": 1.0,
        "failures:gpt-5-mini:limited": 1.0,
        "duration:gpt-5-mini:miss:0.32": 1.0,
        "duration_sum:gpt-5-mini:miss": 0.25,
    } == dict(count_series(refused))


def test_savings_without_a_record_have_the_same_names() -> None:
    """A part of a request that was not asked for counts as a reused response does; nothing saved counts nothing."""
    assert [("tokens_not_used:m", 3.0), ("cost_not_used:m", 0.25)] == count_savings("m", 3, 0.25)
    assert [] == count_savings("", 0, None)


@given(st.sampled_from(sorted(LABELS)), st.data())
def test_names_are_read_as_they_were_written(name: str, data: st.DataObject) -> None:
    """Whatever the labels are, colons and percent signs too."""
    text = st.text(st.characters(exclude_categories=["Cs"]))
    labels = tuple(data.draw(text) for _ in LABELS[name])

    assert Series(name, labels) == read_series(write_series(name, *labels))


@pytest.mark.parametrize("metric", ["req", "tokens", "requests", "requests:m", "requests:m:hit:2xx:x", "other:m"])
def test_what_is_no_series_is_none(metric: str) -> None:
    """The guide's metrics and what has too few labels or too many are not read as series."""
    assert read_series(metric) is None


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (81.92, "81.92"), (82.0, "+Inf")]
)
def test_a_duration_falls_into_one_bucket(seconds: float, bound: str) -> None:
    """Each bucket has its upper bound within it, as Prometheus' do."""
    assert bound == find_bound(seconds)
    assert list(BOUNDS) == sorted(set(BOUNDS))


@pytest.mark.parametrize(("status", "name"), [(200, "2xx"), (429, "4xx"), (599, "5xx"), (0, "none"), (999, "none")])
def test_a_status_has_its_class(status: int, name: str) -> None:
    """What is no status of HTTP is none."""
    assert name == classify_status(status)
