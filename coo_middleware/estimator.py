"""Counts tokens where a provider reports none, with an optional tokenizer that needs no network."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.config import ConfigError
from coo_middleware.core.document import read_json
from coo_middleware.core.estimate import texts_of_answer, texts_of_request
from coo_middleware.core.outcome import Usage
from coo_middleware.formats.answer import items_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coo_middleware.core.document import Document
    from coo_middleware.core.exchange import Answer

ENCODING: Final = "o200k_base"

# Of a longer text so many characters are counted, and the rest is reckoned to be like them.
_MOST_COUNTED: Final = 1_000_000
# What surrounds each message, and what opens the answer
# (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken).
_PER_MESSAGE: Final = 4
_PER_ANSWER: Final = 3


def open_estimator(name: str) -> Callable[[str], int] | None:
    """Counts the tokens of a text, whatever it is, by the encoding of this name; None for "off".

    It loads the vocabulary, which takes a third of a second and 65 MB. Raises ConfigError where the name is not known
    or the tokenizer is not installed.
    """
    if name == "off":
        return None
    if name != ENCODING:
        raise ConfigError(f"policy.metrics.estimate_tokens is neither off nor {ENCODING}")
    try:
        batch_count = importlib.import_module("toktok").batch_count
    except ImportError:
        message = f"policy.metrics.estimate_tokens: {ENCODING} needs a tokenizer: pip install 'coo-middleware[tokens]'"
        raise ConfigError(message) from None

    def count(text: str) -> int:
        # Lone surrogates have no UTF-8. One thread: the others of the process have other things to do.
        counted: int = batch_count([text.encode(errors="replace").decode()], ENCODING, threads=1)[0]
        return counted

    count("")
    return count


def estimate_usage(count: Callable[[str], int], request: Document, answer: Iterable[Document]) -> Usage | None:
    """The usage that the texts of a request and of its answer suggest, flagged as estimated; None where neither has
    any. `answer` are the objects of its stream, or its body. An answer without text, such as an embedding, took no
    output tokens; an input without text (token ids, only images) is unknown.
    """
    asked, answered = "\n".join(texts_of_request(request)), "".join(texts_of_answer(answer))
    if not asked and not answered:
        return None
    inputs = _extrapolate(count, asked) + _surround(request) if asked else None
    return Usage(inputs, _extrapolate(count, answered), estimated=True)


def add_estimate(
    count: Callable[[str], int], request: bytes, answer: Answer, documents: Callable[[], Iterable[Document]]
) -> Answer:
    """The answer to `request`, made of these documents, with an estimate of its usage where the provider told none."""
    asked = read_json(request) if answer.outcome.usage is None and answer.status == 200 else None
    if not isinstance(asked, dict):
        return answer
    usage = estimate_usage(count, asked, documents())
    if usage is not None and answer.content is None:
        # What was too long to be kept is not known.
        usage = replace(usage, output_tokens=None)
    return replace(answer, outcome=replace(answer.outcome, usage=usage))


def _extrapolate(count: Callable[[str], int], text: str) -> int:
    counted = text[:_MOST_COUNTED]
    return round(count(counted) * len(text) / len(counted)) if counted else 0


def _surround(request: Document) -> int:
    """What a chat's template adds, 0 where there is no list of messages."""
    turns = [*items_of(request.get("messages")), *items_of(request.get("input"))]
    messages = sum("role" in turn for turn in turns)
    return _PER_MESSAGE * messages + _PER_ANSWER if messages else 0
