"""The contract of RuntimeStore as tests, for whoever writes a store:

    class TestMyStore(StoreContract):
        async def make(self, clock: Clock) -> RuntimeStore:
            return MyStore(usage_ttl_seconds=self.usage_ttl_seconds, clock=clock)

StoreContract holds for every store. Add FullStoreContract for a store that overrides the defaults, SharedStoreContract
for one whose data several processes use, LeaseContract and LogContract in its place where those share work too,
LedgerContract for one that keeps limits by the time of `clock`, FailureContract for one that can be out of reach. Runs
under pytest with the plugin of anyio, which needs no configuration.

Time: a store that takes `clock` needs nothing else. Where a server expires data by itself, override `advance` to take
`seconds` off each time to live in the server as well (Redis: PEXPIRE every key to PTTL less the seconds, or delete it).
A store whose time nobody can move may sleep in `advance`, with `usage_ttl_seconds` of 2 or so, and call `pytest.skip`
for what takes too long. No test relies on an instant: before an expiry there is at least half a second, in windows a
whole one.
"""

import pytest

# Before the imports below, so that a failed assertion shows its values.
pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("contract", "ledgers", "limits", "promises", "purges", "series"))
)

from coo_middleware.testing.calls import SECRET  # noqa: E402
from coo_middleware.testing.contract import Clock, StoreContract  # noqa: E402
from coo_middleware.testing.ledgers import LedgerContract  # noqa: E402
from coo_middleware.testing.promises import (  # noqa: E402
    FailureContract,
    FullStoreContract,
    LeaseContract,
    LogContract,
    SharedStoreContract,
)

__all__ = [
    "SECRET",
    "Clock",
    "FailureContract",
    "FullStoreContract",
    "LeaseContract",
    "LedgerContract",
    "LogContract",
    "SharedStoreContract",
    "StoreContract",
]
