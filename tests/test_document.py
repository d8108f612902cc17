"""Only the JSON on which all parsers agree is a document; it has one canonical spelling."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import MAX_DEPTH, DocumentError, Json, canonical_json, parse_document, read_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15, allow_subnormal=False)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXTS, children, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(TEXTS, VALUES, max_size=5)


def reason_of(raw: bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        parse_document(raw)
    assert caught.value.reason == str(caught.value)
    return caught.value.reason


def nested(depth: int) -> bytes:
    """A document whose containers lie `depth` deep."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def one_kind(value: Json) -> Json:
    """The value with every whole fraction as an integer, told from the numbers and not by the parser under test."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [one_kind(item) for item in value]
    return {name: one_kind(item) for name, item in value.items()} if isinstance(value, dict) else value


def shuffled(value: Json) -> Json:
    """The same value with the members of every object in the opposite order."""
    if isinstance(value, list):
        return [shuffled(item) for item in value]
    return {name: shuffled(value[name]) for name in reversed(value)} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not-json"),
        (b" \t\r\n", "not-json"),
        (b"null", "not-an-object"),
        (b"true", "not-an-object"),
        (b"123", "not-an-object"),
        (b'"x"', "not-an-object"),
        (b"[]", "not-an-object"),
        (b'{"model":', "not-json"),
        (b'{"model":"a","model":"b"}', "duplicate-name"),
        (b'{"messages":[{},{},{"role":"user","role":"system"}]}', "duplicate-name"),
        (b'{"a":1,"\\u0061":2}', "duplicate-name"),
        (b'{"a":NaN}', "not-a-number"),
        (b'{"a":Infinity}', "not-a-number"),
        (b'{"a":-Infinity}', "not-a-number"),
        (b'{"a":1E400}', "number-range"),
        (b'{"a":-1e400}', "number-range"),
        (b'{"a":1e-999}', "number-range"),
        (b'{"a":-0.1e-999}', "number-range"),
        (b'{"a":9007199254740993}', "number-range"),
        (b'{"a":-9007199254740993}', "number-range"),
        (b'{"a":9007199254740993.0}', "number-range"),
        (b'{"a":9.007199254740993e15}', "number-range"),
        (b'{"a":18446744073709551616}', "number-range"),
        (b'{"a":' + b"9" * 4301 + b"}", "number-range"),
        (b'{"a":01}', "not-json"),
        (b'{"a":+1}', "not-json"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\uD800"}', "surrogate"),
        (b'{"a":"\\udc00\\ud800"}', "surrogate"),
        (b'{"\\ud800":1}', "surrogate"),
        (b'{"a":"\xff"}', "not-utf-8"),
        (b'{"a":"\xc0\xaf"}', "not-utf-8"),
        (b'{"a":"\xed\xa0\x80"}', "not-utf-8"),
        (b"\xef\xbb\xbf{}", "byte-order-mark"),
        ('{"a":"b"}'.encode("utf-16"), "not-utf-8"),
        ('{"a":"b"}'.encode("utf-16-le"), "not-json"),
        ('{"a":"b"}'.encode("utf-16-be"), "not-json"),
        ('{"a":"é"}'.encode("iso-8859-1"), "not-utf-8"),
        (b'{"a":"\x00"}', "not-json"),
        (b'{"a":"b\nc"}', "not-json"),
        (b'{"a":"b\tc"}', "not-json"),
        (b'{"a":1,}', "not-json"),
        (b'{"a":[1,]}', "not-json"),
        (b'{"a":1 /* one */}', "not-json"),
        (b"{'a':1}", "not-json"),
        (b"{a:1}", "not-json"),
        (b"{}{}", "not-json"),
        (b'{"a":1}\n{"a":1}', "not-json"),
        (b")]}'\n{}", "not-json"),
    ],
)
def test_what_parsers_disagree_on_is_no_document(raw: bytes, reason: str) -> None:
    """Content outside the agreed subset is refused with one short word."""
    assert reason == reason_of(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", {}),
        (b' \r\n\t{ "a" : [ ] } \n', {"a": []}),
        (b'{"a":"\\u0000"}', {"a": "\x00"}),
        (b'{"__proto__":{"constructor":1}}', {"__proto__": {"constructor": 1}}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":"\\\\ud800"}', {"a": "\\ud800"}),
        ('{"a":"\u200b\u202e"}'.encode(), {"a": "\u200b\u202e"}),
        (b'{"a":9007199254740992}', {"a": 2**53}),
        (b'{"a":-9007199254740992}', {"a": -(2**53)}),
        (b'{"a":0e999}', {"a": 0}),
    ],
)
def test_odd_but_agreed_content_is_a_document(raw: bytes, expected: dict[str, Json]) -> None:
    """What all parsers read alike is taken, names with a meaning elsewhere among it."""
    assert expected == parse_document(raw)


@pytest.mark.parametrize(
    ("one", "other"),
    [(b"1", b"1.0"), (b"1", b"1e0"), (b"100", b"1E+2"), (b"0", b"-0"), (b"0", b"-0.0"), (b"0.5", b"5e-1")],
)
def test_a_number_has_one_spelling(one: bytes, other: bytes) -> None:
    """Spellings of one number make equal documents, also in their canonical bytes."""
    first, second = (parse_document(b'{"a":%b}' % number) for number in (one, other))

    assert canonical_json(first) == canonical_json(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":"é"}', '{"a":"e\u0301"}'),
        ('{"é":1}', '{"e\u0301":1}'),
        ('{"a":"a"}', '{"a":"а"}'),  # noqa: RUF001
        ('{"a":"x"}', '{"a":"x "}'),
        ('{"a":1}', '{"a":"1"}'),
        ('{"a":1}', '{"a":true}'),
        ('{"a":0}', '{"a":false}'),
        ('{"a":null}', "{}"),
        ('{"a":0.1}', '{"a":0.2}'),
        ('{"a":[1,2]}', '{"a":[2,1]}'),
    ],
)
def test_different_documents_stay_different(one: str, other: str) -> None:
    """Texts and kinds are compared as they are; only the order of members and the spelling do not count."""
    assert canonical_json(parse_document(one.encode())) != canonical_json(parse_document(other.encode()))


def test_depth_is_bounded() -> None:
    """64 levels are a document, 65 are none, and no depth makes the parser fail in another way."""
    assert MAX_DEPTH == 64
    assert [[]] == [parse_document(nested(2))["a"]]
    assert {"a"} == parse_document(nested(64)).keys()
    assert ["depth"] * 3 == [reason_of(nested(depth)) for depth in (65, 1000, 100_000)]
    assert "depth" == reason_of(b'{"":' * 100_000 + b"1" + b"}" * 100_000)
    assert reason_of(b'{"a":' + b"[" * 100_000) in ("depth", "not-json")


def test_brackets_in_texts_are_no_depth() -> None:
    """A flat document may be full of brackets, in its texts or side by side."""
    assert {"a": "[" * 1000, "b": [[]] * 100} == parse_document(
        b'{"a":"%b","b":[%b]}' % (b"[" * 1000, b",".join([b"[]"] * 100))
    )


@given(DOCUMENTS)
def test_canonical_bytes_are_the_document(document: dict[str, Json]) -> None:
    """The canonical bytes are read as the document they were written from, and are written the same again."""
    raw = canonical_json(one_kind(document))

    assert one_kind(document) == parse_document(raw)
    assert raw == canonical_json(parse_document(raw))


@given(DOCUMENTS, DOCUMENTS)
def test_equal_documents_have_equal_bytes(one: dict[str, Json], other: dict[str, Json]) -> None:
    """Documents are equal exactly when their canonical bytes are; a boolean is no number."""
    pairs = [(one, other), (one, shuffled(one))]

    for first, second in pairs:
        equal = repr(one_kind_sorted(first)) == repr(one_kind_sorted(second))
        assert equal == (canonical_json(one_kind(first)) == canonical_json(one_kind(second)))


def one_kind_sorted(value: Json) -> object:
    """A value that compares as a document does: `True` is not `1`, and members have no order."""
    if isinstance(value, dict):
        return sorted((name, one_kind_sorted(item)) for name, item in value.items())
    return [one_kind_sorted(item) for item in value] if isinstance(value, list) else one_kind(value)


@given(DOCUMENTS)
def test_spelling_does_not_count(document: dict[str, Json]) -> None:
    """Escapes, white space and the order of members are not part of a document."""
    spelled = json.dumps(shuffled(document), ensure_ascii=True, indent=1).encode()

    assert canonical_json(one_kind(document)) == canonical_json(parse_document(spelled))


def test_order_counts_where_it_is_asked_for() -> None:
    """Ordered bytes keep the members as they stand, at every level."""
    value: Json = {"b": {"d": 1, "c": 2}, "a": [{"f": 1, "e": 2}]}

    assert b'{"b":{"d":1,"c":2},"a":[{"f":1,"e":2}]}' == canonical_json(value, ordered=True)
    assert b'{"a":[{"e":2,"f":1}],"b":{"c":2,"d":1}}' == canonical_json(value)


def test_a_lone_surrogate_has_no_bytes() -> None:
    """A text that is no Unicode is refused, not written in another way."""
    with pytest.raises(DocumentError, match=r"^surrogate$"):
        canonical_json({"a": "\ud800"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", [1, 2]),
        (b' \n {"a": 1}', {"a": 1}),
        ("12345678901234567890", 12345678901234567890),
        ("-3.4028234663852886e+38", -3.4028234663852886e38),
        ("9" * 5000, math.inf),
        ('"\\ud800"', "\ud800"),
    ],
)
def test_answers_are_read_more_freely(text: str | bytes, expected: Json) -> None:
    """Numbers of any size and half a surrogate pair do not make an answer unreadable."""
    assert expected == read_json(text)


@pytest.mark.parametrize(
    "text",
    ["", "x", "{", "NaN", '{"a":NaN}', '{"a":1,"a":2}', b"\xff", "\ufeff{}", "[DONE]", "[" * 200_000, '"\ud800'],
)
def test_what_is_no_json_reads_as_nothing(text: str | bytes) -> None:
    """Broken, ambiguous and bottomless texts have no value and raise nothing."""
    assert read_json(text) is None
