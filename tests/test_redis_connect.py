"""stores/redis_connect.py: how RedisStore reaches its server, and lets go of it."""

import asyncio
import gc
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
import redis
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ReadOnlyError, ResponseError

from coo_middleware.stores import Increment, StoreBusyError, StoreError, StoreSettings, open_store
from coo_middleware.stores.redis import RedisStore
from coo_middleware.stores.redis_connect import Argument, RedisClient, make_client
from tests.fault_proxy import FaultProxy
from tests.redis_server import HOST, MASTER, Server, start, start_sentinel, wait_for

REQ = ("openai", "key1", "req")
TLS = Path(__file__).parent / "tls"
CA, CERT, KEY = (str(TLS / name) for name in ("ca.pem", "client.pem", "client.key"))


class Counted:
    """A client that counts what it is asked."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client
        self.commands: list[Argument] = []

    def execute_command(self, *args: Argument) -> Awaitable[object]:
        self.commands.append(args[0])
        return self.client.execute_command(*args)


def clients_of(server: Server) -> list[dict[str, str]]:
    """Who is connected, without the one that asks."""
    clients = cast("list[dict[str, str]]", server.ask("CLIENT LIST"))
    return [each for each in clients if not each["cmd"].startswith("client")]


def fails_over(sentinel: redis.Redis, replica: Server) -> bool:
    """Whether the sentinel leads to the replica; asks it to as long as it does not."""
    if cast("dict[str, object]", sentinel.sentinel_master(MASTER))["port"] == replica.port:
        return True
    with suppress(ResponseError):
        sentinel.sentinel_failover(MASTER)
    return False


@asynccontextmanager
async def serve_tls(server: Server) -> AsyncIterator[int]:
    """The port of a TLS end before `server`, which asks for a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(TLS / "ca.pem"))
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    ends: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            writer.write(piece)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, server.port)
        ends.extend([writer, far_writer])
        back = asyncio.ensure_future(pump(far_reader, writer))
        await pump(reader, far_writer)
        back.cancel()
        for end in (writer, far_writer):
            end.close()

    door = await asyncio.start_server(connect, HOST, 0, ssl=context)
    try:
        yield door.sockets[0].getsockname()[1]
    finally:
        door.close()
        for end in ends:
            end.close()
            await end.wait_closed()


async def test_each_operation_is_one_round_trip(redis_server: Server) -> None:
    """A look-up, a batch, a window and every other operation send one command each, once the scripts are known."""
    server = Redis(host=HOST, port=redis_server.port)
    client = Counted(server)
    store = RedisStore(client=client, key_prefix="trips:")
    batch = [
        Increment("openai", f"key{number % 7}", metric, 1) for number in range(50) for metric in ("req", "latency")
    ]
    for _ in range(2):
        client.commands.clear()
        await store.get_usage(*REQ)
        await store.set_usage(*REQ, 1)
        await store.set_usage("openai", "key1", "latency", 1)
        await store.increment_usage(*REQ, 1)
        await store.get_usage_in_window(*REQ, 86_400)
        await store.get_total(*REQ)
        await store.get_total("openai", "key1", "latency")
        await store.apply("writer", 1, batch)
        await store.set_cache("key", b"value", 10)
        await store.get_cache("key")
        await store.get_cache_with_ttl("key")
        await store.delete_cache("key")
        await store.ping()
    await store.close()

    assert "GET SET EVALSHA EVALSHA EVALSHA GET HMGET EVALSHA SET GET EVALSHA DEL GET" == " ".join(
        map(str, client.commands)
    )
    await server.aclose()


async def test_cluster_sends_a_batch_once_for_each_provider_s_key(redis_cluster: list[Server]) -> None:
    """One script call for each slot, however many metrics, each applied once."""
    cluster = await RedisCluster(host=HOST, port=redis_cluster[0].port)
    client = Counted(cluster)
    store = RedisStore(client=client, mode="cluster", key_prefix="batches:")
    batch = [Increment("openai", f"key{number}", metric, 1) for number in range(40) for metric in ("req", "tokens")]
    await store.apply("writer", 1, batch)
    client.commands.clear()
    await store.apply("writer", 1, batch)

    assert ["EVALSHA"] * 40 == client.commands
    assert [1.0] * 40 == [await store.get_usage("openai", f"key{number}", "req") for number in range(40)]
    await store.close()
    await cluster.aclose()


