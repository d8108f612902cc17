"""What can be seen of the http store from outside: its server, its TLS and its clock."""

from __future__ import annotations

import re
import socket
import ssl
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from coo_middleware.doctor.clock import judge_clock
from coo_middleware.doctor.finding import Finding, fault, ok, warning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from coo_middleware.stores import StoreSettings

_TIMEOUT_SECONDS: Final = 5.0


async def inspect(settings: StoreSettings, clock: Callable[[], float]) -> AsyncIterator[Finding]:
    """One request without the token: who answers, over what, and at what time. What the answer says is for the
    operations to find.
    """
    parts = urlsplit(settings.addr)
    try:
        # As the store does it: nothing from the environment, and no redirect.
        async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT_SECONDS) as client:
            begin = monotonic()
            response = await client.get(settings.addr.rstrip("/") + "/health")
    except httpx.HTTPError as error:
        yield _explain(error, parts.netloc)
        return
    yield ok("connection", f"{parts.netloc} answers")
    yield _judge_scheme(parts.scheme, parts.hostname or "")
    for finding in _judge_date(response.headers.get("date", ""), clock(), monotonic() - begin):
        yield finding


def _judge_scheme(scheme: str, host: str) -> Finding:
    if scheme == "https":
        return ok("TLS", "the certificate is the server's")
    if host == "localhost" or re.fullmatch(r"127\.[0-9.]+|::1", host):
        return ok("TLS", "not used, and nothing leaves this machine")
    return warning("TLS", "the token and all responses travel in the clear", "write https:// in storage.runtime.addr")


def _judge_date(date: str, here: float, duration: float) -> Iterator[Finding]:
    """The field Date has whole seconds (RFC 9110 section 5.6.7)."""
    try:
        server = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    yield judge_clock("clock", server + 0.5, here, 0.5 + duration)


def _explain(error: BaseException, place: str) -> Finding:
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            remedy = "give the server a certificate of its own name by an authority that this machine trusts"
            return fault("connection", f"{place}: the certificate is refused: {each.verify_message}", remedy)
        if isinstance(each, ssl.SSLError):
            remedy = "does the server speak TLS on this port? if not, write storage.runtime.addr without the s"
            return fault("connection", f"{place}: no TLS: {each.reason or 'the handshake failed'}", remedy)
        if isinstance(each, socket.gaierror):
            remedy = "correct the host in storage.runtime.addr, or the machine's name service"
            return fault("connection", f"{place}: the name is not known", remedy)
    remedy = "start the server, correct host and port in storage.runtime.addr, or let the firewall through"
    return fault("connection", f"{place}: nothing answers ({type(error).__name__})", remedy)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
