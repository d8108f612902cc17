"""What a store promises about purges; part of the contracts."""

# ruff: noqa: S101, SIM300 -- this module is tests
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from coo_middleware.core.labels import MOST_AT_ONCE, MOST_LABELS, Purges
from coo_middleware.stores import HEAD_BYTES, CachePage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.stores import RuntimeStore

_PURGED: Final = (["tag:a"], ["tag:b", "model:gpt 4:x"], ["tag:a", "namespace:"], ["key:1ключ", "caller:anonymous"])


class PurgePromises:
    """For every store."""

    async def test_purges_begin_with_nothing_purged(self, store: RuntimeStore) -> None:
        """A new store has purged no label, has a generation, and keeps it."""
        purges = await store.get_purges(0)

        assert {} == purges.labels
        assert 0 < purges.floor == purges.generation
        assert purges == await store.get_purges(0)

    async def test_purges_are_kept_by_label(self, store: RuntimeStore) -> None:
        """Every purge has the next generation, which stands beside each of its labels, whatever characters it has."""
        model = await store.get_purges(0)
        for labels in _PURGED:
            model = model.purge(labels)
            assert model.generation == await store.purge(labels)

        assert model == await store.get_purges(0)

    async def test_purges_of_everything(self, store: RuntimeStore) -> None:
        """A purge of everything leaves no label to be remembered, also where it names others; later ones are."""
        model = await store.get_purges(0)
        for labels in (["tag:a"], ["tag:b", "all"], ["tag:c"]):
            model = model.purge(labels)
            await store.purge(labels)

        assert model == await store.get_purges(0)

    async def test_purges_bring_up_to_date_whoever_asks(self, store: RuntimeStore) -> None:
        """Whoever knows what there was at some time, or in another sequence, knows all after merging the news."""
        known = [Purges(), Purges(2**60, 2**60), await store.get_purges(0)]
        for labels in (["tag:a"], ["tag:b"], ["all"], ["tag:a"]):
            await store.purge(labels)
            known.append(await store.get_purges(0))

        assert [known[-1]] * len(known) == [each.merge(await store.get_purges(each.generation)) for each in known]


class FullPurgePromises:
    """For a store that overrides the defaults, as all of ours do."""

    async def test_purges_at_the_same_moment_are_all_kept(self, store: RuntimeStore) -> None:
        """Every purge has a generation of its own, and none is lost."""
        generations = await asyncio.gather(*(store.purge([f"tag:{number}"]) for number in range(50)))

        assert 50 == len({*generations})
        assert {f"tag:{number}": each for number, each in enumerate(generations)} == (await store.get_purges(0)).labels

    async def test_purges_give_the_news_only(self, store: RuntimeStore) -> None:
        """Whoever knows all but the last purge is told of that one, and whoever knows all of none."""
        before = await store.purge(["tag:a"])
        now = await store.purge(["tag:b"])

        assert [{"tag:b": now}, {}] == [(await store.get_purges(each)).labels for each in (before, now)]

    async def test_purges_are_bounded(self, store: RuntimeStore) -> None:
        """Beyond so many labels, those purged longest ago become a purge of all that is older."""
        model = await store.get_purges(0)
        for number in range(MOST_LABELS // MOST_AT_ONCE + 1):
            labels = [f"tag:{number}-{each}" for each in range(MOST_AT_ONCE if number != 3 else 7)]
            model = model.purge(labels)
            await store.purge(labels)

        assert MOST_LABELS >= len(model.labels)
        assert model == await store.get_purges(0)

    async def test_responses_are_listed(self, store: RuntimeStore) -> None:
        """Every stored response is listed by its key and how it begins, on as many pages as that takes."""
        responses = {f"key-{number}": b"%d" % number * HEAD_BYTES for number in range(30)}
        await asyncio.gather(*(store.set_cache(key, value, 600) for key, value in responses.items()))
        pages = [await store.list_cache()]
        while (page := pages[-1]) is not None and page.cursor:
            pages.append(await store.list_cache(page.cursor))

        assert {key: value[:HEAD_BYTES] for key, value in responses.items()} == _listed(pages)


def _listed(pages: Sequence[CachePage | None]) -> dict[str, bytes]:
    return {key: head for page in pages if page is not None for key, head in page.responses}
