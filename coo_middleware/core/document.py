"""A request's content as one JSON document, or the reason why it is none.

Two parsers must never read one document differently (Bishop Fox's survey of 49 parsers found that they do), so only
the subset on which all of them agree is understood; the rest is forwarded as it came and never cached.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Final, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Document: TypeAlias = dict[str, Json]

MAX_DEPTH: Final = 64
MAX_NUMBER: Final = 2**53

_SURROGATE: Final = re.compile(rb"\\u[dD]")


class DocumentError(ValueError):
    """The content is outside the agreed subset; `reason` is one short word that is safe to show and to count."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_document(raw: bytes) -> Document:
    """The JSON object in `raw`, numbers in one spelling (`1.0` is `1`). Raises DocumentError."""
    value = _decode(_text(raw), _DOCUMENTS)
    if not isinstance(value, dict):
        raise DocumentError("not-an-object")
    _check_depth(value)
    # Only an escape can bring a lone surrogate, and members that are no part of a cache key are never written.
    if b"\\" in raw and _SURROGATE.search(raw):
        canonical_json(value)
    return value


def read_json(text: str | bytes) -> Json:
    """The JSON value in an answer, or None where it has none: an answer is judged, never refused.

    Numbers may be of any size: providers send seeds of 64 bits and log probabilities near -1e38.
    """
    try:
        return _decode(text if isinstance(text, str) else _text(text), _ANSWERS)
    except DocumentError:
        return None


def canonical_json(value: Json, *, ordered: bool = False) -> bytes:
    """One spelling per value: UTF-8, no white space, members sorted unless `ordered`. Raises DocumentError."""
    if type(value) is int or (type(value) is float and isfinite(value)):
        # What the encoder writes as well, which is slow to start.
        return repr(value).encode()
    try:
        return (_IN_ORDER if ordered else _SORTED).encode(value).encode()
    except UnicodeEncodeError:
        raise DocumentError("surrogate") from None


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise DocumentError("not-utf-8") from None


def _decode(text: str, decoder: json.JSONDecoder) -> Json:
    if text.startswith("\ufeff"):
        raise DocumentError("byte-order-mark")
    try:
        value: Json = decoder.decode(text)
    except RecursionError:
        raise DocumentError("depth") from None
    except json.JSONDecodeError:
        raise DocumentError("not-json") from None
    return value


def _members(pairs: list[tuple[str, Json]]) -> Document:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DocumentError("duplicate-name")
    return members


def _integer(text: str) -> int:
    # 2^53 has 16 digits; a longer text never reaches int(), whose digit limit raises.
    if len(text) > 17 or abs(value := int(text)) > MAX_NUMBER:
        raise DocumentError("number-range")
    return value


def _fraction(text: str) -> int | float:
    value = float(text)
    # At 2^53 a fraction's text may have been rounded: 9007199254740993.0 is read as 9007199254740992.
    if abs(value) >= MAX_NUMBER or (value == 0.0 and text.lower().partition("e")[0].strip("-0.")):
        raise DocumentError("number-range")
    return int(value) if value.is_integer() else value


def _number(text: str) -> int | float:
    # A longer text may reach the digit limit of int(), which raises.
    return int(text) if len(text) <= 40 else float(text)


def _constant(_: str) -> Json:
    raise DocumentError("not-a-number")


def _check_depth(document: Document) -> None:
    level: list[Document | list[Json]] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise DocumentError("depth")


def _encoder(*, sorts: bool) -> json.JSONEncoder:
    # No value that was read can hold itself.
    return json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), sort_keys=sorts
    )


_SORTED: Final = _encoder(sorts=True)
_IN_ORDER: Final = _encoder(sorts=False)
_DOCUMENTS: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
_ANSWERS: Final = json.JSONDecoder(object_pairs_hook=_members, parse_int=_number, parse_constant=_constant)
