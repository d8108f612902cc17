"""Increments on their way to Redis: a batch counts once, whatever becomes of its replies."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from redis.exceptions import ConnectionError as LostConnectionError

from coo_middleware.stores.redis_connect import Connections, Writer
from coo_middleware.stores.redis_layout import MARK_MILLISECONDS, Layout, load_script
from coo_middleware.stores.redis_series import Index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.stores import Increment
    from coo_middleware.stores.redis_connect import Argument

_APPLY: Final = load_script("redis_apply")

# A batch may need several scripts, of which so many are sent at a time.
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Batches:
    """Sends increments whose usage counters live `usage_ttl` milliseconds."""

    connections: Connections
    layout: Layout
    index: Index
    usage_ttl: int

    async def send(self, now: str, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        """Applies a batch under its number: one script for each of its parts."""
        await self.index.add(increments)
        head: list[Argument] = [sequence, now, self.usage_ttl, MARK_MILLISECONDS]
        parts = self.layout.parts(writer, increments)
        while some := list(islice(parts, _AT_ONCE)):
            sending = (self.connections.evaluate(_APPLY, keys, [*head, *rest]) for keys, rest in some)
            for result in await asyncio.gather(*sending, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result

    async def send_one(self, now: str, increment: Increment) -> None:
        """Applies an increment under a number of our own, once more when the connection was lost."""
        writers = (await self.connections.link()).writers
        # The numbers of one writer must arrive in order, so each increment under way has a writer to itself.
        writer = writers.pop() if writers else Writer(secrets.token_hex(16))
        writer.sequence += 1
        try:
            await self.send(now, writer.name, writer.sequence, [increment])
        except LostConnectionError as error:
            if type(error) is not LostConnectionError:
                raise
            await self.send(now, writer.name, writer.sequence, [increment])
        finally:
            writers.append(writer)
