"""`GET /entries`: what is known of stored responses, their content never."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from coo_middleware.admin.room import NotListedError
from coo_middleware.core.entry import EntryError, peek_entry
from coo_middleware.stores import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.admin.room import Asked, Room
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.labels import Purges
    from coo_middleware.stores import CachePage

# On one page; of what is compressed or encrypted the head tells nothing, and the whole has to be read.
MOST_OPENED: Final = 100
MOST_COUNTED: Final = 2000

_MEMBERS: Final = (
    *("model", "provider", "format", "created", "ttl", "age", "is_stream", "size"),
    *("tags", "caller", "namespace", "generation"),
)
# What the store keeps under keys of ours is no response.
_OURS: Final = "coo:"


async def answer_entries(room: Room, asked: Asked) -> Mapping[str, object]:
    """A page of entries. Raises NotListedError, and StoreError."""
    page = await _list(room, asked.parameters.get("cursor", ""))
    purges = await room.store.get_purges(0)
    entries, opened = [], 0
    for key, head in page.responses:
        if key.startswith(_OURS):
            continue
        entry, size = peek_entry(head), len(head) if len(head) < HEAD_BYTES else None
        if entry is None and opened < MOST_OPENED:
            opened += 1
            entry, size = await _open(room, key)
        entries.append(_tell(room, key, entry, size, purges))
    return {"entries": entries, "cursor": page.cursor}


async def answer_entry(room: Room, asked: Asked) -> Mapping[str, object]:
    """One entry, by its cache key or by the name under which it lies in the store. Raises HTTPException 404,
    ValueError for what is no key, and StoreError.
    """
    for name in dict.fromkeys((asked.name, *room.sealer.names(asked.name))):
        entry, size = await _open(room, name)
        if size is not None and not name.startswith(_OURS):
            return _tell(room, name, entry, size, await room.store.get_purges(0))
    raise HTTPException(404, "nothing is stored under this key, or not any more")


async def count_entries(room: Room) -> dict[str, object] | None:
    """How many responses are stored, as far as MOST_COUNTED; None where the store cannot list them."""
    count, cursor, begun = 0, "", False
    while (cursor or not begun) and count < MOST_COUNTED:
        try:
            page = await _list(room, cursor)
        except NotListedError:
            return None
        count += sum(not key.startswith(_OURS) for key, _ in page.responses)
        cursor, begun = page.cursor, True
    return {"count": count, "is_complete": not cursor}


async def _list(room: Room, cursor: str) -> CachePage:
    page = await room.store.list_cache(cursor)
    if page is None:
        raise NotListedError("this store cannot list its responses")
    return page


async def _open(room: Room, name: str) -> tuple[Entry | None, int | None]:
    """An entry and how many bytes it takes; None for what cannot be read, and for the size of what is not there."""
    value = await room.store.get_cache(name)
    if not value:
        return None, None
    try:
        return peek_entry(room.sealer.open(value, name.encode())), len(value)
    except EntryError:
        return None, len(value)


def _tell(room: Room, key: str, entry: Entry | None, size: int | None, purges: Purges) -> dict[str, object]:
    if entry is None:
        return {"key": key, "status": "unreadable", **dict.fromkeys(_MEMBERS), "size": size}
    now = time()
    return {
        "key": key,
        "status": "purged" if purges.is_purged(entry, room.sealer.names) else _find_status(entry, now),
        "model": entry.model,
        "provider": entry.provider,
        "format": entry.format,
        "created": entry.created,
        "ttl": entry.ttl,
        "age": entry.age(now),
        "is_stream": entry.shape.stream,
        "size": size,
        "tags": [*entry.tags],
        "caller": entry.caller,
        "namespace": entry.namespace,
        "generation": entry.generation,
    }


def _find_status(entry: Entry, now: float) -> str:
    past = now - entry.created - entry.ttl
    return "fresh" if past < 0 else "stale" if past < entry.grace else "expired"
