"""stores/http_channel.py on real sockets: answers that no server should give, loops, addresses and the environment."""

import asyncio
import gc
import gzip
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import httpx2
import pytest

from coo_middleware.storage_api import storage_api
from coo_middleware.stores import StoreBusyError, StoreError
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.http_channel import LostError
from coo_middleware.stores.memory import MemoryStore
from tests.conftest import Serve
from tests.fault_proxy import HOST
from tests.storage_server import KEY

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

GOOD = b'{"value": 1}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@asynccontextmanager
async def speaking(talk: Talk) -> AsyncIterator[str]:
    """The URL of a server that reads one request on each connection and then does as `talk` does."""

    talks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.ensure_future(serve_one(reader, writer)))

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            try:
                await reader.readuntil(b"\r\n\r\n")
                await talk(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def say(content: bytes) -> Talk:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return talk


def sized(content: bytes, fields: bytes = b"", *, size: int | None = None) -> bytes:
    length = len(content) if size is None else size
    return HEAD + fields + b"content-length: %d\r\n\r\n" % length + content


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 2",
    "no HTTP": b"+OK\r\n",
    "headers without an end": HEAD,
    "headers without an end, at length": HEAD + b"x: " + b"y" * 200_000,
    "less than its length": sized(GOOD, size=13),
    "no content of its length": sized(b"", size=12),
    "two lengths": sized(GOOD, b"content-length: 3\r\n"),
    "a chunk cut short": HEAD + b"transfer-encoding: chunked\r\n\r\nc\r\n" + GOOD[:5],
    "no last chunk": HEAD + b"transfer-encoding: chunked\r\n\r\nc\r\n" + GOOD + b"\r\n",
    "a chunk of no size": HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n" + GOOD,
    "until the end, cut short": HEAD + b"connection: close\r\n\r\n" + GOOD[:-1],
    "packed": sized(gzip.compress(GOOD), b"content-encoding: gzip\r\n"),
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_a_fault(answer: bytes) -> None:
    """What ends too early, contradicts itself or is no HTTP is StoreError, and never a part of a value."""
    async with speaking(say(answer)) as url, HTTPStore(addr=url) as store:
        with pytest.raises(StoreError):
            await store.get_usage("openai", "key1", "req")


async def test_whole_answers_of_every_framing_are_read() -> None:
    """The faults above are no matter of the framing."""
    framed = [
        sized(GOOD),
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n" + GOOD[:5] + b"\r\n7\r\n" + GOOD[5:] + b"\r\n0\r\n\r\n",
        HEAD + b"connection: close\r\n\r\n" + GOOD,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + sized(GOOD),
        sized(GOOD).replace(b"application/json", b"Application/JSON; charset=utf-8"),
        sized(GOOD, b"content-encoding: identity\r\n"),
    ]
    for answer in framed:
        async with speaking(say(answer)) as url, HTTPStore(addr=url, timeout_seconds=20) as store:
            assert 1 == await store.get_usage("openai", "key1", "req")


async def test_an_endless_answer_is_left() -> None:
    """Beyond the bound nothing more is read."""

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"connection: close\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" " * 65_536)
            await writer.drain()

    async with speaking(flood) as url, HTTPStore(addr=url, max_body_bytes=100_000) as store:
        with pytest.raises(StoreError, match="longer than 101024 bytes"):
            await store.get_cache("key")


@pytest.mark.parametrize("client", [httpx, httpx2])
async def test_a_trickle_does_not_prolong_the_wait(client: object) -> None:
    """The time is that of the whole request: a server that sends a byte now and then does not hold it."""

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 10000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async with (
        asyncio.timeout(5),
        speaking(trickle) as url,
        client.AsyncClient() as own,  # type: ignore[attr-defined]
        HTTPStore(addr=url, client=own, timeout_seconds=0.1) as store,
    ):
        with pytest.raises(StoreError, match=r"GET /cache at 127\.0\.0\.1:\d+: no answer within 0\.1 s"):
            await store.get_cache("key")


async def _wait(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("client", [httpx, httpx2])
async def test_a_client_of_any_library_is_understood(client: object) -> None:
    """Timeouts, a busy pool and a lost connection are told apart by what they are called."""
    limits = client.Limits(max_connections=1)  # type: ignore[attr-defined]
    async with client.AsyncClient(limits=limits) as own:  # type: ignore[attr-defined]
        async with speaking(_wait) as url, HTTPStore(addr=url, client=own, timeout_seconds=0.2) as store:
            outcomes = await asyncio.gather(store.ping(), store.ping(), return_exceptions=True)
        assert [StoreError, StoreBusyError] == [type(each) for each in outcomes]
        with pytest.raises(LostError, match="ConnectError; is the server running"):
            await store.ping()


async def test_a_busy_pool_is_no_dead_store() -> None:
    """When all connections stay in use, the caller learns so well before the time is up."""
    async with speaking(_wait) as url, HTTPStore(addr=url, max_connections=2, timeout_seconds=1) as store:
        asked = [asyncio.ensure_future(store.ping()) for _ in range(3)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        (first,) = done
        assert isinstance(first.exception(), StoreBusyError)
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # what a loop that was left leaves
def test_every_event_loop_has_its_connections(serve: Serve) -> None:
    """One store serves loops that come and go, and two at the same time; those that ended are forgotten."""
    store = HTTPStore(addr=serve(storage_api(MemoryStore(), api_key=KEY)), api_key=KEY, timeout_seconds=20)
    for turn in range(5):
        asyncio.run(store.set_cache("key", b"%d" % turn, 600))
        assert 1 == len(store._channel._lanes)

    async def both() -> bytes | None:
        threads = [threading.Thread(target=asyncio.run, args=(store.get_cache("key"),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        found = [await store.get_cache("key") for _ in range(20)]
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
        await store.close()
        assert {} == store._channel._lanes
        return found[-1]

    assert b"4" == asyncio.run(both())
    gc.collect()


async def test_a_closed_store_may_be_used_again(serve: Serve) -> None:
    """Closing lets go of the connections, and the next operation opens new ones."""
    store = HTTPStore(addr=serve(storage_api(MemoryStore(), api_key=KEY)), api_key=KEY, timeout_seconds=20)
    for _ in range(2):
        await store.ping()
        await store.close()


async def test_a_client_that_was_passed_stays_open(serve: Serve) -> None:
    """It is the caller's to close."""
    async with httpx2.AsyncClient() as client:
        async with HTTPStore(
            addr=serve(storage_api(MemoryStore(), api_key=KEY)), api_key=KEY, timeout_seconds=20, client=client
        ) as store:
            await store.ping()
        assert not client.is_closed


async def test_nothing_is_taken_from_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that a variable names gets neither requests nor the token."""
    url = serve(storage_api(MemoryStore(), api_key=KEY))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with HTTPStore(addr=url, api_key=KEY, timeout_seconds=20) as store:
        await store.ping()
