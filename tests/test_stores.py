"""The contract of RuntimeStore, over every store that we ship."""

import pytest

from coo_middleware.storage_api import storage_api
from coo_middleware.stores import RuntimeStore
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import SECRET, Clock, FailureContract, FullStoreContract, SharedStoreContract
from tests.conftest import Serve


class TestMemory(FullStoreContract):
    """The store of one process."""

    async def make(self, clock: Clock) -> RuntimeStore:
        return MemoryStore(usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)


class TestHTTP(FullStoreContract, SharedStoreContract):
    """The store behind a real server on a real socket, which serves a MemoryStore."""

    @pytest.fixture(autouse=True)
    def _serve(self, serve: Serve) -> None:
        self.serve = serve

    async def make(self, clock: Clock) -> RuntimeStore:
        served = MemoryStore(usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)
        self.url = self.serve(storage_api(served, api_key=SECRET))
        return HTTPStore(addr=self.url, api_key=SECRET)

    async def another(self, clock: Clock) -> RuntimeStore:
        return HTTPStore(addr=self.url, api_key=SECRET)


class TestHTTPOutOfReach(FailureContract):
    """The store whose server is not there."""

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        return HTTPStore(addr="http://127.0.0.1:9", api_key=secret)
