"""Doctor: what is wrong with the configured store, and what to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.at_rest import open_sealer
from coo_middleware.config import ConfigError
from coo_middleware.doctor import disk, http, memory, redis
from coo_middleware.doctor.finding import Finding, fault, ok, refused, warning
from coo_middleware.doctor.operations import try_operations
from coo_middleware.stores import RuntimeStore, StoreError, StoreSettings, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coo_middleware.config import Config

Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Visit:
    """`inspect` sees what can be seen from outside. `stage` opens the store and names the counter's key on which the
    operations may be tried, and leaves no trace where the store allows it. `uses`: which settings say where it is.
    """

    uses: set[str]
    inspect: Callable[[StoreSettings, Clock], AsyncIterator[Finding]]
    stage: Callable[[StoreSettings], AbstractAsyncContextManager[tuple[RuntimeStore, str]]]


async def examine(config: Config, *, clock: Clock = time) -> list[Finding]:
    """Visits the store that `config` names. Operations are tried when nothing else is at fault; over HTTP they leave a
    counter `coo-doctor` with the total 0, elsewhere nothing. `clock` is this machine's, in seconds since the epoch.
    """
    findings = list(_read(config))
    try:
        async for finding in _visit(config.storage.runtime, clock):
            findings.append(finding)  # noqa: PERF401 -- what was found counts even when the next step fails
    except (StoreError, ValueError) as error:
        findings.append(refused("store", error))
    return findings


async def _visit(settings: StoreSettings, clock: Clock) -> AsyncIterator[Finding]:
    visit, is_well = _VISITS[settings.type], True
    for finding in disk.inspect_journal(settings.journal):
        yield finding
    async for finding in visit.inspect(settings, clock):
        is_well &= finding.level != "fault"
        yield finding
    if is_well:
        async with visit.stage(settings) as (store, key_id):
            async for finding in try_operations(store, key_id, settings):
                yield finding


def _read(config: Config) -> Iterator[Finding]:
    """Why metrics may not move and responses not come back although the store is well."""
    settings, policy = config.storage.runtime, config.policy
    cache = f"on for {policy.cache.ttl_seconds:g} s" if policy.cache.enabled else "off"
    yield ok("configuration", f"the {settings.type} store; the cache is {cache}")
    try:
        open_sealer(config)
    except ConfigError as error:
        yield fault("configuration", *str(error).rsplit(": ", 1))
    if not policy.metrics.enabled:
        yield warning("metrics", "nothing is counted", "write true in policy.metrics.enabled")
    for name in ("addr", "password", "api_key", "path"):
        if getattr(settings, name) and name not in _VISITS[settings.type].uses:
            remedy = "correct storage.runtime.type, or remove the setting"
            yield warning("configuration", f"storage.runtime.{name} is not for the {settings.type} store", remedy)


@asynccontextmanager
async def _open(settings: StoreSettings) -> AsyncIterator[tuple[RuntimeStore, str]]:
    async with open_store(settings) as store:
        yield store, "doctor"


_VISITS: Final = {
    "memory": _Visit(set(), memory.inspect, _open),
    "redis": _Visit({"addr", "password"}, redis.inspect, redis.stage),
    "http": _Visit({"addr", "api_key"}, http.inspect, _open),
    "file": _Visit({"path"}, disk.inspect_file, disk.stage),
    "sqlite": _Visit({"path"}, disk.inspect_sqlite, disk.stage),
}
