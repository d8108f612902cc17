"""stores/redis_log.py: who may wait on a connection, and what is left in the server."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from coo_middleware.stores.redis import RedisStore


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    """A store with four connections."""
    async with RedisStore(addr=redis_url, key_prefix=f"{secrets.token_hex(8)}:", max_connections=4) as store:
        yield store


async def test_readers_that_wait_leave_connections_to_others(store: RedisStore) -> None:
    """However many logs are followed, half of the connections stay free, and who gets none to wait on returns."""
    waiting = [asyncio.create_task(store.read_log(f"log-{number}", "", 20)) for number in range(50)]
    done, pending = await asyncio.wait(waiting, timeout=2)
    await asyncio.gather(*(store.set_cache(f"key-{number}", b"value", 10) for number in range(50)))

    assert (48, 2) == (len(done), len(pending))
    for each in pending:
        each.cancel()
    await asyncio.wait(pending)
    assert b"value" == await store.get_cache("key-0")


async def test_store_with_one_connection_keeps_nobody_waiting(redis_url: str) -> None:
    """With a single connection no reader may hold it."""
    async with RedisStore(addr=redis_url, key_prefix=f"{secrets.token_hex(8)}:", max_connections=1) as store:
        began = monotonic()
        assert ("", []) == await store.read_log("log", "", 30)

        assert monotonic() - began < 15


async def test_reader_may_wait_longer_than_a_command_may_take(redis_url: str) -> None:
    """The time limit of a command begins when the wait is over."""
    prefix = f"{secrets.token_hex(8)}:"
    async with RedisStore(addr=redis_url, key_prefix=prefix, timeout_seconds=0.3) as store:
        assert ("", []) == await store.read_log("log", "", 0.6)


async def test_every_key_of_ours_expires(store: RedisStore, redis_url: str) -> None:
    """A lease and a log have a time to live from the moment they are written."""
    await store.claim("key", "owner", 5)
    await store.append_log("log", [b"frame"], keep=10, ttl_seconds=60)
    with Redis.from_url(redis_url) as client:
        left = [client.ttl(store._layout.prefix + name) for name in ("claim:key", "log:log")]

    assert [5, 60] == left


@pytest.mark.parametrize("protocol", [2, 3])
async def test_any_client_s_reply_is_read(redis_url: str, protocol: int) -> None:
    """A given client of either protocol has its own shape for the entries of a stream."""
    async with AsyncRedis.from_url(redis_url, protocol=protocol) as client:
        store = RedisStore(client=client, key_prefix=f"{secrets.token_hex(8)}:")
        assert ("", []) == await store.read_log("log", "", 0)
        await store.append_log("log", [b"1", b"2"], keep=10, ttl_seconds=60)
        place, frames = await store.read_log("log", "", 0)

        assert [b"1", b"2"] == frames
        assert (place, []) == await store.read_log("log", place, 0.01)
