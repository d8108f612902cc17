"""The doctor at the redis store: each trouble of the storage guide, provoked on a server of the test's own."""

from __future__ import annotations

import shutil
import signal
from time import time
from typing import TYPE_CHECKING

import pytest

from coo_middleware.config import make_config
from coo_middleware.doctor import operations
from coo_middleware.doctor.redis import stage
from coo_middleware.doctor.redis_info import judge_info
from tests.fault_proxy import FaultProxy
from tests.redis_server import HOST, MASTER, Server, find_port, start, wait_for
from tests.visits import CANARY, OPERATIONS, bad, the, visit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SOUND: Mapping[str, object] = {
    "redis_version": "7.2.4",
    "role": "master",
    "used_memory": 1 << 20,
    "maxmemory": 0,
    "total_system_memory": 1 << 30,
    "maxmemory_policy": "noeviction",
    "evicted_keys": 0,
    "aof_enabled": 1,
}
# Without a file of its own the tests' server survives no restart, and the doctor says so.
FLEETING = ("warning", "persistence")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may spoil."""
    with start(tmp_path) as server:
        yield server


async def test_a_sound_server_is_well_and_keeps_no_trace(server: Server) -> None:
    """With snapshots on, all is well; every operation is timed; and no key is left."""
    server.ask("CONFIG SET", "save", "3600 1")

    findings = await visit(type="redis", addr=server.addr)

    assert [] == bad(findings)
    assert OPERATIONS == [each.check for each in findings if each.milliseconds is not None]
    assert f"{server.addr} answers" == the("connection", findings).text
    assert "snapshots on" in the("persistence", findings).text
    assert [] == server.ask("KEYS", "*")


async def test_a_cluster_is_visited_node_by_node(redis_cluster: list[Server]) -> None:
    """Each primary is judged under its name, and no key is left on any."""
    findings = await visit(type="redis", mode="cluster", addr=redis_cluster[0].addr)

    assert [FLEETING] * 3 == bad(findings)
    for node in redis_cluster:
        assert 1 == sum(each.check == "memory" and each.text.startswith(f"{node.addr}: ") for each in findings)
        assert [] == node.ask("KEYS", "*coo-doctor*")
    assert OPERATIONS == [each.check for each in findings if each.milliseconds is not None]


async def test_a_server_behind_sentinels_is_visited(redis_sentinel: tuple[Server, Server]) -> None:
    """In mode sentinel the server is the one that the sentinels name."""
    sentinel, _ = redis_sentinel

    findings = await visit(type="redis", mode="sentinel", addr=sentinel.addr, master_name=MASTER)

    assert [FLEETING] == bad(findings)


async def test_a_server_that_is_not_there_is_a_fault() -> None:
    """Redis connection failed: nobody listens."""
    addr = f"redis://app:{CANARY}@{HOST}:{find_port()}"

    findings = await visit(type="redis", addr=addr)

    assert [("fault", "store")] == bad(findings)
    assert f"connecting to {addr.rpartition('@')[2]}" in findings[-1].text
    assert "see that the server runs" in findings[-1].remedy


@pytest.mark.parametrize("mode", ["sentinel", "cluster"])
async def test_a_group_that_is_not_there_is_a_fault(mode: str) -> None:
    """Redis connection failed: no sentinel and no node listens."""
    findings = await visit(type="redis", mode=mode, addr=f"{HOST}:{find_port()}", master_name=MASTER, password=CANARY)

    assert [("fault", "store")] == bad(findings)


async def test_a_server_that_stands_still_is_a_fault(server: Server) -> None:
    """Redis connection failed: the server was stopped and accepts, but does not answer."""
    server.process.send_signal(signal.SIGSTOP)

    findings = await visit(type="redis", addr=server.addr, timeout_seconds=0.1, connect_timeout_seconds=0.1)

    assert [("fault", "store")] == bad(findings)
    assert "Timeout" in findings[-1].text


async def test_a_password_that_is_refused_is_a_fault_with_the_settings_name(tmp_path: Path) -> None:
    """Redis connection failed: the wrong password is told by the setting's name, and not shown."""
    with start(tmp_path, "--requirepass", "right") as server:
        findings = await visit(type="redis", addr=server.addr, password=CANARY)

    assert [("fault", "store")] == bad(findings)
    assert "storage.runtime.username and password" in findings[-1].remedy


