"""core/labels.py: what a label is, what it purges, and what is remembered of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core import labels as module
from coo_middleware.core.entry import Entry
from coo_middleware.core.labels import (
    MOST_AT_ONCE,
    LabelError,
    Purges,
    begin_purges,
    check_labels,
    labels_of,
    read_purges,
)
from coo_middleware.core.shape import Shape

if TYPE_CHECKING:
    from coo_middleware.core.document import Json

DIGEST = b"d" * 32
LABELS = ("namespace:", "namespace:n", "caller:c", "model:m:8b", "tag:a", "tag:b", f"key:1{DIGEST.hex()}")
OTHERS = ("namespace:a", "caller:", "model:m", "tag:m:8b", f"key:{DIGEST.hex()}", "all")


def make_entry(generation: int, tags: tuple[str, ...] = (), namespace: str = "") -> Entry:
    shape = Shape(stream=False)
    named = ("openai", "key1", "m:8b", "openai.chat", shape, None, (), b"{}", 0.0, 0.0)
    return Entry(DIGEST, 1.0, 10.0, *named, generation, namespace, "c", tags)


def test_an_entry_has_a_label_for_each_of_its_names() -> None:
    """Its namespace, its caller, its model, its key as a plan has it, and each tag."""
    entry = make_entry(1, ("a", "b"), "n")

    assert ("namespace:n", "caller:c", "model:m:8b", f"key:1{DIGEST.hex()}", "tag:a", "tag:b") == labels_of(entry)


@pytest.mark.parametrize("label", [*LABELS, "all", "tag:a b", "tag:ключ", "tag:all", "tag:" + "t" * 256])
def test_a_label_is_a_kind_and_a_name(label: str) -> None:
    """A name may hold whatever can be printed, colons too."""
    check_labels([label])


@pytest.mark.parametrize(
    "label", ["", "tag", "tag:", "caller:", "Tag:a", "answer:a", ":a", "ALL", "all:", "tag:a\nb", "t" * 300]
)
def test_what_is_no_label_is_refused_and_not_shown(label: str) -> None:
    """The error says what a label is, and nothing of what came."""
    with pytest.raises(LabelError, match="labels: must be all or namespace:") as caught:
        check_labels(["tag:a", label])

    assert "t" * 300 not in str(caught.value)


@pytest.mark.parametrize("count", [0, MOST_AT_ONCE + 1])
def test_a_purge_has_some_labels_and_not_too_many(count: int) -> None:
    """None at all is a mistake, and too many are for several calls."""
    with pytest.raises(LabelError, match="must be 1 to 1000"):
        check_labels(["tag:a"] * count)


@pytest.mark.parametrize("label", LABELS)
def test_a_purge_ends_what_has_the_label_from_before(label: str) -> None:
    """An entry of a request that began before is purged, one of a request that began afterwards is not."""
    before = begin_purges(7)
    after = before.purge([label])
    namespace = "n" if label == "namespace:n" else ""
    old, new = (make_entry(each.generation, ("a", "b"), namespace) for each in (before, after))

    assert [False, True, False] == [before.is_purged(old), after.is_purged(old), after.is_purged(new)]


@pytest.mark.parametrize("label", OTHERS[:-1])
def test_a_purge_spares_what_has_other_labels(label: str) -> None:
    """A label is equal or it is not: no part, no other kind."""
    before = begin_purges(7)

    assert not before.purge([label]).is_purged(make_entry(before.generation, ("a", "b"), "n"))


def test_a_purge_of_everything_ends_everything_from_before() -> None:
    """Whatever labels it has."""
    before = begin_purges(7)
    after = before.purge(["tag:z"]).purge(["all"])

    assert [True, False] == [after.is_purged(make_entry(each.generation)) for each in (before, after)]


def test_another_sequence_ends_everything() -> None:
    """Entries of a store whose purges were lost are from before the new sequence or beyond it: nobody knows which of
    them were purged.
    """
    one, other = begin_purges(7), begin_purges(9)

    assert [True, True] == [
        one.is_purged(make_entry(other.generation)),
        other.purge(["tag:z"]).is_purged(make_entry(one.purge(["tag:z"]).generation)),
    ]


@given(st.lists(st.sets(st.sampled_from([*LABELS, "all"]), min_size=1, max_size=3), max_size=12), st.integers(0, 12))
def test_purges_agree_with_a_log(purged: list[set[str]], born: int) -> None:
    """An entry is purged exactly when a later purge has one of its labels, however many are remembered, or earlier
    where too many were; and news bring everybody to the same state.
    """
    states = [begin_purges(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_LABELS", 4)
        for each in purged:
            states.append(states[-1].purge(each))
        born = min(born, len(purged))
        entry = make_entry(states[born].generation, ("a", "b"), "n")
        is_purged = any(each & {"all", *labels_of(entry)} for each in purged[born:])
        forgotten = states[-1].floor > entry.generation

    assert (is_purged or forgotten) == states[-1].is_purged(entry)
    assert len(states[-1].labels) <= 4
    assert [states[-1]] * len(states) == [each.merge(states[-1].since(each.generation)) for each in states]


def test_purges_are_read_as_they_were_written() -> None:
    """The document holds everything, and what is none is refused."""
    purges = begin_purges(7).purge(["tag:a"])

    assert purges == read_purges(purges.document())
    changed: list[dict[str, Json]] = [{"floor": 1.5}, {"labels": {"tag:a": True}}, {"labels": None}, {"more": 1}]
    broken: list[Json] = [None, {}, *({**purges.document(), **each} for each in changed)]
    for document in broken:
        with pytest.raises(ValueError, match="purges: must be"):
            read_purges(document)


def test_an_older_store_is_believed() -> None:
    """A store that was restored from a copy knows less: what it knows counts."""
    old = begin_purges(7)
    new = old.purge(["tag:a"])

    assert old == new.merge(old.since(new.generation))
    assert new == Purges().merge(new.since(0))
