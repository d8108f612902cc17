"""Presets make equal what may count as equal, and nothing else."""

import copy
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Json
from coo_middleware.core.normalize import (
    Preset,
    normalize_content,
    normalize_messages,
    normalize_prompt,
    normalize_prompts,
)

PRESETS: tuple[Literal["text"], Literal["loose"]] = ("text", "loose")
TYPES = frozenset({"text"})

# Characters that compose, decompose, fold to several, or are white space of one kind or another.
TEXTS = st.text(st.sampled_from("aA \t\r\nße\u0301\u0345\u03b1\u0130\u0307\u01f0\u00a0\u2028\u1e9e\u212b\ufb03"))
VALUES: st.SearchStrategy[Json] = TEXTS
ODD: st.SearchStrategy[Json] = st.one_of(
    st.none(), st.integers(), st.lists(VALUES, max_size=2), st.dictionaries(TEXTS, VALUES, max_size=2)
)
TYPE_NAMES: st.SearchStrategy[Json] = st.sampled_from(["text", "image_url", "tool_result"]) | ODD
PARTS: st.SearchStrategy[Json] = ODD | st.fixed_dictionaries(
    {"type": TYPE_NAMES}, optional={"text": VALUES, "cache_control": VALUES}
)
CONTENTS: st.SearchStrategy[Json] = TEXTS | st.lists(PARTS, max_size=4) | ODD
ROLES: st.SearchStrategy[Json] = ODD | st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
MESSAGE: st.SearchStrategy[Json] = ODD | st.fixed_dictionaries(
    {"role": ROLES}, optional={"content": CONTENTS, "name": VALUES, "type": VALUES}
)
MESSAGES = st.lists(MESSAGE, max_size=4)


def content_of(content: Json, preset: Preset = "text") -> Json:
    return normalize_content(content, preset, TYPES)


def text_part(text: str) -> dict[str, Json]:
    return {"type": "text", "text": text}


@given(MESSAGES, TEXTS)
def test_strict_changes_nothing(messages: list[Json], text: str) -> None:
    """Under strict every value is handed back as it is."""
    assert messages is normalize_messages(messages, "strict", TYPES)
    assert text is normalize_prompt(text, "strict")
    assert [text] == normalize_prompts([text], "strict")
    assert messages is normalize_content(messages, "strict", TYPES)


@given(MESSAGES, st.sampled_from(PRESETS))
def test_messages_are_normalized_once(messages: list[Json], preset: Preset) -> None:
    """Normalizing again changes nothing more, and what was given is never changed."""
    before = copy.deepcopy(messages)
    once = normalize_messages(messages, preset, TYPES)

    assert before == messages
    assert once == normalize_messages(once, preset, TYPES)


@given(CONTENTS, st.sampled_from(PRESETS))
def test_contents_are_normalized_once(content: Json, preset: Preset) -> None:
    """A content, such as a system prompt, is normalized by one pass."""
    once = content_of(content, preset)

    assert once == content_of(once, preset)


@given(TEXTS, st.sampled_from(PRESETS))
def test_prompts_are_normalized_once(text: str, preset: Preset) -> None:
    """A raw prompt is normalized by one pass, into composed characters and LF."""
    once = normalize_prompt(text, preset)

    assert once == normalize_prompt(once, preset)
    assert unicodedata.is_normalized("NFC", once)
    assert "\r" not in once


@given(MESSAGES)
def test_the_shape_of_messages_stays(messages: list[Json]) -> None:
    """No message comes or goes, and a message keeps its members."""
    normalized = normalize_messages(messages, "loose", TYPES)

    assert isinstance(normalized, list)
    assert [sorted(item) if isinstance(item, dict) else item for item in messages] == [
        sorted(item) if isinstance(item, dict) else item for item in normalized
    ]


