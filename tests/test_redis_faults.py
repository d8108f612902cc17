"""stores/redis_faults.py: what a server or a network does to RedisStore, and what the store says of it."""

import asyncio
import secrets
import signal
import subprocess
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import MaxConnectionsError

from coo_middleware.stores import Increment, RedisMode, RuntimeStore, StoreBusyError, StoreError
from coo_middleware.stores.redis import RedisStore
from coo_middleware.stores.redis_faults import telling
from coo_middleware.testing import SECRET, FailureContract
from tests.fault_proxy import FaultProxy
from tests.redis_server import HOST, Server, find_port, find_program, start

REQ = ("openai", "key1", "req")
LATENCIES = ("openai", "key1", "latency")


def is_old() -> bool:
    """Whether the server is of version 6, which does not look at its replicas when a script writes."""
    return b" v=6." in subprocess.check_output([find_program(), "--version"])


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server to be spoilt; each test makes it well again."""
    # Before version 7 everybody may debug.
    options = () if is_old() else ("--enable-debug-command", "yes")
    with start(tmp_path_factory.mktemp("patient"), *options) as server:
        yield server


@pytest.fixture
async def store(patient: Server) -> AsyncIterator[RedisStore]:
    async with RedisStore(addr=patient.addr, key_prefix=f"{secrets.token_hex(8)}:") as store:
        yield store


class OutOfReach(FailureContract):
    """No server, in each mode; the password stands in the address as well."""

    mode: RedisMode = "standalone"

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        addr = f"redis://user:{secret}@{HOST}:{find_port()}"
        return RedisStore(addr=addr, mode=self.mode, master_name="coo", password=secret, sentinel_password=secret)


class TestRefused(OutOfReach):
    """Nobody listens."""


class TestRefusedSentinel(OutOfReach):
    """No sentinel listens."""

    mode = "sentinel"


class TestRefusedCluster(OutOfReach):
    """No node listens."""

    mode = "cluster"


class TestWrongPassword(FailureContract):
    """The server wants another password."""

    @pytest.fixture(autouse=True)
    def _lock(self, patient: Server) -> Iterator[None]:
        patient.ask("ACL", "SETUSER", "guarded", "on", ">another", "~*", "+@all")
        self.addr = patient.addr
        yield
        patient.ask("ACL", "DELUSER", "guarded")

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        return RedisStore(addr=self.addr, username="guarded", password=secret)


class TestFrozen(FailureContract):
    """The server's machine accepts connections, and the server does nothing."""

    @pytest.fixture(autouse=True)
    def _freeze(self, patient: Server) -> Iterator[None]:
        patient.process.send_signal(signal.SIGSTOP)
        self.addr = patient.addr
        yield
        patient.process.send_signal(signal.SIGCONT)

    async def make_unreachable(self, secret: str) -> RuntimeStore:
        return RedisStore(addr=self.addr, password=secret, timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("spoil", "mend", "advice"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "maxmemory"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "server's log"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "address the primary"),
    ],
    ids=["OOM", "NOREPLICAS", "READONLY"],
)
async def test_server_that_takes_no_writes_takes_the_batch_later(
    patient: Server, store: RedisStore, spoil: str, mend: str, advice: str
) -> None:
    """A refused batch leaves nothing behind and its number free; the error says what to do; reading goes on."""
    if "replicas" in spoil and is_old():
        pytest.skip("version 6")
    batch = [Increment(*REQ, 1), Increment(*LATENCIES, 100)]
    await store.apply("writer", 1, batch)
    patient.ask(*spoil.split())
    try:
        with pytest.raises(StoreError, match=advice):
            await store.apply("writer", 2, batch)
        with pytest.raises(StoreError, match=advice):
            await store.set_cache("key", b"value", 10)
        assert 1 == await store.get_usage(*REQ)
        assert await store.get_cache("key") is None
    finally:
        patient.ask(*mend.split())
    await store.apply("writer", 2, batch)
    await store.apply("writer", 2, batch)

    assert (2, 2) == (await store.get_usage(*REQ), await store.get_total(*REQ))


async def test_lost_scripts_are_loaded_again(patient: Server, store: RedisStore) -> None:
    """A server that forgot its scripts, as after a restart, is handed them, and nothing counts twice."""
    for _ in range(3):
        patient.ask("SCRIPT", "FLUSH")
        await store.increment_usage(*REQ, 1)

    assert 3 == await store.get_usage_in_window(*REQ, 60)


