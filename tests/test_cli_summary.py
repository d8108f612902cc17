"""cli/summary.py: figures by provider, key and model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.cli.reading import Row
from coo_middleware.cli.summary import NAMES, find_figure, find_rows, name_row, summarise
from coo_middleware.core.series import count_series, read_series
from tests.commands import RECORDS, make_record

if TYPE_CHECKING:
    from coo_middleware.core.record import Record


def rows_of(*records: Record) -> list[Row]:
    return [
        Row(record.provider, record.key_id, series, (0.0, amount))
        for record in records
        for metric, amount in count_series(record)
        if (series := read_series(metric)) is not None
    ]


def test_groups_add_up_and_the_busiest_is_first() -> None:
    """Each group's requests are all requests, by name, most first."""
    told = summarise(rows_of(*RECORDS), 60)

    assert [6.0] * 3 == [sum(find_figure(row, "requests") or 0 for row in find_rows(told, group)) for group in NAMES]
    assert ["openai/first", "openai/openai-1"] == [name_row("keys", row) for row in find_rows(told, "keys")]
    assert "gpt-5" == name_row("models", find_rows(told, "models")[0])
    assert 60 == told["window_seconds"]


def test_keys_of_one_name_at_two_providers_are_two() -> None:
    """A key is its provider's."""
    told = summarise(rows_of(make_record(), make_record(provider="azure")), None)

    assert ["azure/first", "openai/first"] == [name_row("keys", row) for row in find_rows(told, "keys")]


def test_what_had_no_request_has_no_row() -> None:
    """A series of a former window is no traffic."""
    rows = [Row(row.provider, row.key_id, row.series, (0.0,)) for row in rows_of(*RECORDS)]

    assert [[], [], []] == [find_rows(summarise(rows, 60), group) for group in NAMES]


def test_what_is_not_there_is_unknown() -> None:
    """An answer of another kind has no figure and no rows, and breaks nothing."""
    assert [None] * 4 == [find_figure(each, "a", "b") for each in (None, {}, {"a": 1}, {"a": {"b": "c"}})]
    assert [] == find_rows({"keys": {"a": 1}}, "keys")
