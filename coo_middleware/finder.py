"""What is stored and may answer a request."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from coo_middleware.core.entry import Entry, EntryError
from coo_middleware.stores import StoreBusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.adoption import Adoption
    from coo_middleware.cache import Cache
    from coo_middleware.call import Call
    from coo_middleware.portions import Shelf
    from coo_middleware.recorder import Recorder


class Finder:
    """Looks stored responses up in `cache`, those of several inputs on `shelf`. `now` is in seconds since 1970."""

    __slots__ = ("_adoption", "_cache", "_now", "_recorder", "_shelf")

    def __init__(
        self, cache: Cache, shelf: Shelf, adoption: Adoption, recorder: Recorder, now: Callable[[], float]
    ) -> None:
        self._adoption: Final = adoption
        self._cache: Final = cache
        self._now: Final = now
        self._recorder: Final = recorder
        self._shelf: Final = shelf

    async def find(self, call: Call) -> None:
        """Gives the call its reply, where there is one; else it is ready to be forwarded."""
        began = perf_counter()
        entry = await self._find_entry(call)
        call.timing.add_store_time(began)
        self._find_reply(call, entry, self._now())
        if call.plan.digest and (call.reply is None or call.revalidates):
            # After the look-up: what is purged while the upstream works must not be reused.
            began = perf_counter()
            call.generation = await self._cache.begin()
            call.timing.add_store_time(began)

    async def _find_entry(self, call: Call) -> Entry | None:
        """The entry for a request; one with several inputs may be made of several, or leave a rest to be asked for."""
        if call.batch is None:
            return await self._look_up(call)
        entry, call.rest = await self._shelf.look_up(call.batch, self._now())
        return entry

    def _find_reply(self, call: Call, entry: Entry | None, now: float) -> None:
        # What observing keeps has no content to answer with.
        usable = None if call.plan.policy.mode == "observe" else entry
        call.find_reply(usable, self._cache.render(call.plan, usable) if usable else None, now)
        if entry is not None and self._adoption.withholds(call.plan):
            call.withhold(entry, now)

    async def _look_up(self, call: Call) -> Entry | None:
        """The stored response that may answer, None when there is none: a store's fault is a miss."""
        plan, wishes = call.plan, call.plan.directives
        if plan.bypass or wishes.no_store or wishes.no_cache:
            return None
        try:
            return await self._cache.look_up(plan)
        except Exception as error:
            call.is_cut_off = not isinstance(error, EntryError | StoreBusyError)
            self._recorder.report("bad_entries" if isinstance(error, EntryError) else "store_errors", error)
            return None
