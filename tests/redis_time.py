"""What the contract needs of RedisStore: a prefix of its own for each test, and time that passes when it is told to."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, ClassVar

from coo_middleware.stores.redis import RedisStore
from coo_middleware.testing import Clock, FullStoreContract, LogContract
from tests.redis_server import let_pass

if TYPE_CHECKING:
    from coo_middleware.stores import RedisMode


class RedisContract(FullStoreContract, LogContract):
    """Set `addr`, and `servers`, the URLs of all servers that hold data, before each test."""

    mode: ClassVar[RedisMode] = "standalone"
    master_name: ClassVar[str] = ""
    username: ClassVar[str] = ""
    password: ClassVar[str] = ""
    addr: str
    servers: list[str]
    prefix: str

    async def make(self, clock: Clock) -> RedisStore:
        self.prefix = f"test-{secrets.token_hex(8)}:"
        return await self.another(clock)

    async def another(self, clock: Clock) -> RedisStore:
        return RedisStore(
            addr=self.addr,
            mode=self.mode,
            master_name=self.master_name,
            username=self.username,
            password=self.password,
            key_prefix=self.prefix,
            usage_ttl_seconds=self.usage_ttl_seconds,
            # A machine that has much else to do is no fault of the store's.
            max_connections=200,
            connect_timeout_seconds=10,
            timeout_seconds=10,
            clock=clock,
        )

    async def advance(self, clock: Clock, seconds: float) -> None:
        clock.advance(seconds)
        let_pass(self.servers, self.prefix, seconds)
