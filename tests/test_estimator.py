"""Tokens that no provider told are estimated by a tokenizer that is optional and needs no network."""

import socket
import sys
from typing import NoReturn

import pytest

from coo_middleware.config import ConfigError
from coo_middleware.core.document import Document
from coo_middleware.core.outcome import Usage
from coo_middleware.estimator import ENCODING, estimate_usage, open_estimator


def words(text: str) -> int:
    return len(text.split())


def test_off_means_no_estimate() -> None:
    """Who wants no estimate has no counter."""
    assert open_estimator("off") is None


def test_texts_are_counted_as_the_encoding_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any network the counts are those that the cookbook gives for o200k_base, and any text has one."""

    def refuse(*_: object) -> NoReturn:
        raise OSError

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    count = open_estimator(ENCODING)

    assert count is not None
    assert [6, 7, 8] == [count(text) for text in ("antidisestablishmentarianism", "2 + 2 = 4", "お誕生日おめでとう")]
    assert [0, count("?!")] == [count(text) for text in ("", "\ud800!")]
    assert count("<|endoftext|>") > 1


def test_a_name_that_is_unknown_is_an_error_of_the_configuration() -> None:
    """The error names the field and what it may be."""
    with pytest.raises(ConfigError, match=r"policy\.metrics\.estimate_tokens is neither off nor o200k_base"):
        open_estimator("gpt2")


def test_a_tokenizer_that_is_missing_is_an_error_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the field and the extra that brings the tokenizer."""
    monkeypatch.setitem(sys.modules, "toktok", None)

    with pytest.raises(
        ConfigError, match=r"estimate_tokens: o200k_base needs .*pip install 'coo-middleware\[tokens\]'"
    ):
        open_estimator(ENCODING)


@pytest.mark.parametrize(
    ("request_", "answer", "expected"),
    [
        ({"prompt": "a b c"}, [{"choices": [{"text": "d e"}]}], Usage(3, 2, estimated=True)),
        ({"prompt": "a"}, [{"delta": {"text": "wo"}}, {"delta": {"text": "rd"}}], Usage(1, 1, estimated=True)),
        ({"prompt": "a b c"}, [], Usage(3, 0, estimated=True)),
        ({"input": ["a", "b"]}, [{"data": [{"embedding": "x y z"}]}], Usage(2, 0, estimated=True)),
        ({"input": [1, 2]}, [{"output": [{"content": [{"text": "a"}]}]}], Usage(None, 1, estimated=True)),
        ({"messages": [{"role": "user", "content": "a b"}]}, [], Usage(9, 0, estimated=True)),
        (
            {"input": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
            [],
            Usage(13, 0, estimated=True),
        ),
        ({"messages": "a"}, [], Usage(1, 0, estimated=True)),
        ({"input": [1, 2]}, [{"data": []}], None),
        ({}, [], None),
    ],
)
def test_usage_is_what_the_texts_come_to(request_: Document, answer: list[Document], expected: Usage | None) -> None:
    """Input and output are counted apart, messages cost what surrounds them, and what has no text is not made up."""
    assert expected == estimate_usage(words, request_, answer)


def test_a_long_text_is_reckoned_from_its_beginning() -> None:
    """The counter never sees more than a million characters, and the count still grows with the text."""
    seen: list[int] = []

    def count(text: str) -> int:
        seen.append(len(text))
        return words(text)

    assert Usage(2_000_000, 0, estimated=True) == estimate_usage(count, {"prompt": "a " * 2_000_000}, [])
    assert [1_000_000] == seen