@pytest.mark.parametrize("kind", ["usage", "samples", "total", "window"])
async def test_spoilt_key_does_not_hold_up_the_others(patient: Server, store: RedisStore, kind: str) -> None:
    """A key of another type is told, stays as it is, and is left out; all others of the batch count, once."""
    layout = store._layout
    metric = "req" if kind == "total" else "latency"
    key = layout.counter(kind, "p", "k", metric) + (":1" if kind == "window" else "")
    patient.ask("RPUSH", key, "foreign")
    batch = [Increment("p", "k", metric, 1), Increment(*REQ, 1)]
    with pytest.raises(StoreError, match=r"WRONGTYPE.*delete the key that holds something else"):
        await store.apply("writer", 1, batch)
    await store.apply("writer", 1, batch)

    assert (1, 1) == (await store.get_usage(*REQ), await store.get_total(*REQ))
    assert (1, -1) == (patient.ask("LLEN", key), patient.ask("TTL", key))


@pytest.mark.parametrize("text", ["abc", "", "0x10p", SECRET])
async def test_counter_that_is_no_number_is_told(patient: Server, store: RedisStore, text: str) -> None:
    """A counter that somebody overwrote raises StoreError, without what it holds, until it is set again."""
    patient.ask("SET", store._layout.counter("usage", *REQ), text)
    with pytest.raises(StoreError) as caught:
        await store.get_usage(*REQ)
    with pytest.raises(StoreError, match="delete the key"):
        await store.increment_usage(*REQ, 1)
    await store.set_usage(*REQ, 2)

    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert 2 == await store.get_usage(*REQ)


async def test_user_without_leave_is_told_what_to_do(patient: Server) -> None:
    """A user who may not do or see what the store needs hears of the page that lists it."""
    patient.ask("ACL", "SETUSER", "narrow", "on", f">{SECRET}", "~*", "+get")
    async with RedisStore(addr=patient.addr, username="narrow", password=SECRET) as store:
        await store.ping()
        with pytest.raises(StoreError, match=r"docs/stores\.md") as caught:
            await store.increment_usage(*REQ, 1)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_missing_password_is_told(tmp_path: Path) -> None:
    """A server that wants a password nobody gave says so."""
    with (
        start(tmp_path, "--requirepass", SECRET) as server,
        pytest.raises(StoreError, match=r"storage\.runtime\.username and password"),
    ):
        await RedisStore(addr=server.addr).ping()


async def test_server_full_of_clients_is_told(tmp_path: Path) -> None:
    """A server that takes no more clients is an error, and not for longer than it takes none."""
    with start(tmp_path, "--maxclients", "2") as server:
        others = [await asyncio.open_connection(HOST, server.port) for _ in range(2)]
        async with RedisStore(addr=server.addr) as store:
            with pytest.raises(StoreError):
                await store.ping()
            for _, writer in others:
                writer.close()
            while await is_out_of_reach(store):  # noqa: ASYNC110 -- nobody tells us
                await asyncio.sleep(0.01)


async def is_out_of_reach(store: RedisStore) -> bool:
    """Whether the store does not answer at present."""
    try:
        await store.ping()
    except StoreError:
        return True
    return False


@pytest.mark.parametrize("error", [MaxConnectionsError(), LostConnectionError("max number of clients reached")])
def test_connections_that_have_run_out_are_busy(error: Exception) -> None:
    """Here or at the server: too many clients are no sign that it is dead."""
    with pytest.raises(StoreBusyError, match="max_connections"), telling("get_usage", "h:1"):
        raise error


async def test_loading_server_is_told(patient: Server, store: RedisStore) -> None:
    """While the server loads its data it is out of reach, and the error says to wait."""
    if is_old():
        pytest.skip("version 6")
    patient.ask("DEBUG", "POPULATE", 3_000, "filler", 1_000)
    patient.ask("CONFIG", "SET", "key-load-delay", 300)
    patient.ask("CONFIG", "SET", "loading-process-events-interval-bytes", 1_024)
    reloading = asyncio.ensure_future(asyncio.to_thread(patient.ask, "DEBUG", "RELOAD"))
    told = ""
    while not reloading.done() and not told:
        try:
            await store.get_cache("key")
        except StoreError as error:
            told = str(error)
    await reloading
    patient.ask("FLUSHALL")

    assert "wait until the server has loaded its data" in told


