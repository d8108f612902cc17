"""Doctor: what is wrong with the configured store, and what to do about it."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Final

from coo_middleware.doctor import memory
from coo_middleware.doctor.finding import Finding, ok, warning
from coo_middleware.doctor.operations import try_operations
from coo_middleware.stores import StoreError, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from coo_middleware.config import Config
    from coo_middleware.stores import StoreSettings

# Each has `inspect`, what can be seen from outside, and `stage`, where operations may be tried without a trace.
_STORES: Final = {"memory": memory}

# What a store of each type is told by its settings; a setting for another type is a sign of a mistake.
_USES: Final = {
    "memory": set[str](),
    "file": {"path"},
    "sqlite": {"path"},
    "redis": {"addr", "password"},
    "http": {"addr", "api_key"},
}


async def examine(config: Config, *, clock: Callable[[], float] = time) -> list[Finding]:
    """Visits the store that `config` names and leaves no trace in it. Operations are tried when nothing else is at
    fault; `clock` is this machine's, in seconds since the epoch.
    """
    settings = config.storage.runtime
    visit = _STORES[settings.type]
    findings = [*_read(config), *[each async for each in visit.inspect(settings, clock)]]
    if all(each.level != "fault" for each in findings):
        findings += [each async for each in _try(settings)]
    return findings
