"""Stored responses: the first level in this process, then the store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cachetools import LRUCache

from coo_middleware.core.entry import pack_entry, unpack_entry
from coo_middleware.core.sealing import Sealer
from coo_middleware.core.shape import Shape, render
from coo_middleware.inquiries import Inquiries
from coo_middleware.purge_view import PurgeView
from coo_middleware.stores.local import LocalLevel
from coo_middleware.stores.opened import Opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.core.entry import Entry
    from coo_middleware.core.plan import Plan
    from coo_middleware.stores import RuntimeStore

_PLAIN: Final = Sealer()


class Cache:
    """Entries in `store`, and in up to `local_max_bytes` of this process in front of a store that is elsewhere, or
    beside one that is here, for those that are in demand. A quarter as much again may hold what was made of entries for
    clients that want another shape. In the store they lie as `sealer` has it, in the process as they are.
    """

    __slots__ = ("_inquiries", "_local", "_opened", "_purges", "_renditions", "_sealer", "_store")

    def __init__(self, store: RuntimeStore, local_max_bytes: int, sealer: Sealer = _PLAIN) -> None:
        self._store: Final = store
        self._sealer: Final = sealer
        self._inquiries: Final[Inquiries[Entry | None]] = Inquiries()
        self._purges: Final = PurgeView(store, sealer.names)
        self._renditions: Final[LRUCache[tuple[bytes, float, Shape], bytes]] = LRUCache(local_max_bytes // 4, len)
        self._local: Final = LocalLevel(local_max_bytes) if local_max_bytes and not store.in_process else None
        self._opened: Final = Opened(local_max_bytes if store.in_process else 0)

    async def look_up(self, plan: Plan) -> Entry | None:
        """The entry under the plan's key, fresh or not, that was not purged. Raises StoreError, and EntryError for what
        is no entry.
        """
        if self._store.in_process:
            return await self.look_beyond(plan)
        local, purges = self._local, self._purges
        entry = local.get(plan.digest) if local is not None else None
        if local is not None and entry is not None:
            if not purges.is_recent():
                await purges.refresh()
            if not purges.is_purged(entry) or await purges.allows(entry):
                return entry
            local.forget(plan.digest)
        name = self._sealer.name(plan.key)
        # Both at once: where the store is slow, a request waits for one of them only.
        asked = self._inquiries.begin(name, partial(self._fetch, name, plan.digest))
        await purges.refresh()
        entry = await self._inquiries.end(asked)
        if entry is not None and await purges.allows(entry):
            return entry
        return await self._look_in_store(plan, self._sealer.names(plan.key)[1:])

    async def look_beyond(self, plan: Plan) -> Entry | None:
        """The same, from the store where that has a newer one than this process."""
        if not self._purges.is_recent():
            await self._purges.refresh()
        return await self._look_in_store(plan, self._sealer.names(plan.key))

    async def begin(self) -> int:
        """The generation of the entry that a request makes which begins now: an answer that is under way while it is
        purged does not outlive that.
        """
        await self._purges.refresh()
        return self._purges.purges.generation

    def render(self, plan: Plan, entry: Entry) -> bytes | None:
        """The entry's content in the shape that is wanted, None where it cannot be had."""
        if entry.shape == plan.shape:
            return entry.content
        if (entry.usage is None or entry.usage.estimated) and not plan.shape.stream:
            # Whoever asks for a body counts on its usage.
            return None
        name = (entry.digest, entry.created, plan.shape)
        content = self._renditions.get(name)
        if content is None:
            content = render(plan.format, entry.content, entry.shape, plan.shape)
            if content is not None and len(content) <= self._renditions.maxsize:
                self._renditions[name] = content
        return content

    def keep(self, entry: Entry) -> None:
        """Puts an entry that is about to be stored into the first level, where it will not outlive the stored one."""
        if self._local is not None and not self._purges.is_purged(entry):
            self._local.put(entry, entry.ttl + entry.grace)

    async def store(self, key: str, entry: Entry) -> None:
        """Stores the entry for its lifetime, unless it was purged before it was complete. Raises StoreError."""
        await self._purges.refresh()
        if self._purges.is_purged(entry):
            return
        name = self._sealer.name(key)
        await self._store.set_cache(name, self._sealer.seal(pack_entry(entry), name.encode()), entry.ttl + entry.grace)

    async def _look_in_store(self, plan: Plan, names: Iterable[str]) -> Entry | None:
        for name in names:
            entry = await self._fetch(name, plan.digest)
            if entry is not None and (not self._purges.is_purged(entry) or await self._purges.allows(entry)):
                return entry
        return None

    async def _fetch(self, name: str, digest: bytes) -> Entry | None:
        local = self._local
        if local is None:
            sealed = await self._store.get_cache(name)
            return self._recall(sealed, name, digest) if sealed else None
        asked = local.clock()
        found = await self._store.get_cache_with_ttl(name)
        known = local.get(digest)
        if found is None or not found[0]:
            return known
        entry = self._open(found[0], name, digest)
        if known is not None and known.created >= entry.created:
            # Made here while the store was asked.
            return known
        if found[1] > 0 and not self._purges.is_purged(entry):
            local.put(entry, found[1], asked)
        return entry

    def _recall(self, sealed: bytes, name: str, digest: bytes) -> Entry:
        entry = self._opened.get(digest, sealed)
        if entry is None:
            entry = self._open(sealed, name, digest)
            self._opened.put(sealed, entry)
        return entry

    def _open(self, sealed: bytes, name: str, digest: bytes) -> Entry:
        return unpack_entry(self._sealer.open(sealed, name.encode()), digest)