@pytest.mark.parametrize(
    ("one", "other", "preset"),
    [
        ("e\u0301", "é", "text"),
        ("a\r\nb\rc", "a\nb\nc", "text"),
        (" \n a \t", "a", "text"),
        ("a", [text_part("a")], "text"),
        (" a ", [text_part("a\n")], "text"),
        ([text_part(" a"), text_part("b ")], [text_part("a"), text_part("b")], "text"),
        ("a  \n b", "a b", "loose"),
        ("Straße", "STRASSE", "loose"),
        ("\u01f0", "J\u030c", "loose"),
    ],
)
def test_what_counts_as_equal(one: Json, other: Json, preset: Preset) -> None:
    """The presets make these contents of a message equal."""
    assert content_of(one, preset) == content_of(other, preset)


@pytest.mark.parametrize(
    ("one", "other", "preset"),
    [
        ("²", "2", "loose"),
        ("A", "a", "text"),
        ("a b", "a  b", "text"),
        ("a\u00a0", "a", "text"),
        ("ab", "a b", "loose"),
        ([text_part("a "), text_part("b")], [text_part("a"), text_part("b")], "text"),
        ([text_part("a"), text_part(" b")], [text_part("a"), text_part("b")], "loose"),
        ([text_part("a"), text_part("b")], "ab", "text"),
        ([{**text_part("a"), "cache_control": {}}], "a", "text"),
        ([{"type": "refusal", "text": "a"}], "a", "text"),
        ([{"type": "refusal", "text": "a "}], [{"type": "refusal", "text": "a"}], "loose"),
        ([{"type": ["text"], "text": "a "}], [{"type": ["text"], "text": "a"}], "loose"),
        ([text_part("a "), {"type": "image_url"}], [text_part("a"), {"type": "image_url"}], "text"),
        ([], "", "text"),
        (None, "", "text"),
        (None, [], "loose"),
    ],
)
def test_what_stays_different(one: Json, other: Json, preset: Preset) -> None:
    """The presets do not make these contents of a message equal."""
    assert content_of(one, preset) != content_of(other, preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_outer_white_space_of_a_raw_prompt_counts(preset: Preset) -> None:
    """A raw prompt and an embedding input keep their outer white space; token lists stay as they are."""
    assert "  a\n" == normalize_prompt("  a\r\n", preset)
    assert ["a ", [1, 2], None] == normalize_prompts(["a ", [1, 2], None], preset)
    assert " a" == normalize_prompts(" a", preset)
    assert 7 == normalize_prompts(7, preset)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": " A\r\n"},
        {"role": "function", "content": [text_part(" A\r\n")]},
        {"role": "user", "content": [{"type": "tool_result", "content": [text_part(" A\r\n")]}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": ' {"a": 1}\r\n'}}]},
        {"type": "function_call_output", "output": " A\r\n"},
        {"type": "agent_message", "role": "user", "content": " A\r\n"},
    ],
)
def test_data_keeps_its_bytes(message: Json, preset: Preset) -> None:
    """Results of tools, arguments of calls and items that are no messages are data and stay as they are."""
    assert [message, {"role": "user", "content": "a"}] == normalize_messages(
        [message, {"role": "user", "content": "a"}], preset, TYPES
    )


def test_a_message_to_be_continued_keeps_its_edges() -> None:
    """The outer white space of the last message counts where the assistant said it, for the model goes on from it."""
    told: dict[str, Json] = {"role": "assistant", "content": " a\r\n"}
    asked: dict[str, Json] = {"role": "user", "content": " a\r\n"}
    parts: dict[str, Json] = {"role": "assistant", "content": [text_part(" a\r\n")]}
    kept, trimmed = {"role": "assistant", "content": " a\n"}, {"role": "assistant", "content": "a"}

    assert [{"role": "user", "content": "a"}, kept] == normalize_messages([asked, told], "text", TYPES)
    assert [kept] == normalize_messages([parts], "text", TYPES)
    assert [trimmed, {"role": "user", "content": "a"}] == normalize_messages([told, asked], "text", TYPES)


def test_messages_that_are_no_list_stay() -> None:
    """A member of another kind is the provider's to judge."""
    assert {"role": "user"} == normalize_messages({"role": "user"}, "text", TYPES)
