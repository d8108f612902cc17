"""The peers, as their own decorators and hooks allow, with the smallest shim that lets them cache a POST.

The decorators stand on the call of the provider, and their key is the SHA-256 of the content: they never see two
spellings of a request as one, and no stream. fastapi-cache2 gets a coder that leaves the bytes as they are, which is
quicker than its own. hishel refuses POST: behind the shim it sees a GET with the digest as its query.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from benchmarks.contents import read, replay
from benchmarks.handler import PATH, make_app
from benchmarks.running import TTL_SECONDS, Running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from benchmarks.handler import Upstream
    from benchmarks.places import Place

    Ask = Callable[[bytes], Awaitable[bytes]]
    Decorator = Callable[[Ask], Ask]


def aiocache(upstream: Upstream, place: Place) -> Running:
    """`@cached`."""
    from aiocache import cached

    return _decorate(upstream, cached(ttl=TTL_SECONDS, key_builder=_name, **_aiocache_place(place)))


def aiocache_stampede(upstream: Upstream, place: Place) -> Running:
    """`@cached_stampede`."""
    from aiocache import cached_stampede

    return _decorate(upstream, cached_stampede(ttl=TTL_SECONDS, key_builder=_name, lease=10, **_aiocache_place(place)))


def cashews(upstream: Upstream, place: Place) -> Running:
    """`@cache`."""
    return _cashews(upstream, place, lock=False)


def cashews_lock(upstream: Upstream, place: Place) -> Running:
    """`@cache(lock=True)`."""
    return _cashews(upstream, place, lock=True)


def fastapi_cache(upstream: Upstream, place: Place) -> Running:
    """`@cache`."""
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.backends.redis import RedisBackend
    from fastapi_cache.decorator import cache

    from benchmarks.shelves import connect

    client = connect(place.url) if place.kind == "redis" else None
    FastAPICache.reset()
    # Its memory is one for the whole process, so that each of ours needs a name of its own.
    FastAPICache.init(InMemoryBackend() if client is None else RedisBackend(client), prefix=place.new_file())

    def build(_function: object, namespace: str, *, args: tuple[bytes], **_others: object) -> str:
        return namespace + sha256(args[0]).hexdigest()

    running = _decorate(upstream, cache(expire=TTL_SECONDS, coder=_Bytes, key_builder=build))
    return running if client is None else replace(running, close=client.aclose)


def hishel(upstream: Upstream, place: Place) -> Running:
    """`ASGICacheMiddleware(rfc=False)`; in memory it is sqlite's."""
    from anysqlite import Connection
    from hishel import AsyncRedisStorage, AsyncSqliteStorage
    from hishel.asgi import ASGICacheMiddleware

    from benchmarks.shelves import connect

    if place.kind == "redis":
        storage = AsyncRedisStorage(client=connect(place.url), default_ttl=TTL_SECONDS)
    else:
        path = ":memory:" if place.kind == "memory" else place.new_file()
        connection = Connection(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        storage = AsyncSqliteStorage(connection=connection, default_ttl=TTL_SECONDS)
    middleware = ASGICacheMiddleware(_AsPost(make_app(upstream)), storage, rfc=False)
    return Running(_AsGet(middleware), upstream, close=middleware.aclose)


class _Bytes:
    """A coder that leaves bytes as they are."""

    @staticmethod
    def encode(value: bytes) -> bytes:
        return value

    @staticmethod
    def decode_as_type(value: bytes, **_others: object) -> bytes:
        return value


class _AsGet:
    """Shows a POST as a GET with the digest of its content as the query."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        content = await read(receive)
        query = sha256(content).hexdigest().encode()
        await self._app({**scope, "method": "GET", "query_string": query}, replay(content, receive), send)


class _AsPost:
    """Takes it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == PATH:
            scope = {**scope, "method": "POST", "query_string": b""}
        await self._app(scope, receive, send)


def _name(_function: object, content: bytes) -> str:
    return sha256(content).hexdigest()


def _aiocache_place(place: Place) -> dict[str, object]:
    from aiocache import Cache
    from aiocache.serializers import NullSerializer
    from redis.asyncio import BlockingConnectionPool

    if place.kind == "memory":
        return {"cache": Cache.MEMORY}
    host, port = place.url.removeprefix("redis://").split(":")
    server = {"cache": Cache.REDIS, "endpoint": host, "port": int(port), "serializer": NullSerializer(encoding=None)}
    # As the other clients: with its own pool the 101st request at once fails.
    return {
        **server,
        "connection_pool_class": BlockingConnectionPool,
        "pool_max_size": 50,
        "connection_pool_kwargs": {"timeout": 60},
    }


def _decorate(upstream: Upstream, decorate: Decorator) -> Running:
    async def answer(content: bytes) -> bytes:
        return await upstream.answer(content)

    return Running(make_app(upstream, decorate(answer)), upstream)


def _cashews(upstream: Upstream, place: Place, *, lock: bool) -> Running:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://?size=10000000" if place.kind == "memory" else place.url)

    async def find(digest: str, content: bytes) -> bytes:  # noqa: ARG001 -- the key is made of it
        return await upstream.answer(content)

    ask: Callable[[str, bytes], Awaitable[bytes]] = cache(ttl=TTL_SECONDS, key="{digest}", lock=lock)(find)

    async def answer(content: bytes) -> bytes:
        return await ask(sha256(content).hexdigest(), content)

    return Running(make_app(upstream, answer), upstream, close=cache.close)
