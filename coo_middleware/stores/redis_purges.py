"""The purges of a RedisStore, and the list of its responses, which is made page by page beside everything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from redis.asyncio import RedisCluster

from coo_middleware.core.labels import ALL, MOST_LABELS, Purges
from coo_middleware.stores import HEAD_BYTES, CachePage, new_purges
from coo_middleware.stores.redis_layout import Layout, load_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.stores.redis_connect import Argument, Connections

_PURGE: Final = load_script("redis_purge")
_PURGES: Final = load_script("redis_purges")
_LIST: Final = load_script("redis_list")

# So many keys are looked at while nobody else is served.
_PAGE: Final = 200
_MARKS: Final = ("generation", "floor")


async def purge(connections: Connections, layout: Layout, labels: Sequence[str]) -> int:
    """As RuntimeStore.purge, of labels that were checked."""
    everything = ALL in labels
    arguments: list[Argument] = [new_purges().floor, MOST_LABELS, int(everything), *(() if everything else labels)]
    return int(cast("bytes", await connections.evaluate(_PURGE, [layout.purges], arguments)))


async def get_purges(connections: Connections, layout: Layout, since: int) -> Purges:
    """As RuntimeStore.get_purges."""
    reply = await connections.evaluate(_PURGES, [layout.purges], [new_purges().floor, since])
    generation, floor, *members = (each.decode() for each in cast("list[bytes]", reply))
    scores = dict(zip(members[::2], map(int, members[1::2]), strict=True))
    return Purges(int(generation), int(floor), {name: each for name, each in scores.items() if name not in _MARKS})


async def list_cache(connections: Connections, layout: Layout, cursor: str) -> CachePage:
    """As RuntimeStore.list_cache. A cursor is the server's own, on a cluster behind the name of the node."""
    client = (await connections.link()).client
    node, _, place = cursor.rpartition("/")
    prefix = layout.cache("")
    pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", prefix) + "*"
    command: tuple[Argument, ...] = ("EVAL", _LIST.text, 0, place or 0, pattern, _PAGE, HEAD_BYTES)
    names = [""]
    if isinstance(client, RedisCluster):
        await client.initialize()
        names = sorted(each.name for each in client.get_primaries())
        # A node that has gone took its responses along; the others are not asked again.
        node = next((name for name in names if name >= node), "")
    reply = cast("list[bytes]", await connections.execute(*command, node=node))
    following = next((f"{name}/0" for name in names if name > node), "")
    cursor = following if reply[0] == b"0" else f"{node}/{reply[0].decode()}"
    keys = (key.decode(errors="replace").removeprefix(prefix) for key in reply[1::2])
    return CachePage(tuple(zip(keys, reply[2::2], strict=True)), cursor)