async def test_given_cluster_client_needs_no_mode(redis_cluster: list[Server]) -> None:
    """Keys have their slots when the client is a cluster's, and closing the store leaves the client open."""
    async with RedisCluster(host=HOST, port=redis_cluster[0].port) as client:
        async with RedisStore(client=client, key_prefix="given:") as store:
            await store.increment_usage(*REQ, 2)

        assert b"2" == await client.get("given:usage:{openai:key1}:req")


def test_given_client_must_answer_in_bytes() -> None:
    """A client that decodes replies would spoil responses, and is refused."""
    with pytest.raises(ValueError, match="decode_responses=False"):
        RedisStore(client=Redis(decode_responses=True))


def test_settings_that_do_not_fit_together_are_refused() -> None:
    """The constructor says which setting is wrong, as the configuration does."""
    with pytest.raises(ValueError, match="master_name mode sentinel needs it"):
        RedisStore(addr="localhost", mode="sentinel")


async def test_settings_reach_the_client(redis_server: Server) -> None:
    """What `storage.runtime` says is what the client does, and it neither retries nor waits for longer."""
    section = {
        "type": "redis",
        "addr": f"redis://{redis_server.addr}/3",
        "key_prefix": "mine:",
        "usage_ttl_seconds": 7,
        "max_connections": 3,
        "connect_timeout_seconds": 0.5,
    }
    async with open_store(section) as store:
        await store.increment_usage(*REQ, 1)
        [client] = clients_of(redis_server)
    with redis.Redis(host=HOST, port=redis_server.port, db=3) as database:
        assert b"1" == database.get("mine:usage:openai:key1:req")
        assert 5_000 < cast("int", database.pttl("mine:usage:openai:key1:req")) <= 7_000

    assert ("3", "2") == (client["db"], client.get("resp", "2"))
    made, close = make_client(StoreSettings(addr="h", max_connections=3, connect_timeout_seconds=0.5))
    pool = cast("Redis", made).connection_pool
    assert 3 == pool.max_connections
    assert 0.5 == pool.connection_kwargs["socket_connect_timeout"]
    assert 0 == pool.connection_kwargs["retry"].get_retries()
    await close()


@pytest.mark.skipif(not hasattr(redis, "DriverInfo"), reason="redis-py before 8")
def test_driver_is_named_where_the_client_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redis-py without DriverInfo makes a client all the same."""
    named, _ = make_client(StoreSettings(addr="h"))
    monkeypatch.delattr(redis, "DriverInfo")
    plain, _ = make_client(StoreSettings(addr="h"))

    drivers = [cast("Redis", each).connection_pool.connection_kwargs["driver_info"] for each in (named, plain)]
    assert [True, False] == ["coo-middleware" in each.formatted_name for each in drivers]


async def test_unix_socket(tmp_path: Path) -> None:
    """A unix:// address works, with its database."""
    path = tmp_path / "redis.sock"
    with start(tmp_path, "--unixsocket", str(path)) as server:
        async with RedisStore(addr=f"unix://{path}?db=1") as store:
            await store.increment_usage(*REQ, 1)
            assert 1 == await store.get_usage(*REQ)
            assert "1" == clients_of(server)[0]["db"]


async def test_tls(redis_server: Server) -> None:
    """rediss:// with the authority's certificate and our own works; without either the server is not trusted, or we
    are not.
    """
    async with serve_tls(redis_server) as port:
        addr = f"rediss://{HOST}:{port}"
        async with RedisStore(addr=addr, tls_ca_file=CA, tls_cert_file=CERT, tls_key_file=KEY) as store:
            await store.set_cache("key", b"value", 10)
            assert b"value" == await store.get_cache("key")
        with pytest.raises(StoreError, match="certificate verify failed"):
            await RedisStore(addr=addr, tls_cert_file=CERT, tls_key_file=KEY).ping()
        with pytest.raises(StoreError):
            await RedisStore(addr=addr, tls_ca_file=CA).ping()


