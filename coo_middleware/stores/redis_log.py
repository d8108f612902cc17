"""Logs in Redis: one stream each, whose reader waits for more on a connection, as long as there are enough of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from coo_middleware.stores.redis_layout import load_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coo_middleware.stores.redis_connect import Argument, Connections

_APPEND: Final = load_script("redis_append")
_MOST_FRAMES: Final = 256


async def append_log(
    connections: Connections, key: str, frames: Sequence[bytes], *, keep: int, ttl_seconds: float
) -> None:
    """Adds frames to the stream in one script; without any it only lives on."""
    await connections.evaluate(_APPEND, [key], [max(1, round(ttl_seconds * 1000)), keep, *frames])


async def read_log(connections: Connections, key: str, place: str, wait_seconds: float) -> tuple[str, list[bytes]]:
    """What the stream has behind `place`. A server keeps whoever waits on a connection, so at most half of them wait;
    the others are told at once that there is nothing yet.
    """
    waits = (await connections.link()).waits
    milliseconds = round(wait_seconds * 1000)
    if milliseconds < 1 or waits.locked():
        return _read(place, await connections.execute(*_ask(key, place)))
    async with waits:
        reply = await connections.execute(*_ask(key, place, "BLOCK", milliseconds), wait_seconds=wait_seconds)
    return _read(place, reply)


def _ask(key: str, place: str, *options: Argument) -> tuple[Argument, ...]:
    return "XREAD", "COUNT", _MOST_FRAMES, *options, "STREAMS", key, place or "0"


def _read(place: str, reply: object) -> tuple[str, list[bytes]]:
    """Each client has its own shape for a stream's entries: those of one stream, perhaps by its name, perhaps within
    another list.
    """
    streams = [*reply.items()] if isinstance(reply, dict) else cast("list[tuple[object, object]]", reply or [])
    entries: object = streams[0][1] if streams else []
    while isinstance(entries, list) and len(entries) and isinstance(entries[0], list):
        entries = entries[0]
    found = cast("list[tuple[bytes, Mapping[bytes, bytes]]]", entries)
    return (found[-1][0].decode() if found else place), [fields[b"frame"] for _, fields in found]
