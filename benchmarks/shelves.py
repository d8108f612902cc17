"""Where the floors keep entries outside of the process: Redis or sqlite, with nothing round the calls."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.running import TTL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.floors import Entry

_DECODER: Final = msgspec.msgpack.Decoder(tuple[int, tuple[tuple[bytes, bytes], ...], bytes])
_ENCODER: Final = msgspec.msgpack.Encoder()


class Shelf(Protocol):
    """Entries and counters elsewhere."""

    async def get(self, key: bytes) -> Entry | None:
        """What lies under `key`."""

    async def put(self, entries: Mapping[bytes, Entry], counts: Mapping[str, int]) -> None:
        """Puts entries there and adds to the counters."""

    async def close(self) -> None:
        """Lets go of the connection."""


def connect(url: str) -> Redis:
    """A client that waits when all its connections are busy."""
    return Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=50, timeout=60))


class RedisShelf:
    """One GET; one pipeline."""

    def __init__(self, url: str) -> None:
        self._client: Final = connect(url)

    async def get(self, key: bytes) -> Entry | None:
        found = await self._client.get(b"least:" + key)
        return None if found is None else _DECODER.decode(found)

    async def put(self, entries: Mapping[bytes, Entry], counts: Mapping[str, int]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for key, entry in entries.items():
            pipeline.set(b"least:" + key, _ENCODER.encode(entry), ex=TTL_SECONDS)
        for name, value in counts.items():
            pipeline.hincrby("least", name, value)
        await pipeline.execute()

    async def close(self) -> None:
        await self._client.aclose()


class SqliteShelf:
    """One SELECT in the loop; one transaction."""

    def __init__(self, path: str) -> None:
        self._database: Final = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            "CREATE TABLE entries (key BLOB PRIMARY KEY, entry BLOB, expires REAL) WITHOUT ROWID;"
            "CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER);"
        )

    async def get(self, key: bytes) -> Entry | None:
        question = "SELECT entry FROM entries WHERE key = ? AND expires > ?"
        found = self._database.execute(question, (key, time.time())).fetchone()
        return None if found is None else _DECODER.decode(found[0])

    async def put(self, entries: Mapping[bytes, Entry], counts: Mapping[str, int]) -> None:
        expires = time.time() + TTL_SECONDS
        rows = [(key, _ENCODER.encode(entry), expires) for key, entry in entries.items()]
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
        self._database.executemany(
            "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            counts.items(),
        )
        self._database.execute("COMMIT")

    async def close(self) -> None:
        self._database.close()
