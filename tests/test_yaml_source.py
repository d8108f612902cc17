"""The part of YAML that is read, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.yaml_source import MAX_BYTES, parse_yaml, read_yaml

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "hunter2canary"
TRAPS = ["yes", "no", "on", "off", "True", "NULL", "012", "0o17", "0x1F", "1_000", "12:30", "-1:30", "2026-11-03"]
TRAPS += [".inf", ".nan", "1e99", "1.5e3", ".5", "5.", "=", "+"]


def value_of(scalar: str) -> object:
    """The value of one scalar, as it stands in a file."""
    source = parse_yaml("f", f"a: {scalar}\n".encode())
    assert source.faults == ()
    assert isinstance(source.tree, dict)
    return source.tree["a"]


def message_of(raw: bytes | str) -> str:
    source = parse_yaml("f", raw.encode() if isinstance(raw, str) else raw)
    return source.describe(source.faults)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("10.50", 10.5),
        ("-0.5", -0.5),
        ("'10'", "10"),
        ('"true"', "true"),
        ('""', ""),
        ("[1, x]", [1, "x"]),
        ("{b: 1}", {"b": 1}),
        ("|\n  x", "x\n"),
        ("a  # a remark", "a"),
    ],
)
def test_scalars_are_typed_as_they_look(scalar: str, value: object) -> None:
    """Bare true, false, null and decimal numbers are values; whatever stands in quotes is text."""
    read = value_of(scalar)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    "text",
    [*TRAPS, "1" * 101, "0." + "1" * 101],
)
def test_the_traps_of_yaml_are_texts(text: str) -> None:
    """What YAML 1.1 and 1.2 read differently has no type of its own here, so a field of another type refuses it."""
    assert text == value_of(text)


def test_lines_are_known_for_every_field_and_item() -> None:
    """A field's line is that of its name, an item's that of its own."""
    source = parse_yaml("f", b"a:\n  b:\n    - 1\n    - 2\nc:\n  text\n")
    assert source.lines == {("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 1): 4, ("c",): 5}
    assert source.tree == {"a": {"b": [1, 2]}, "c": "text"}


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("${COO_TTL}", 30),
        ('"${COO_TTL}"', "30"),
        ("1${COO_TTL}", 130),
        ("${COO_TTL}s", "30s"),
        ("${COO_EMPTY}", None),
        ('"${COO_EMPTY}"', ""),
        ("${COO_UNSET:-true}", True),
        ("${COO_EMPTY:-7}", 7),
        ("${COO_TTL:-7}", 30),
        ("${COO_UNSET:-}", None),
        ('"$${COO_TTL}"', "${COO_TTL}"),
        ("a$$b$c$", "a$b$c$"),
        ("${COO_TRICK}", "x\nb: {c: ${COO_TTL}}"),
    ],
)
def test_variables_are_put_in_after_the_parsing(scalar: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare scalar is typed with its variables replaced, a quoted one stays text, and no value adds structure."""
    monkeypatch.setenv("COO_TTL", "30")
    monkeypatch.setenv("COO_EMPTY", "")
    monkeypatch.setenv("COO_TRICK", "x\nb: {c: ${COO_TTL}}")
    monkeypatch.delenv("COO_UNSET", raising=False)
    assert value == value_of(scalar)


def test_a_missing_variable_is_named_with_its_line_and_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which variable to set, and how to do without; every missing one is told at once."""
    monkeypatch.delenv("COO_UNSET", raising=False)
    expected = "environment variable COO_UNSET is not set; set it, or write ${COO_UNSET:-default}"
    assert message_of("a:\n  b: ${COO_UNSET}\n  c:\n    - '${COO_UNSET}'\n").splitlines() == [
        f"f:2: a.b: the {expected}",
        f"f:4: a.c[0]: the {expected}",
    ]


@pytest.mark.parametrize("text", ["${", "${1}", "${A-b}", "${A:?x}", "${A", "${}", "${A.b}"])
def test_a_broken_variable_is_refused(text: str) -> None:
    """What begins like a variable and is none is no text by accident."""
    assert message_of(f"a: '{text}{CANARY}'").startswith("f:1: a: `${` begins no variable")
    assert CANARY not in message_of(f"a: '{text}{CANARY}'")


def test_a_name_stands_once() -> None:
    """Both lines of a doubled name are told, however often it stands."""
    assert message_of("a:\n  b: 1\n  c: 2\n  b: 3\n  'b': 4\n").splitlines() == [
        "f:4: a.b: stands on line 2 and again on line 4; remove one",
        "f:5: a.b: stands on line 2 and again on line 5; remove one",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: &x 1", "f:1:4: anchors"),
        ("a: *x", "f:1:4: anchors"),
        ("a: &x {b: 1}", "f:1:4: anchors"),
        ("a: !!str 1", "f:1:4: tags"),
        ("a: ! 1", "f:1:4: tags"),
        ("a: !!python/object/apply:os.system ['true']", "f:1:4: tags"),
        ("a: 1\n<<: {b: 2}", "f:2: ?: merge keys"),
        ("? [a]\n: 1", "f:1: holds a name that is no text"),
        ("b: 1\n---\nc: 2", "f:2:1: expected a single document"),
        ("a:\n\t- 1", "f:2:1: found character text that cannot start any token"),
        ("a: 'x", "f:1:6: while scanning a quoted scalar (line 1)"),
        ("a: [", "f:1:5: while parsing a flow node"),
        ("a: b: c", "f:1:5: mapping values"),
        ('a: "\\q"', "f:1:6: while scanning a double-quoted scalar"),
        ('a: "\\UFFFFFFFF"', "f: holds an escape"),
        ("%YAML 1." + "9" * 5000 + "\n--- {}", "f: holds an escape"),
        ("a: 1\nb: \x01", "f:2: holds a control character"),
        ("a: " + "[" * 100_000, "f:1:19: is nested deeper than 16 levels"),
        ("", "f: is empty"),
        ("# only a remark", "f: is empty"),
        ("null", "f: is empty"),
        ("---\n...", "f: is empty"),
        ("\n- a", "f:2: must be a mapping that begins with `storage:` or `policy:`, got a list"),
        ("a text", "f:1: must be a mapping that begins with `storage:` or `policy:`, got a single value"),
        ("''", "f:1: must be a mapping"),
    ],
)
def test_what_is_refused_is_told_with_its_place(text: str, place: str) -> None:
    """Each of these ends in one line that begins with the file, and the line and column where they are known."""
    message = message_of(text)
    assert [place] == [line[: len(place)] for line in message.splitlines()]


def test_tabs_have_their_own_way_out() -> None:
    """The commonest fault of all is told what to do about it."""
    assert message_of("a:\n\t- 1").endswith("indent with spaces")


@pytest.mark.parametrize(
    "text",
    [
        f"a: !{CANARY}!x y",
        f"a: !<{CANARY}> y",
        f"a: *{CANARY}",
        f"a: &{CANARY} x\n",
        f"a: &{CANARY}",
        f"a: '{CANARY}",
        f"a: {CANARY}: {CANARY}",
        f"a: %{CANARY}",
        f"a: @{CANARY}",
        f"a: `{CANARY}",
        f'a: "\\x{CANARY}"',
        f"a: |{CANARY}",
        f"a: [{CANARY}",
        f"%TAG !{CANARY}! x\n%TAG !{CANARY}! y\n--- {{}}",
        f"{CANARY}",
        f"- {CANARY}",
    ],
)
def test_a_message_about_syntax_repeats_nothing_of_the_file(text: str) -> None:
    """PyYAML's own messages quote the file; ours do not."""
    assert message_of(text)
    assert CANARY not in message_of(text)


