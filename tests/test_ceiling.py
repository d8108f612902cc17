"""core/ceiling.py: the most output tokens that a request allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.ceiling import find_ceiling

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json


@pytest.mark.parametrize(
    "document",
    [
        {"max_tokens": 50},
        {"max_completion_tokens": 50},
        {"max_output_tokens": 50},
        {"max_new_tokens": 50},
        {"max_tokens_to_sample": 50},
        {"max_gen_len": 50},
        {"maxTokens": 50},
        {"generationConfig": {"maxOutputTokens": 50}},
        {"generation_config": {"max_output_tokens": 50}},
        {"inferenceConfig": {"maxTokens": 50}},
        {"inferenceConfig": {"max_new_tokens": 50}},
        {"options": {"num_predict": 50}},
        {"parameters": {"max_new_tokens": 50}},
        {"textGenerationConfig": {"maxTokenCount": 50}},
        {"max_tokens": 20, "max_completion_tokens": 50},
        {"max_tokens": 50.0, "n": None},
    ],
)
def test_each_format_s_bound_is_found(document: Document) -> None:
    """The bound counts wherever a format keeps it, and the highest of several."""
    assert 50 == find_ceiling(document)


@pytest.mark.parametrize(
    "document",
    [
        {"max_tokens": 10, "n": 3},
        {"max_tokens": 10, "best_of": 3, "n": 2},
        {"max_tokens": 10, "num_generations": 3},
        {"maxTokens": 10, "numResults": 3},
        {"generationConfig": {"maxOutputTokens": 10, "candidateCount": 3}},
        {"max_tokens": 10, "prompt": ["a", "b", "c"]},
        {"max_tokens": 5, "prompt": ["a", "b", "c"], "n": 2},
        {"max_tokens": 15, "prompt": [[1, 2], [3]]},
    ],
)
def test_each_answer_may_be_as_long(document: Document) -> None:
    """A bound is one of each answer, and a request may ask for several."""
    assert 30 == find_ceiling(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"n": 3},
        {"max_tokens": None},
        {"max_tokens": "many"},
        {"max_tokens": True},
        {"options": {"num_predict": -1}},
        {"generationConfig": [1]},
    ],
)
def test_a_request_without_a_bound_has_no_ceiling(document: Document) -> None:
    """What is no number of tokens is no bound; Ollama's -1 is none either."""
    assert find_ceiling(document) is None


def test_none_is_a_bound() -> None:
    """A request may ask for no output at all."""
    assert 0 == find_ceiling({"max_tokens": 0})


@pytest.mark.parametrize("prompt", [[1, 2, 3], "abc", []])
def test_one_prompt_has_one_answer(prompt: list[Json] | str) -> None:
    """A text, or the tokens of one, is not several prompts."""
    assert 30 == find_ceiling({"max_tokens": 30, "prompt": prompt})
