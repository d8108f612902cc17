"""By what stored responses can be purged, and what a store remembers of purges.

A purge touches no response: it takes the next number of the store's sequence, the generation, and notes it beside its
labels. A response carries the generation that was known when its request began; a purge of one of its labels in a
later generation has purged it. Nothing here depends on a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from coo_middleware.core.document import Json
    from coo_middleware.core.entry import Entry

ALL: Final = "all"
KINDS: Final = ("namespace", "caller", "model", "tag", "key")
MOST_LABELS: Final = 10_000
MOST_AT_ONCE: Final = 1_000
# A sequence begins at a random multiple of 2^20 below 2^53, so that two of them do not meet, and JSON has the numbers.
START_BITS: Final = 32
_SPACING: Final = 2**20

_LONGEST_NAME: Final = 256

Names: TypeAlias = "Callable[[str], Iterable[str]]"


def _bare(key: str) -> tuple[str, ...]:
    return (key,)


class LabelError(ValueError):
    """What was given is no label. The text says what one is, and shows nothing of what came."""


@dataclass(frozen=True, slots=True)
class Purges:
    """What was purged up to `generation`: everything from before `floor`, and what has one of `labels` from before the
    generation that stands beside it.
    """

    generation: int = 0
    floor: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)

    def is_purged(self, entry: Entry, names: Names = _bare) -> bool:
        """Whether `entry` must not be reused; `names` are those of `labels_of`. One from a later generation than any
        that is known is of a sequence that was lost, and nobody can tell what was purged since.
        """
        if not self.floor <= entry.generation <= self.generation:
            return True
        # Most of the time nothing was purged since, or nothing that anything in here still could have.
        if entry.generation == self.generation or not self.labels:
            return False
        return any(self.labels.get(label, 0) > entry.generation for label in labels_of(entry, names))

    def purge(self, labels: Collection[str]) -> Purges:
        """After one more purge. Beyond MOST_LABELS the labels that were purged longest ago become a purge of everything
        that is older than that.
        """
        generation = self.generation + 1
        if ALL in labels:
            return Purges(generation, generation)
        known = {**self.labels, **dict.fromkeys(labels, generation)}
        surplus = len(known) - MOST_LABELS
        floor = sorted(known.values())[surplus - 1] if surplus > 0 else self.floor
        return Purges(generation, floor, _above(floor, known))

    def since(self, generation: int) -> Purges:
        """What somebody lacks who knows all up to `generation`: everything, where that is none of this sequence."""
        if generation == self.generation:
            return Purges(generation, self.floor)
        if not self.floor <= generation <= self.generation:
            return self
        return Purges(self.generation, self.floor, _above(generation, self.labels))

    def merge(self, news: Purges) -> Purges:
        """This, brought up to date by what a store gave `since` this generation."""
        if news.generation == self.generation:
            return self
        if news.generation < self.generation:
            return news
        return Purges(news.generation, news.floor, _above(news.floor, {**self.labels, **news.labels}))

    def document(self) -> dict[str, Json]:
        """As a JSON object."""
        return {"generation": self.generation, "floor": self.floor, "labels": dict(self.labels)}


def begin_purges(number: int) -> Purges:
    """A new sequence; `number` is random, of START_BITS bits. What was stored under another one counts as purged."""
    start = (number + 1) * _SPACING
    return Purges(start, start)


def read_purges(document: Json) -> Purges:
    """What `Purges.document` gave. Raises ValueError for anything else."""
    if isinstance(document, dict) and document.keys() == {"generation", "floor", "labels"}:
        labels = document["labels"]
        generations = labels.values() if isinstance(labels, dict) else [None]
        numbers = [document["generation"], document["floor"], *generations]
        if all(type(each) is int for each in numbers):
            return Purges(*cast("tuple[int, int, dict[str, int]]", (*numbers[:2], labels)))
    raise ValueError("purges: must be an object of generation, floor and labels, the numbers whole")


def labels_of(entry: Entry, names: Names = _bare) -> tuple[str, ...]:
    """All labels under which `entry` can be purged but ALL; its key is what Plan.key is, by all the `names` under which
    it may lie in the store.
    """
    return (
        f"namespace:{entry.namespace}",
        f"caller:{entry.caller}",
        f"model:{entry.model}",
        *(f"key:{name}" for name in names(f"1{entry.digest.hex()}")),
        *(f"tag:{tag}" for tag in entry.tags),
    )


def check_labels(labels: Collection[str]) -> None:
    """Raises LabelError unless there are 1 to MOST_AT_ONCE labels: `all`, or a kind, a colon and a name, as in
    `tag:docs`. Only a namespace's name may be empty: that is the one where none is configured.
    """
    if not 1 <= len(labels) <= MOST_AT_ONCE:
        raise LabelError(f"labels: must be 1 to {MOST_AT_ONCE}; purge the rest with another call")
    if not all(map(_is_label, labels)):
        kinds = ", ".join(f"{kind}:…" for kind in KINDS)
        raise LabelError(f"labels: must be {ALL} or {kinds}, with at most {_LONGEST_NAME} printable characters each")


def _is_label(text: str) -> bool:
    kind, colon, name = text.partition(":")
    if not colon:
        return text == ALL
    return kind in KINDS and len(name) <= _LONGEST_NAME and name.isprintable() and bool(name or kind == "namespace")


def _above(generation: int, labels: Mapping[str, int]) -> dict[str, int]:
    return {label: purged for label, purged in labels.items() if purged > generation}
