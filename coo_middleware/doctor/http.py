"""What can be seen of the http store from outside: its server, its TLS and its clock."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from coo_middleware.doctor.finding import Finding, ok, warning
from coo_middleware.doctor.network import explain, judge_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from coo_middleware.stores import StoreSettings

_TIMEOUT_SECONDS: Final = 5.0
_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}


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
        yield explain(error, parts.netloc)
        return
    yield ok("connection", f"{parts.netloc} answers")
    yield _judge_scheme(parts.scheme, parts.hostname or "")
    for finding in _judge_date(response.headers.get("date", ""), clock(), monotonic() - begin):
        yield finding


def _judge_scheme(scheme: str, host: str) -> Finding:
    if scheme == "https":
        return ok("TLS", "the certificate is the server's")
    if host in _LOOPBACK:
        return ok("TLS", "not used, and nothing leaves this machine")
    return warning("TLS", "the token and all responses travel in the clear", "write https:// in storage.runtime.addr")


def _judge_date(date: str, here: float, duration: float) -> Iterator[Finding]:
    """The field Date has whole seconds (RFC 9110 section 5.6.7)."""
    try:
        server = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    yield judge_clock("clock", server + 0.5, here, 0.5 + duration)