@pytest.mark.parametrize(
    ("mode", "advice"),
    [
        ("standalone", "use mode cluster"),
        ("sentinel", "check storage.runtime.master_name"),
        ("cluster", "use mode standalone"),
    ],
)
async def test_wrong_mode_is_told(patient: Server, redis_cluster: list[Server], mode: RedisMode, advice: str) -> None:
    """A cluster asked as one server, one server asked as a sentinel or a cluster: the error names the right mode."""
    addr = redis_cluster[0].addr if mode == "standalone" else patient.addr
    async with RedisStore(addr=addr, mode=mode, master_name="coo") as store:
        results = await asyncio.gather(
            *(store.get_cache(f"key{number}") for number in range(20)), return_exceptions=True
        )

    faults = [result for result in results if result is not None]
    assert {StoreError} == {type(fault) for fault in faults}
    assert all(advice in str(fault) for fault in faults)


async def test_server_that_comes_back_is_used_at_once(tmp_path: Path) -> None:
    """After a restart the first operation succeeds: no connection of the old server's is used."""
    port = find_port()
    store = RedisStore(addr=f"{HOST}:{port}")
    for _ in range(2):
        with start(tmp_path, port=port):
            await store.set_cache("key", b"value", 10)
            assert b"value" == await store.get_cache("key")
        with pytest.raises(StoreError, match="see that the server runs"):
            await store.get_cache("key")
    await store.close()


async def test_network_that_swallows_everything_ends_in_time(redis_server: Server) -> None:
    """An operation takes `timeout_seconds` and no longer, connecting included; then all is well again."""
    async with (
        FaultProxy(redis_server.port) as proxy,
        RedisStore(addr=f"{HOST}:{proxy.port}", timeout_seconds=0.1) as store,
    ):
        await store.ping()
        proxy.swallows = True
        began = asyncio.get_running_loop().time()
        with pytest.raises(StoreError, match="TimeoutError"):
            await store.get_cache("key")
        assert 0.1 <= asyncio.get_running_loop().time() - began < 1
        proxy.swallows = False
        await store.ping()


async def test_increment_is_sent_once_more_when_its_reply_is_lost(redis_server: Server) -> None:
    """increment_usage counts once though its reply was lost; when the second one is lost too, it is told."""
    prefix = f"{secrets.token_hex(8)}:"
    async with (
        FaultProxy(redis_server.port) as proxy,
        RedisStore(addr=f"{HOST}:{proxy.port}", key_prefix=prefix) as store,
    ):
        await store.increment_usage(*REQ, 1)
        lost = asyncio.get_running_loop().create_task(lose_one_reply(proxy))
        await store.increment_usage(*REQ, 1)
        await lost
        assert 2 == await store.get_usage(*REQ)
        proxy.lost_replies = 1.0
        with pytest.raises(StoreError, match="see that the server runs") as caught:
            await store.increment_usage(*REQ, 1)
        assert type(caught.value.__cause__) is LostConnectionError
        proxy.lost_replies = 0.0

        assert 3 == await store.get_usage(*REQ)


async def lose_one_reply(proxy: FaultProxy) -> None:
    """Loses replies until it has lost one."""
    proxy.lost_replies = 1.0
    while not proxy.faults:  # noqa: ASYNC110 -- nobody tells us
        await asyncio.sleep(0)
    proxy.lost_replies = 0.0


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[str]:
    """The address of something that answers `reply` to anything, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"$100\r\nhalf of " + SECRET.encode(),
        b"$" + SECRET.encode() + b"\r\n",
        SECRET.encode() + b"\r\n",
        b"*2\r\n:" + SECRET.encode() + b"\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + SECRET.encode(),
    ],
    ids=["nothing", "half", "length", "no RESP", "number", "HTTP"],
)
async def test_reply_that_is_none_is_an_error_that_does_not_quote_it(reply: bytes) -> None:
    """Garbage and halves are errors, never values, and what they hold is not shown: it may be a stored response."""
    async with answering(reply) as addr, RedisStore(addr=addr) as store:
        with pytest.raises(StoreError) as caught:
            await store.get_cache("key")
        with pytest.raises(StoreError):
            await store.get_usage_in_window(*REQ, 60)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_error_of_ours_passes() -> None:
    """What is a StoreError already stays as it is; a caller that gives up is no failure of the store's."""
    error = StoreError("as it is")
    for each in (error, asyncio.CancelledError()):
        with pytest.raises(type(each)) as caught, telling("get_usage", "h:1"):
            raise each
        assert each is caught.value