@given(st.lists(st.sampled_from(["hunter2.canary", *":-[]{}&*!%'\"\\ \n\t#|>?,<@`"]), max_size=12))
def test_no_message_repeats_what_is_no_name_of_ours(pieces: list[str]) -> None:
    """Wherever in the syntax a text stands, no message holds it."""
    assert "hunter2" not in message_of("".join(pieces))


def test_a_message_keeps_the_marks_of_punctuation() -> None:
    """What PyYAML expected is told in its own words, so far as these are no piece of the file."""
    assert message_of("a: {b: ${C}}").startswith(
        "f:1:9: while parsing a flow mapping (line 1), expected ',' or '}', but got '{'"
    )


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"a: 1\nb: \xff", "f:2: is not UTF-8"),
        ("a: 1".encode("utf-16"), "f:1: is not UTF-8"),
        (b"\xef\xbb\xbfa: 1", "f: begins with a byte order mark"),
        (b"#" * (MAX_BYTES + 1), "f: is longer than 256 KiB"),
    ],
)
def test_the_content_is_utf_8_of_a_bounded_length(raw: bytes, place: str) -> None:
    """Other encodings, a byte order mark and a long file are refused, and told how to save it."""
    assert message_of(raw).startswith(place)


def test_a_file_of_the_greatest_length_is_read() -> None:
    """The bound is the first length that is too long."""
    assert parse_yaml("f", b"a: 1\n".ljust(MAX_BYTES, b"#")).tree == {"a": 1}


def test_a_bomb_of_aliases_ends_at_its_first_anchor() -> None:
    """Nothing is expanded: eighteen levels are refused at the first."""
    levels = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 18)]
    refusal = "anchors and aliases are not read; write the value out, or in quotes if it is a text"
    assert message_of("\n".join(levels)) == f"f:1:5: {refusal}"


def test_a_file_that_cannot_be_opened_is_a_fault(tmp_path: Path) -> None:
    """A missing file, a directory and a path that no file can have are told and not raised."""
    for path, reason in (
        (tmp_path / "no.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        ("a\0b", "the path is not valid"),
    ):
        source = read_yaml(path)
        assert f"{path}: cannot be read: {reason}" == source.describe(source.faults)


def test_a_file_is_read_under_its_own_name(tmp_path: Path) -> None:
    """What messages call the file is the path that was given."""
    path = tmp_path / "coo.yaml"
    path.write_text("a: 1\n")
    assert str(path) == read_yaml(path).name
    assert read_yaml(path).tree == {"a": 1}


@given(st.binary(max_size=300) | st.text(alphabet="a:-[]{}&*!%\"'\\ \n\t#|>?,<U0x9$~", max_size=60).map(str.encode))
def test_no_content_raises(raw: bytes) -> None:
    """Whatever the bytes, they are values or faults."""
    source = parse_yaml("f", raw)
    assert isinstance(source.tree, dict)
    assert source.tree != {} or source.faults or yaml.safe_load(raw) == {}


@given(st.dictionaries(st.text("abc", min_size=1), st.integers() | st.booleans() | st.text("xyz$ \n'\"") | st.none()))
def test_safe_yaml_is_read_as_pyyaml_reads_it(tree: dict[str, object]) -> None:
    """Where PyYAML's writer and this reader meet, they agree."""
    raw = yaml.safe_dump(tree).encode().replace(b"$", b"$$")
    assert tree == parse_yaml("f", raw).tree