async def test_sentinel_leads_to_the_new_primary(tmp_path: Path) -> None:
    """After a failover the store goes on with the promoted replica, by itself, with the sentinel's own password."""
    folders = [tmp_path / name for name in ("master", "replica", "sentinel")]
    for folder in folders:
        folder.mkdir()
    with (
        start(folders[0]) as master,
        start(folders[1]) as replica,
        start_sentinel(folders[2], master, [replica]) as sentinel,
    ):
        sentinel.ask("ACL", "SETUSER", "default", ">sentinel-secret")
        store = RedisStore(addr=sentinel.addr, mode="sentinel", master_name=MASTER, sentinel_password="sentinel-secret")
        async with store:
            await store.increment_usage(*REQ, 1)
            wait_for(lambda: replica.ask("GET", "usage:openai:key1:req"))
            with redis.Redis(host=HOST, port=sentinel.port, password="sentinel-secret") as asking:
                wait_for(lambda: fails_over(asking, replica))
            # As the sentinel does it, ten seconds later.
            master.ask("REPLICAOF", HOST, replica.port)
            await store.increment_usage(*REQ, 1)

            assert 2 == await store.get_usage(*REQ)
            assert b"2" == replica.ask("GET", "usage:openai:key1:req")


class Demoted:
    """A client of no kind we know, whose server takes no writes."""

    def __init__(self) -> None:
        self.asked = 0

    async def execute_command(self, *args: Argument) -> object:
        self.asked += args[0] == "EVALSHA"
        raise ReadOnlyError("You can't write against a read only replica.")


async def test_increment_is_tried_once_more_when_the_server_was_demoted() -> None:
    """Nothing was counted, and the client may find the new primary by then; what is not there is told."""
    client = Demoted()
    async with RedisStore(client=client) as store:
        with pytest.raises(StoreError, match="address the primary"):
            await store.increment_usage(*REQ, 1)

    assert 2 == client.asked


async def test_pool_that_stays_in_use_is_busy_and_not_dead(redis_server: Server) -> None:
    """Beyond `max_connections` an operation waits a moment and then raises StoreBusyError; the others go on, and so
    does the store.
    """
    async with (
        FaultProxy(redis_server.port) as proxy,
        RedisStore(addr=f"{HOST}:{proxy.port}", max_connections=2, key_prefix="pool:") as store,
    ):
        await store.ping()
        proxy.latency = 0.3
        results = await asyncio.gather(*(store.get_cache("key") for _ in range(6)), return_exceptions=True)
        proxy.latency = 0.0

        assert [None, None] == [each for each in results if not isinstance(each, BaseException)]
        assert {StoreBusyError} == {type(each) for each in results if each is not None}
        assert await store.get_cache("key") is None


def test_event_loops_one_after_another(redis_server: Server) -> None:
    """A store used by loop after loop, none of which closes it, works in each and leaves no connection behind."""
    store = RedisStore(addr=redis_server.addr, key_prefix="loops:", connect_timeout_seconds=20, timeout_seconds=20)
    for _ in range(20):
        asyncio.run(store.increment_usage(*REQ, 1))
    gc.collect()

    assert 20 == asyncio.run(store.get_usage(*REQ))
    wait_for(lambda: [] == clients_of(redis_server))
    assert 1 == len(store._connections._links)


def test_event_loops_at_the_same_time(redis_server: Server) -> None:
    """Loops of several threads each have their own connections."""
    store = RedisStore(addr=redis_server.addr, key_prefix="threads:", connect_timeout_seconds=20, timeout_seconds=20)

    async def work() -> None:
        for _ in range(20):
            await store.increment_usage(*REQ, 1)

    threads = [threading.Thread(target=lambda: asyncio.run(work())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 80 == asyncio.run(store.get_usage(*REQ))


async def test_closing_waits_for_what_is_under_way(redis_server: Server) -> None:
    """Operations that have begun end well when the store is closed meanwhile, and leave no connection behind."""
    async with FaultProxy(redis_server.port) as proxy:
        store = RedisStore(addr=f"{HOST}:{proxy.port}", key_prefix="closing:")
        proxy.latency = 0.02
        asking = [asyncio.ensure_future(store.get_cache("key")) for _ in range(30)]
        await asyncio.sleep(0.01)
        await store.close()

        assert [None] * 30 == await asyncio.gather(*asking)
        assert {} == store._connections._links
        wait_for(lambda: [] == clients_of(redis_server))


async def test_closed_store_opens_again(redis_server: Server) -> None:
    """Closing lets go of the connections; a later operation makes new ones."""
    store = RedisStore(addr=redis_server.addr)
    await store.ping()
    await store.close()
    wait_for(lambda: [] == clients_of(redis_server))
    await store.ping()
    assert 1 == len(clients_of(redis_server))
    await store.close()
