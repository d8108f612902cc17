"""What Cohere's answers have in common: units, errors, reasons to bypass."""

import pytest

from coo_middleware.core.document import Document
from coo_middleware.core.outcome import Usage
from coo_middleware.formats.cohere_answer import (
    bypass_cohere,
    merge_units,
    tells_failure,
    usage_of_input,
    usage_of_units,
)


def test_a_later_count_replaces_an_earlier_one() -> None:
    """Counters are cumulative and merged field by field, and what is no object tells nothing."""
    counts: dict[str, int] = {}
    merge_units(counts, {"tokens": {"input_tokens": 1, "output_tokens": 1}, "cached_tokens": 1})
    merge_units(counts, {"tokens": {"output_tokens": 2}, "billed_units": {"input_tokens": 9}})
    merge_units(counts, None)

    assert Usage(1, 2, cache_read_tokens=1) == usage_of_units(counts)


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"meta": {"tokens": {"input_tokens": 5}, "billed_units": {"input_tokens": 3}}}, Usage(5, 0)),
        ({"meta": {"billed_units": {"input_tokens": 3.0, "search_units": 1}}}, Usage(3, 0)),
        ({"meta": {"billed_units": {"search_units": 1, "total_tokens": 4}}}, Usage(4, 0)),
        ({"meta": {"billed_units": {"text_tokens": 2, "image_tokens": 7, "images": 1}}}, Usage(9, 0)),
        ({"meta": {"billed_units": {"input_tokens": 0, "image_tokens": 7}}}, Usage(0, 0)),
        ({"meta": {"tokens": {"input_tokens": 5, "output_tokens": 2}}}, Usage(5, 2)),
        ({"tokens": {"input_tokens": 6, "output_tokens": 0}}, Usage(6, 0)),
        ({"usage": {"total_tokens": 150, "search_units": 1}}, Usage(150, 0)),
        ({"usage": {"prompt_tokens": 8, "total_tokens": 9}}, Usage(8, 0)),
        ({"meta": {"billed_units": {"search_units": 1}}}, None),
        ({"meta": {"billed_units": {"images": 1, "classifications": 2}}}, None),
        ({"meta": None, "usage": []}, None),
        ({}, None),
    ],
)
def test_what_is_scored_or_embedded_is_input(document: Document, usage: Usage | None) -> None:
    """Every vendor's spelling of the tokens that were read is known; search units, images and labels are no tokens."""
    assert usage == usage_of_input(document)


@pytest.mark.parametrize(
    ("document", "given", "failed"),
    [
        ({"message": "invalid api token"}, False, True),
        ({"id": "1", "message": "invalid api token"}, False, True),
        ({"message": "echo"}, True, False),
        ({"message": {"content": []}}, False, False),
        ({"message": ""}, False, False),
        ({"error": "x"}, True, True),
        ({}, False, False),
    ],
)
def test_an_error_is_a_message_and_no_answer(document: Document, given: bool, failed: bool) -> None:
    """A text under message is an error where nothing else was given."""
    assert failed == tells_failure(document, given=given)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, ""),
        ({"conversation_id": "c"}, "stateful"),
        ({"conversation_id": None, "preset": ""}, ""),
        ({"preset": "p"}, "stateful"),
        ({"documents": [{"id": "d"}]}, "stateful"),
        ({"documents": ["a", {"id": "d", "data": {"text": "b"}}, {"text": "c"}]}, ""),
        ({"documents": None}, ""),
        ({"connectors": [{"id": "web-search"}]}, "server-tool"),
        ({"connectors": []}, ""),
        ({"connectors": None}, ""),
        ({"tools": [{"type": "function"}, {"name": "f"}]}, ""),
        ({"tools": [{"type": "web_search"}]}, "server-tool"),
        ({"tools": [{"type": ["function"]}]}, "server-tool"),
        ({"conversation_id": "c", "connectors": [{"id": "x"}]}, "stateful"),
        ({"citation_options": {"mode": "FAST"}, "citation_quality": "fast"}, ""),
    ],
)
def test_what_depends_on_the_outside_bypasses(members: Document, reason: str) -> None:
    """A kept conversation or preset, a document that is only named, connectors and unknown tools bypass."""
    assert reason == bypass_cohere({"model": "m", **members})
