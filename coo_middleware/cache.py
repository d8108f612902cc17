"""Stored responses: the first level in this process, then the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachetools import LRUCache

from coo_middleware.core.entry import pack_entry, unpack_entry
from coo_middleware.core.shape import Shape, render
from coo_middleware.stores.local import LocalLevel

if TYPE_CHECKING:
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.plan import Plan
    from coo_middleware.stores import RuntimeStore


class Cache:
    """Entries in `store`, and in up to `local_max_bytes` of this process in front of a store that is elsewhere. A
    quarter as much again may hold what was made of entries for clients that want another shape.
    """

    __slots__ = ("_local", "_renditions", "_store")

    def __init__(self, store: RuntimeStore, local_max_bytes: int) -> None:
        self._store: Final = store
        self._renditions: Final[LRUCache[tuple[bytes, float, Shape], bytes]] = LRUCache(local_max_bytes // 4, len)
        self._local: Final = LocalLevel(local_max_bytes) if local_max_bytes and not store.in_process else None

    async def look_up(self, plan: Plan) -> Entry | None:
        """The entry under the plan's key, fresh or not. Raises StoreError, and EntryError for what is no entry."""
        if self._local is None:
            frame = await self._store.get_cache(plan.key)
            return unpack_entry(frame, plan.digest) if frame else None
        return self._local.get(plan.digest) or await self._fetch(plan, self._local)

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
        if self._local is not None:
            self._local.put(entry, entry.ttl)

    async def store(self, key: str, entry: Entry) -> None:
        """Stores the entry for its lifetime. Raises StoreError."""
        await self._store.set_cache(key, pack_entry(entry), entry.ttl)

    async def _fetch(self, plan: Plan, local: LocalLevel) -> Entry | None:
        asked = local.clock()
        found = await self._store.get_cache_with_ttl(plan.key)
        if found is None or not found[0]:
            return None
        entry = unpack_entry(found[0], plan.digest)
        if found[1] > 0:
            local.put(entry, found[1], asked)
        return entry
