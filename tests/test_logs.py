"""The log of requests."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from coo_middleware import Record, Usage
from coo_middleware.exporters.logs import FIELDS, RequestLog

if TYPE_CHECKING:
    import pytest

RECORD = Record("openai", "eu-1", "chat", "gpt-5", 200, "miss", Usage(9, 2), 1.5, "", "", cost=0.5)


def test_a_request_is_one_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    """What the request was stands in `extra` fields, unknown ones being None."""
    caplog.set_level(logging.INFO)
    RequestLog().observe(RECORD)
    (line,) = caplog.records
    told = {name: vars(line)[name] for name in FIELDS}

    assert "miss answered with 200 in 1.500 s" == line.getMessage()
    assert {
        "coo_provider": "openai",
        "coo_cost": 0.5,
        "coo_input_tokens": 9,
        "coo_first_chunk": None,
    }.items() <= told.items()


def test_a_caller_writes_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A model's name is a field and stands in no line."""
    caplog.set_level(logging.INFO)
    RequestLog().observe(replace(RECORD, model="gpt\nERROR forged", usage=None))

    assert "forged" not in caplog.text


def test_a_level_above_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Where INFO is off nothing is logged."""
    caplog.set_level(logging.WARNING)
    RequestLog().observe(RECORD)

    assert [] == caplog.records
