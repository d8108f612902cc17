"""stores/http_lane.py: how many requests are under way, and how one ends that nobody waits for any more."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
from anyio import CancelScope

from coo_middleware.stores import StoreError, StoreSettings
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.http_lane import HTTPClient, Lane, PoolTimeoutError
from tests.fault_proxy import HOST

ONE = StoreSettings(max_connections=1)
TLS = Path(__file__).parent / "tls"


class Work:
    """A request that takes until it is let go, and tells how it ended."""

    def __init__(self) -> None:
        self.begun, self.released = asyncio.Event(), asyncio.Event()
        self.running = self.left = 0

    async def __call__(self, _client: HTTPClient) -> int:
        self.running += 1
        self.begun.set()
        try:
            await self.released.wait()
        finally:
            # Cleaning up waits too, shielded as httpcore's is.
            with CancelScope(shield=True):
                await asyncio.sleep(0)
            self.running -= 1
            self.left += 1
        return self.left


@pytest.fixture
async def client() -> httpx.AsyncClient:
    return httpx.AsyncClient()


async def test_no_more_than_the_limit_is_under_way(client: httpx.AsyncClient) -> None:
    """What finds no slot in time is refused; a slot that comes free is used."""
    lane, work = Lane(client, StoreSettings(max_connections=2)), Work()
    asked = [asyncio.ensure_future(lane.run(work)) for _ in range(3)]
    with pytest.raises(PoolTimeoutError):
        await asked.pop()
    assert 2 == work.running
    asked.append(asyncio.ensure_future(lane.run(work)))
    await asyncio.sleep(0)
    assert 2 == work.running
    work.released.set()

    assert [1, 2, 3] == await asyncio.gather(*asked)


@pytest.mark.parametrize("turns", range(6))
async def test_who_gives_up_ends_the_work_and_frees_the_slot(turns: int, client: httpx.AsyncClient) -> None:
    """Wherever the caller is cancelled, the work is over soon, its slot is free, and the cancellation passes."""
    lane, work = Lane(client, ONE), Work()
    asked = asyncio.ensure_future(lane.run(work))
    for _ in range(turns):
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await lane.close()
    work.released.set()
    before = work.left

    assert 0 == work.running
    assert before + 1 == await lane.run(work)


async def test_who_is_cancelled_while_waiting_takes_no_slot(client: httpx.AsyncClient) -> None:
    """The next one in the line gets it."""
    lane, work = Lane(client, ONE), Work()
    first, second, third = (asyncio.ensure_future(lane.run(work)) for _ in range(3))
    await work.begun.wait()
    second.cancel()
    work.released.set()

    assert [1, 2] == [await first, await third]


async def test_closing_waits_for_what_is_under_way(client: httpx.AsyncClient) -> None:
    """A request that was begun gets its answer, and a client that was passed stays open."""
    lane, work = Lane(client, ONE), Work()
    asked = asyncio.ensure_future(lane.run(work))
    await work.begun.wait()
    closing = asyncio.ensure_future(lane.close())
    await asyncio.sleep(0)
    assert not closing.done()
    work.released.set()
    await closing

    assert 1 == await asked
    assert not client.is_closed


async def test_a_client_of_our_own_is_closed() -> None:
    """It is made with the lane, and ends with it."""
    lane = Lane(None, ONE)
    made = lane._client
    await lane.close()

    assert isinstance(made, httpx.AsyncClient)
    assert made.is_closed
    assert not made.trust_env


async def serve_tls(*, asks: bool) -> asyncio.Server:
    """A server with the tests' certificate, which `asks` for one of the client; all it says is an empty object."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        await reader.read()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=TLS / "ca.pem")
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    return await asyncio.start_server(talk, HOST, 0, ssl=context)


OWN = {"tls_cert_file": str(TLS / "client.pem"), "tls_key_file": str(TLS / "client.key")}
CA = {"tls_ca_file": str(TLS / "ca.pem")}


@pytest.mark.parametrize(
    ("asks", "files", "works"),
    [(False, {}, False), (False, CA, True), (True, CA, False), (True, CA | OWN, True), (True, OWN, False)],
)
async def test_certificates_are_those_of_the_settings(*, asks: bool, files: dict[str, str], works: bool) -> None:
    """A private authority is trusted where it is named, a server that asks for our certificate gets it, and without
    either nothing is sent.
    """
    async with await serve_tls(asks=asks) as server:
        addr = f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
        async with HTTPStore(addr=addr, timeout_seconds=10, **files) as store:  # type: ignore[arg-type]
            if works:
                await store.ping()
            else:
                with pytest.raises(StoreError):
                    await store.ping()


@pytest.mark.parametrize("file", [TLS / "none.pem", Path(__file__)])
async def test_files_that_are_no_certificates_are_told(file: Path) -> None:
    """By the names of the settings."""
    with pytest.raises(StoreError, match=r"storage\.runtime\.tls_ca_file.* cannot be used; ") as caught:
        await HTTPStore(addr="https://host", tls_ca_file=str(file)).open()

    assert isinstance(caught.value.__cause__, OSError)
