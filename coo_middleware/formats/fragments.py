"""Fragments of a streamed object, put together again.

The rule is that of the openai SDK (openai/lib/streaming/_deltas.py): texts are joined, the entries of lists are joined
where their `index` is the same and else follow one another, objects are joined member by member, and of anything else
the last value stays; null says nothing. It differs where the SDK's would spoil what providers send: labels that are
repeated stay what they are, entries of two types are two whatever their index, numbers are never added up, and pieces
of text in a list are joined with what they continue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json

# Members that name something: a fragment may repeat them, and never continues them.
_LABELS: Final = frozenset({"format", "id", "name", "role", "type"})
# Groq names the channel of each fragment, as its members do already: reasoning, content.
_LATEST: Final = frozenset({"channel"})
# Pieces of text in lists without numbers: Mistral's contents, OpenRouter's reasoning_details.
_CONTINUED: Final = ("text", "thinking", "reasoning.text", "reasoning.summary")
# What says that such a piece is at its end.
_ENDS: Final = ("signature", "closed")


class ContradictionError(ValueError):
    """The fragments cannot be of one whole, or it cannot be told which whole they are of."""


def join_fragment(whole: Document, fragment: Document) -> None:
    """Adds to `whole` what `fragment` continues. Raises ContradictionError, RecursionError where it is too deep."""
    for name, value in fragment.items():
        told = whole.get(name)
        if name in _LABELS:
            whole[name] = _repeat(told, value)
        elif value is None or told is None:
            whole[name] = _join_entries([], value) if isinstance(value, list) else told if value is None else value
        else:
            whole[name] = _join(name, told, value)


def repeat_fragment(whole: Document, fragment: Document) -> None:
    """Adds to `whole` what `fragment` tells anew or again: what is empty gives way, and of two numbers the last stays.

    Raises ContradictionError, RecursionError where it is too deep.
    """
    for name, value in fragment.items():
        whole[name] = _repeat(whole.get(name), value)


def _repeat(told: Json, value: Json) -> Json:
    if told is None or (_is_empty(told) and not _is_empty(value)):
        return value
    if _is_empty(value):
        return told
    if isinstance(told, dict) and isinstance(value, dict):
        repeat_fragment(told, value)
        return told
    if isinstance(told, int | float) and isinstance(value, int | float):
        return value
    if told != value:
        raise ContradictionError("two values of one label")
    return told


def _join(name: str, told: Json, value: Json) -> Json:
    if name in _LATEST:
        return value
    if isinstance(told, str) and isinstance(value, str):
        return _join_texts(name, told, value)
    if isinstance(told, dict) and isinstance(value, dict):
        join_fragment(told, value)
        return told
    if isinstance(told, int | float) and isinstance(value, int | float):
        return value
    if isinstance(told, list) and isinstance(value, list):
        return _join_entries(told, value)
    if name == "content" and isinstance(told, str | list) and isinstance(value, str | list):
        return _join_entries(_parts(told), _parts(value))
    raise ContradictionError("two kinds of value under one name")


def _join_texts(name: str, told: str, value: str) -> str:
    # Base64 that was padded on its own cannot be continued.
    if name == "data" and value and told.endswith("="):
        raise ContradictionError("data after its padding")
    return told + value


def _parts(content: str | list[Json]) -> list[Json]:
    """Mistral's content is a list while the model thinks, and a text from then on."""
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _join_entries(told: list[Json], fragment: list[Json]) -> list[Json]:
    open_part = _open_part(told)
    for position, entry in enumerate(fragment):
        twin = _twin(told, entry)
        if twin is None and position == 0 and open_part is not None and _continues(open_part, entry):
            twin = open_part
        if twin is not None and isinstance(entry, dict):
            join_fragment(twin, entry)
        else:
            told.append(entry)
    return told


def _twin(entries: list[Json], entry: Json) -> Document | None:
    """The entry of the same index and of no other type."""
    if not isinstance(entry, dict) or entry.get("index") is None:
        return None
    for other in reversed(entries):
        if isinstance(other, dict) and other.get("index") == entry["index"] and _agree(other, entry):
            return other
    return None


def _agree(entry: Document, other: Document) -> bool:
    kind, other_kind = entry.get("type"), other.get("type")
    return not kind or not other_kind or kind == other_kind


def _open_part(entries: list[Json]) -> Document | None:
    last = entries[-1] if entries else None
    return last if isinstance(last, dict) and not any(last.get(name) for name in _ENDS) else None


def _continues(part: Document, entry: Json) -> bool:
    if not isinstance(entry, dict) or "index" in part or "index" in entry:
        return False
    return part.get("type") == entry.get("type") and part.get("type") in _CONTINUED


def _is_empty(value: Json) -> bool:
    return value is None or value in ("", [], {})
