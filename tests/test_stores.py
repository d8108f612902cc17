"""The contract of RuntimeStore, over every store that we ship."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypedDict

import httpx2
import pytest

from coo_middleware.storage_api import storage_api
from coo_middleware.stores import RuntimeStore
from coo_middleware.stores.file import FileStore
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.stores.sqlite import SqliteStore
from coo_middleware.testing import SECRET, Clock, FailureContract, FullStoreContract, LeaseContract, LedgerContract
from tests.conftest import Serve
from tests.redis_server import MASTER, Server
from tests.redis_time import RedisContract
from tests.storage_server import Relay


class TestMemory(FullStoreContract, LedgerContract):
    """The store of one process."""

    async def make(self, clock: Clock) -> RuntimeStore:
        return MemoryStore(usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)


class HTTPLimits(TypedDict):
    max_connections: int
    timeout_seconds: float


# The contract asks for a hundred things at once, and the machine may be busy.
HTTP_LIMITS: HTTPLimits = {"max_connections": 100, "timeout_seconds": 20}


@pytest.fixture(scope="module")
def relay(serve_module: Serve) -> Relay:
    """The server of the http stores' tests."""
    relay = Relay()
    relay.url = serve_module(relay)
    return relay


class TestHTTP(FullStoreContract, LeaseContract, LedgerContract):
    """The store behind a real server on a real socket, which serves a MemoryStore."""

    @pytest.fixture(autouse=True)
    def _relay(self, relay: Relay) -> None:
        self.relay = relay

    async def make(self, clock: Clock) -> RuntimeStore:
        self.relay.app = storage_api(MemoryStore(usage_ttl_seconds=self.usage_ttl_seconds, clock=clock), api_key=SECRET)
        return await self.another(clock)

    async def another(self, clock: Clock) -> RuntimeStore:
        return HTTPStore(addr=self.relay.url, api_key=SECRET, **HTTP_LIMITS)


class TestHTTPWithAnotherClient(TestHTTP):
    """The same with a client that is not httpx's."""

    @pytest.fixture(autouse=True)
    async def _client(self) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(trust_env=False) as self.client:
            yield

    async def another(self, clock: Clock) -> RuntimeStore:
        return HTTPStore(addr=self.relay.url, api_key=SECRET, client=self.client, **HTTP_LIMITS)


class TestHTTPOutOfReach(FailureContract):
    """The store whose server is not there."""

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        return HTTPStore(addr="http://127.0.0.1:9", api_key=secret)


class TestHTTPOutOfReachWithAnotherClient(FailureContract):
    """The same with a client that is not httpx's."""

    @pytest.fixture(autouse=True)
    async def _client(self) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(trust_env=False) as self.client:
            yield

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        return HTTPStore(addr="http://127.0.0.1:9", api_key=secret, client=self.client)


class TestFile(FullStoreContract, LedgerContract):
    """The store of one process in one JSON document."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "data.json"

    async def make(self, clock: Clock) -> RuntimeStore:
        return FileStore(path=self.path, usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)


class TestSqlite(FullStoreContract, LeaseContract, LedgerContract):
    """The store of several processes in one database."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "data.db"

    async def make(self, clock: Clock) -> RuntimeStore:
        return SqliteStore(path=self.path, usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)

    async def another(self, clock: Clock) -> RuntimeStore:
        return await self.make(clock)


class TestFileOutOfReach(FailureContract):
    """The store of a path that leads through a file."""

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        return FileStore(path=Path(__file__) / "data.json")


class TestSqliteOutOfReach(FailureContract):
    """The database of a path that leads through a file."""

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        return SqliteStore(path=Path(__file__) / "data.db")


class TestRedis(RedisContract, LedgerContract):
    """The store on one server."""

    @pytest.fixture(autouse=True)
    def _place(self, redis_url: str) -> None:
        self.addr, self.servers = redis_url, [redis_url]


class TestRedisCluster(RedisContract):
    """The store on a cluster of three."""

    mode = "cluster"

    @pytest.fixture(autouse=True)
    def _place(self, redis_cluster: list[Server]) -> None:
        self.addr = ",".join(node.addr for node in redis_cluster)
        self.servers = [f"redis://{node.addr}" for node in redis_cluster]


class TestRedisSentinel(RedisContract):
    """The store on a server that a sentinel names."""

    mode = "sentinel"
    master_name = MASTER

    @pytest.fixture(autouse=True)
    def _place(self, redis_sentinel: tuple[Server, Server]) -> None:
        sentinel, master = redis_sentinel
        self.addr, self.servers = sentinel.addr, [f"redis://{master.addr}"]


class TestRedisLimitedUser(RedisContract):
    """The store by a user who may do what docs/stores.md lists, and no more."""

    username = "coo"
    password = "secret"

    @pytest.fixture(autouse=True)
    def _place(self, redis_server: Server) -> Iterator[None]:
        page = (Path(__file__).parent.parent / "docs" / "stores.md").read_text()
        [line] = [line for line in page.splitlines() if line.startswith("ACL SETUSER coo on >secret ")]
        redis_server.ask(*line.replace("~coo:*", "~test-*").split())
        redis_server.ask("SCRIPT", "FLUSH")
        self.addr, self.servers = redis_server.addr, [f"redis://{redis_server.addr}"]
        yield
        redis_server.ask("ACL", "DELUSER", "coo")