async def test_commands_that_are_denied_are_named(server: Server) -> None:
    """Ensure proper permissions: each command that the user may not run is in the text and in the remedy."""
    server.ask("ACL SETUSER", "app", "on", f">{CANARY}", "~*", "+@all", "-hdel", "-evalsha", "-time")

    findings = await visit(type="redis", addr=server.addr, username="app", password=CANARY)

    assert [("fault", "permissions"), FLEETING] == bad(findings)
    assert "the user may not: time, evalsha, hdel" == the("permissions", findings).text
    assert "ACL SETUSER <user> +time +evalsha +hdel" == the("permissions", findings).remedy
    assert [] == server.ask("KEYS", "*")


async def test_keys_that_are_denied_are_named(server: Server) -> None:
    """Ensure proper permissions: keys outside the user's patterns are named by their kind."""
    server.ask("ACL SETUSER", "app", "on", f">{CANARY}", "~a:usage:*", "~a:window:*", "~a:cache:*", "+@all")

    findings = await visit(type="redis", addr=server.addr, username="app", password=CANARY, key_prefix="a:")

    closed = ["a:purges", "a:counters", *(f"a:{kind}:*" for kind in ("samples", "writer", "claim", "log", "total"))]
    assert f"the user may not: {', '.join(closed)}" == the("permissions", findings).text
    assert the("permissions", findings).remedy.endswith(" ".join(f"~{each}" for each in closed))


async def test_a_user_without_insight_is_told_what_is_not_seen(server: Server) -> None:
    """A user with no more rights than the store needs is no fault; what cannot be judged is named."""
    server.ask("ACL SETUSER", "app", "on", f">{CANARY}", "~*", "+@all", "-info", "-config", "-scan")
    blind = await visit(type="redis", addr=server.addr, username="app", password=CANARY)
    server.ask("ACL SETUSER", "app", "+info")
    seeing = await visit(type="redis", addr=server.addr, username="app", password=CANARY)

    assert [("warning", "server")] == bad(blind)
    assert [("warning", "expiry")] == bad(seeing)
    assert "snapshots unknown" in the("persistence", seeing).text


async def test_a_service_without_config_is_well(tmp_path: Path) -> None:
    """Hosted services take CONFIG away; what it would tell is said to be unknown."""
    with start(tmp_path, "--rename-command", "CONFIG", "") as server:
        findings = await visit(type="redis", addr=server.addr)

    assert [] == bad(findings)
    assert "snapshots unknown" in the("persistence", findings).text


async def test_a_full_memory_is_a_fault(server: Server) -> None:
    """High memory usage: beyond maxmemory with noeviction every write is refused."""
    server.ask("CONFIG SET", "maxmemory", "100kb")

    findings = await visit(type="redis", addr=server.addr)

    assert [("fault", "memory"), FLEETING] == bad(findings)
    assert "refuses every write" in the("memory", findings).text


async def test_a_policy_that_drops_totals_is_a_warning(server: Server) -> None:
    """allkeys-lru evicts counters that should never leave."""
    server.ask("CONFIG SET", "maxmemory-policy", "allkeys-lru")

    findings = await visit(type="redis", addr=server.addr)

    assert [("warning", "eviction"), FLEETING] == bad(findings)
    assert "volatile-ttl" in the("eviction", findings).remedy


