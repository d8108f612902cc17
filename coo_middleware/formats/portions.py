"""Requests whose inputs stand in a list, taken apart and put together: embeddings and reranking.

It is done only where every member of the request is known to say the same for each input alone: one such as Jina's
`late_chunking`, by which inputs are read together, keeps a request whole, and so does one that nobody has heard of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.document import Document, Json
from coo_middleware.core.format import Portions
from coo_middleware.core.shares import add_counts, share_counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Path: TypeAlias = tuple[str, ...]
Columns: TypeAlias = "dict[Path, list[Json]]"

# An answer that is a list itself is read as an object with this one member.
BARE: Final = ""

# Where the text of an input stands in what names it.
_TEXTS: Final = ("content", "parts", "text")


@dataclass(frozen=True, slots=True)
class Listing:
    """Where inputs and what is said of them stand.

    Of `inputs` one member of the request lists them, beside which there are none but `known` ones; `fits` says whether
    they can be taken apart. `limits` are members that say how much of the answer comes, and go from what is asked for
    single inputs; `common` are read with each input and count as long as it. `items` are members of the answer that
    list one item for each input, or objects of such lists; `told` its counters of all of them; `indexed`: an item tells
    the place of its input.
    """

    inputs: tuple[str, ...]
    known: frozenset[str]
    fits: Callable[[Document, list[Json]], bool]
    items: tuple[str, ...]
    told: tuple[str, ...]
    limits: frozenset[str] = frozenset()
    common: str = ""
    indexed: bool = False


def make_portions(listing: Listing) -> Portions:
    """The portions of a format that lists its inputs."""
    return Portions(
        split=partial(_split, listing),
        pick=partial(_pick, listing),
        weigh=partial(_weigh, listing),
        divide=partial(_divide, listing),
        join=partial(_join, listing),
    )


def are_texts(_: Document, items: list[Json]) -> bool:
    """Whether all inputs are texts."""
    return all(isinstance(item, str) for item in items)


def are_texts_or_tokens(document: Document, items: list[Json]) -> bool:
    """Whether all inputs are texts, or all are lists of tokens: a bare list of tokens is one input."""
    return are_texts(document, items) or all(isinstance(item, list) and item and _are_tokens(item) for item in items)


def open_answer(answer: Json) -> Document:
    """The answer as an object, {} for what is none."""
    if isinstance(answer, list):
        return {BARE: answer}
    return answer if isinstance(answer, dict) else {}


def close_answer(members: Document) -> Json:
    """The answer that `open_answer` has opened."""
    return members.get(BARE, members)


def normalize_only_input(value: Json) -> Json:
    """A list of one input is that input: both are answered alike."""
    only = value[0] if isinstance(value, list) and len(value) == 1 else None
    return only if isinstance(only, str) or (isinstance(only, list) and only and _are_tokens(only)) else value


def _are_tokens(items: list[Json]) -> bool:
    return all(type(item) is int for item in items)


def _find(listing: Listing, document: Document) -> tuple[str, list[Json]] | None:
    """The member that lists the inputs, and them."""
    given = [name for name in listing.inputs if document.get(name) is not None]
    if len(given) != 1 or not document.keys() <= listing.known.union(given, listing.limits):
        return None
    items = document[given[0]]
    return (given[0], items) if isinstance(items, list) and items and listing.fits(document, items) else None


def _split(listing: Listing, document: Document) -> list[Document] | None:
    found = _find(listing, document)
    if found is None or len(found[1]) < 2:
        return None
    name, items = found
    rest = {member: value for member, value in document.items() if member not in listing.limits}
    return [{**rest, name: [item]} for item in items]


def _pick(listing: Listing, document: Document, places: Sequence[int]) -> Document:
    found = _find(listing, document)
    if found is None:
        return document
    name, items = found
    rest = {member: value for member, value in document.items() if member not in listing.limits}
    return {**rest, name: [items[place] for place in places]}


def _weigh(listing: Listing, document: Document) -> list[int]:
    """The length of each input: bytes of text, or tokens."""
    found = _find(listing, document)
    common = _measure(document.get(listing.common)) if listing.common else 0
    return [] if found is None else [common + _measure(item) for item in found[1]]


def _measure(item: Json) -> int:
    if isinstance(item, str):
        return len(item.encode(errors="replace"))
    if isinstance(item, dict):
        texts = [item[name] for name in _TEXTS if name in item] or item.values()
        return sum(map(_measure, texts))
    return sum(1 if type(each) is int else _measure(each) for each in item) if isinstance(item, list) else 0


def _divide(listing: Listing, document: Document, answer: Json) -> list[Json] | None:
    told, weights = open_answer(answer), _weigh(listing, document)
    columns = _read_columns(listing, told)
    if listing.indexed:
        columns = {path: _order(items) for path, items in columns.items()}
    if not weights or not columns or any(len(items) != len(weights) for items in columns.values()):
        return None
    shares = [(name, share_counts(told[name], weights)) for name in listing.told if name in told]
    return [
        _write(
            {**told, **{name: counts[place] for name, counts in shares}},
            {path: [items[place]] for path, items in columns.items()},
        )
        for place in range(len(weights))
    ]


def _join(listing: Listing, document: Document, answers: Sequence[Json], place: int) -> Json:
    del document
    opened = list(map(open_answer, answers))
    each = [_read_columns(listing, told) for told in opened]
    # Vectors of two models are not to be compared, whatever name was asked for.
    models = {str(told.get("model")) for told in opened}
    if len(models) > 1 or not each[0] or any(columns.keys() != each[0].keys() for columns in each):
        return None
    if any(len(items) != 1 for columns in each for items in columns.values()):
        return None
    joined = {path: [columns[path][0] for columns in each] for path in each[0]}
    if listing.indexed:
        joined = {path: _number(items) for path, items in joined.items()}
    counts = {
        name: add_counts([told[name] for told in opened if name in told])
        for name in listing.told
        if name in opened[place]
    }
    return _write({**opened[place], **counts}, joined)


def _read_columns(listing: Listing, told: Document) -> Columns:
    """The lists of one item for each input. An empty one is of inputs that were not asked for."""
    columns: Columns = {}
    for name in listing.items:
        value = told.get(name)
        kinds = value.items() if isinstance(value, dict) else ()
        lists = [((name,), value), *(((name, kind), vectors) for kind, vectors in kinds)]
        columns |= {path: vectors for path, vectors in lists if isinstance(vectors, list) and vectors}
    return columns


def _write(told: Document, columns: Mapping[Path, list[Json]]) -> Json:
    members = dict(told)
    for (name, *kind), items in columns.items():
        inner = members[name]
        members[name] = {**inner, kind[0]: items} if kind and isinstance(inner, dict) else items
    return close_answer(members)


def _order(items: list[Json]) -> list[Json]:
    """Items in the order of their inputs, [] where they do not tell it: a wrong vector is worse than none. Where none
    tells it, it is theirs; where some do, 0 goes without saying, as in all of Google's JSON.
    """
    objects = [item for item in items if isinstance(item, dict)]
    indexes = [item.get("index", 0) for item in objects]
    if len(objects) < len(items) or not any("index" in item for item in objects):
        return items
    placed = {index: item for index, item in zip(indexes, objects, strict=True) if type(index) is int}
    return (
        [{**placed[place], "index": 0} for place in sorted(placed)] if placed.keys() == set(range(len(items))) else []
    )


def _number(items: list[Json]) -> list[Json]:
    return [
        {**item, "index": place} if isinstance(item, dict) and "index" in item else item
        for place, item in enumerate(items)
    ]
