"""What a Redis server says of itself in INFO (redis.io/docs/latest/commands/info), judged by what a store needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from coo_middleware.doctor.finding import Finding, fault, in_bytes, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OLDEST: Final = (6, 2)
# Beyond this share of the memory it is time to act.
_NEARLY: Final = 0.9


def judge_info(info: Mapping[str, object], save: str | None) -> Iterator[Finding]:
    """`save` is the setting of that name: when a snapshot is taken, "" for never, None when the user may not ask."""
    yield _judge_version(info)
    if str(info.get("role", "master")) != "master":
        remedy = "let storage.runtime.addr lead to the primary, or use mode sentinel"
        yield fault("role", "the server is a replica, which takes no writes", remedy)
    yield _judge_memory(info)
    yield _judge_eviction(info)
    yield from _judge_persistence(info, save)


def _judge_version(info: Mapping[str, object]) -> Finding:
    told = str(info.get("redis_version", "?"))
    text = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {told}"
    match = re.match(r"(\d+)\.(\d+)", told)
    if match and (int(match[1]), int(match[2])) < _OLDEST:
        return fault("version", f"{text} is too old", "run Redis 6.2 or newer, or Valkey")
    return ok("version", text)


def _judge_memory(info: Mapping[str, object]) -> Finding:
    used, limit, machine = (_number(info, name) for name in ("used_memory", "maxmemory", "total_system_memory"))
    most = limit or machine
    text = f"{in_bytes(used)} are used of {in_bytes(most)}" + ("" if limit else ", all that the machine has")
    remedy = "raise maxmemory, or lower policy.cache.ttl_seconds; see what takes it with redis-cli --bigkeys"
    if limit and used >= limit and _policy(info) == "noeviction":
        return fault("memory", f"{text}: the server refuses every write", remedy)
    if most and used >= _NEARLY * most:
        return warning("memory", text, remedy)
    return ok("memory", text)


def _judge_eviction(info: Mapping[str, object]) -> Finding:
    policy, evicted = _policy(info), _number(info, "evicted_keys")
    text = f"maxmemory-policy is {policy}, and {evicted:.0f} keys have been evicted"
    if policy.startswith("allkeys"):
        remedy = "set maxmemory-policy to volatile-ttl, which spares what never expires"
        return warning("eviction", f"{text}: under pressure totals are lost", remedy)
    return ok("eviction", text)


def _judge_persistence(info: Mapping[str, object], save: str | None) -> Iterator[Finding]:
    has_aof = bool(_number(info, "aof_enabled"))
    if _number(info, "loading"):
        yield fault("persistence", "the server is still loading its data", "wait")
    if str(info.get("rdb_last_bgsave_status", "ok")) != "ok":
        remedy = "see the server's log, and the space and the rights of its folder"
        yield fault("persistence", "the last snapshot failed, and the server may refuse writes for it", remedy)
    elif has_aof and str(info.get("aof_last_write_status", "ok")) != "ok":
        remedy = "see the server's log, and the space on its disk"
        yield fault("persistence", "the last write to the append-only file failed", remedy)
    elif not has_aof and save == "":
        remedy = "switch on appendonly, or snapshots (save)"
        yield warning("persistence", "a restart of the server loses everything", remedy)
    else:
        snapshots = {None: "unknown (CONFIG is not allowed)", "": "off"}.get(save, "on")
        yield ok("persistence", f"append-only file {'on' if has_aof else 'off'}, snapshots {snapshots}")


def _policy(info: Mapping[str, object]) -> str:
    return str(info.get("maxmemory_policy", "unknown"))


def _number(info: Mapping[str, object], name: str) -> float:
    value = info.get(name)
    return value if isinstance(value, int | float) else 0.0