async def test_a_snapshot_that_failed_is_a_fault(tmp_path: Path) -> None:
    """A server that cannot save refuses writes sooner or later, and its data is lost at a restart."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with start(folder) as server:
        shutil.rmtree(folder)
        server.ask("BGSAVE")
        wait_for(lambda: server.ask("INFO")["rdb_last_bgsave_status"] == "err")  # type: ignore[index]

        findings = await visit(type="redis", addr=server.addr)

    assert [("fault", "persistence")] == bad(findings)


async def test_a_replica_is_a_fault(server: Server) -> None:
    """Metrics not updating: a replica takes no writes."""
    server.ask("REPLICAOF", HOST, find_port())

    findings = await visit(type="redis", addr=server.addr)

    assert ("fault", "role") == bad(findings)[0]


async def test_counters_that_never_expire_are_a_warning(server: Server) -> None:
    """Check TTL values and key expiration: keys that another program wrote without a time to live are named."""
    server.ask("SET", "a*b:usage:openai:key1:req", "5")
    server.ask("SET", "a*b:usage:openai:key2:req", "5", "EX", "60")
    server.ask("SET", "axxb:usage:openai:key3:req", "5")
    server.ask("SET", "a*b:total:openai:key1:req", "5")

    findings = await visit(type="redis", addr=server.addr, key_prefix="a*b:")

    assert [FLEETING, ("warning", "expiry")] == bad(findings)
    assert "1 of 2 keys never expire: a*b:usage:openai:key1:req" == the("expiry", findings).text


async def test_a_large_store_is_sampled(server: Server) -> None:
    """However many keys there are, few are looked at."""
    script = "for n = 1, 20000 do redis.call('SET', 'cache:' .. n, '', 'EX', 60) end"
    server.ask("EVAL", script, 0)

    assert "all of 200 keys" in the("expiry", await visit(type="redis", addr=server.addr)).text


async def test_a_search_for_few_keys_among_many_ends(server: Server) -> None:
    """Other programs' keys are not walked through to the end."""
    server.ask("EVAL", "for n = 1, 20000 do redis.call('SET', 'other:' .. n, '') end", 0)
    await visit(type="redis", addr=server.addr)
    stats = server.ask("INFO", "commandstats")

    assert 140 == stats["cmdstat_scan"]["calls"]  # type: ignore[index]


async def test_a_clock_that_is_behind_is_a_warning(server: Server) -> None:
    """The server's TIME and this machine's clock are an hour apart."""
    findings = await visit(type="redis", addr=server.addr, clock=lambda: time() - 3600)

    assert [("warning", "clock"), FLEETING] == bad(findings)
    assert "this machine is 3600 s behind the server" == the("clock", findings).text


async def test_a_long_way_is_a_warning(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency near the deadline, as over a slow line, is told for each read."""
    monkeypatch.setattr(operations, "_ROUNDS", 1)
    async with FaultProxy(server.port) as proxy:
        proxy.latency = 0.055
        findings = await visit(type="redis", addr=f"{HOST}:{proxy.port}")

    assert {"ping", "get_cache", "get_usage", "get_usage_in_window", "get_total"} <= {name for _, name in bad(findings)}


async def test_a_server_that_goes_meanwhile_does_no_harm(server: Server) -> None:
    """When the server ends while operations are tried, what is left of them is not worth an error."""
    settings = make_config({"storage": {"runtime": {"type": "redis", "addr": server.addr}}}).storage.runtime

    async with stage(settings) as (store, key_id):
        await store.increment_usage("coo-doctor", key_id, "req", 1)
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize(
    ("info", "save", "expected"),
    [
        ({}, "", []),
        ({"redis_version": "6.2.0"}, "", []),
        ({"redis_version": "6.0.16"}, "", [("fault", "version")]),
        ({"redis_version": "?"}, "", []),
        ({"used_memory": 950 << 20}, "", [("warning", "memory")]),
        ({"used_memory": 95, "maxmemory": 100}, "", [("warning", "memory")]),
        ({"used_memory": 100, "maxmemory": 100, "maxmemory_policy": "volatile-ttl"}, "", [("warning", "memory")]),
        ({"total_system_memory": 0}, "", []),
        ({"loading": 1}, "", [("fault", "persistence")]),
        ({"aof_last_write_status": "err"}, "", [("fault", "persistence")]),
        ({"aof_enabled": 0}, "", [("warning", "persistence")]),
        ({"aof_enabled": 0}, None, []),
        ({"aof_enabled": 0}, "3600 1", []),
    ],
)
def test_what_a_server_says_of_itself_is_judged(
    info: Mapping[str, object], save: str | None, expected: list[tuple[str, str]]
) -> None:
    """Each field of INFO that matters leads to its finding, and a sound server to none."""
    assert expected == bad([*judge_info({**SOUND, **info}, save)])
