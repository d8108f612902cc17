"""The contract of RuntimeStore, over every store that we ship."""

from coo_middleware.stores import RuntimeStore
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.testing import Clock, FullStoreContract


class TestMemory(FullStoreContract):
    """The store of one process."""

    async def make(self, clock: Clock) -> RuntimeStore:
        return MemoryStore(usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)
