"""The doctor at the http store: real servers that answer, refuse, mislead, or stay silent."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import certifi
import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from coo_middleware.doctor import http
from coo_middleware.storage_api import storage_api
from coo_middleware.stores.memory import MemoryStore
from tests.redis_server import find_port
from tests.visits import CANARY, OPERATIONS, bad, the, visit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from tests.conftest import Serve

PEM = Path(__file__).with_name("loopback.pem")
TOKEN = "storage-api-token"


@asynccontextmanager
async def answering(reply: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Host and port of a server that answers every connection with `reply`, or never when that is empty."""
    done = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not reply:
            await done.wait()
        writer.write(reply)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done.set()


@pytest.fixture
def trusted() -> ssl.SSLContext:
    """What a server needs for a certificate of its own making."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


async def test_a_storage_api_is_well_and_keeps_nothing(serve: Serve) -> None:
    """Our own server is well, and keeps of a visit one counter, whose total is 0."""
    store = MemoryStore()
    addr = serve(storage_api(store, api_key=TOKEN))

    findings = await visit(type="http", addr=addr, api_key=TOKEN)

    assert [] == bad(findings)
    assert OPERATIONS == [each.check for each in findings if each.milliseconds is not None]
    assert "within 2 s of the server's" == the("clock", findings).text
    counters, responses = store.snapshot()
    assert ([("coo-doctor", "doctor", "req")], {}) == (list(counters), responses)
    assert 0 == await store.get_total("coo-doctor", "doctor", "req")


async def test_a_token_that_is_refused_is_a_fault_with_the_settings_name(serve: Serve) -> None:
    """401 names the setting, and shows neither token."""
    addr = serve(storage_api(MemoryStore(), api_key=TOKEN))

    findings = await visit(type="http", addr=addr, api_key=CANARY)

    assert [("fault", "ping")] == bad(findings)
    assert "401" in findings[-1].text
    assert "storage.runtime.api_key" in findings[-1].remedy
    assert TOKEN not in repr(findings)


async def answer_html(_request: Request) -> Response:
    return HTMLResponse("<h1>Welcome</h1>")


async def redirect(_request: Request) -> Response:
    return RedirectResponse("https://elsewhere.example/")


@pytest.mark.parametrize("handler", [answer_html, redirect])
async def test_a_server_of_another_layout_is_a_fault(serve: Serve, handler: object) -> None:
    """A page, or a redirect, is no storage API: the fault names addr."""
    addr = serve(Starlette(routes=[Route("/{path:path}", handler)]))  # type: ignore[arg-type]

    findings = await visit(type="http", addr=addr, api_key=CANARY)

    assert [("fault", "ping")] == bad(findings)
    assert "storage.runtime.addr" in findings[-1].text + findings[-1].remedy


async def test_a_clock_that_is_ahead_is_a_warning(serve: Serve) -> None:
    """An hour between the clocks is told by the server's field Date."""
    addr = serve(storage_api(MemoryStore(), api_key=TOKEN))

    findings = await visit(type="http", addr=addr, api_key=TOKEN, clock=lambda: time() + 3600)

    assert [("warning", "clock")] == bad(findings)
    assert "ahead of the server" in the("clock", findings).text


async def test_a_server_without_a_date_says_nothing_of_its_clock() -> None:
    """Where no Date is sent nothing is made up."""
    async with answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n") as place:
        findings = await visit(type="http", addr=f"http://{place}")

    assert "clock" not in {each.check for each in findings}
    assert [("fault", "ping")] == bad(findings)


async def test_a_server_that_is_not_there_is_a_fault() -> None:
    """A refused connection says where and what to do, and no operation is tried."""
    findings = await visit(type="http", addr=f"http://127.0.0.1:{find_port()}", api_key=CANARY)

    assert [("fault", "connection")] == bad(findings)
    assert "nothing answers" in findings[-1].text
    assert "start the server" in findings[-1].remedy


async def test_a_server_that_stays_silent_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers is given up."""
    monkeypatch.setattr(http, "_TIMEOUT_SECONDS", 0.1)
    async with answering(b"") as place:
        findings = await visit(type="http", addr=f"http://{place}")

    assert [("fault", "connection")] == bad(findings)
    assert "ReadTimeout" in findings[-1].text


async def test_a_name_that_nobody_knows_is_a_fault() -> None:
    """The domain `invalid` resolves nowhere (RFC 6761 section 6.4)."""
    findings = await visit(type="http", addr="http://coo-doctor.invalid")

    assert [("fault", "connection")] == bad(findings)
    assert "the name is not known" in findings[-1].text


async def test_a_certificate_that_nobody_vouches_for_is_a_fault(trusted: ssl.SSLContext) -> None:
    """A certificate of the server's own making is refused, with the reason."""
    async with answering(b"", trusted) as place:
        findings = await visit(type="http", addr=f"https://{place}")

    assert [("fault", "connection")] == bad(findings)
    assert "the certificate is refused: self" in findings[-1].text


async def test_a_server_without_tls_is_a_fault(serve: Serve) -> None:
    """https to a port that speaks http says so."""
    addr = serve(storage_api(MemoryStore(), api_key=TOKEN)).replace("http:", "https:")

    findings = await visit(type="http", addr=addr)

    assert [("fault", "connection")] == bad(findings)
    assert "no TLS" in findings[-1].text


async def test_a_certificate_that_is_trusted_is_well(trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its authority among the trusted ones, the certificate is the server's."""
    monkeypatch.setattr(certifi, "where", partial(str, PEM))
    async with answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", trusted) as place:
        findings = await visit(type="http", addr=f"https://{place}")

    assert "ok" == the("TLS", findings).level


def test_a_token_in_the_clear_is_a_warning() -> None:
    """Only on the machine itself may the token go without TLS."""
    assert ["ok", "ok", "ok", "warning", "warning"] == [
        http._judge_scheme("http", host).level
        for host in ("localhost", "127.8.0.1", "::1", "127.example.com", "store.example")
    ]
